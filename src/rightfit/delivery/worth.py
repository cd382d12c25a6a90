"""What a run or a package says of itself to those who reckon costs: figures, rivals, classes; and what errors cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.errors import UsageError
from rightfit.records import frozen
from rightfit.task import prices


@frozen
class Subject:
    """A measured model: its name, figures, limit on latency in ms, classes, problem, and its run's decision, if any."""

    name: str
    measured: Mapping[str, float]
    limit_ms: float | None
    classes: tuple[str, ...]
    problem: str
    decision: Mapping[str, Any]

    @property
    def rivals(self) -> Mapping[str, Any]:
        """The run's models with their confusion counts, by name."""
        return dict(self.decision.get("extras", {}).get("rivals") or {})


def subject(path: str | Path) -> Subject:
    """A run folder as it decided; a package as it measures here and now. Raises UsageError, PackageError."""
    folder = Path(path)
    if not folder.exists():
        raise UsageError(f"a run or a package must exist; got path={str(path)!r}, name a run folder, a package "
                         "folder or a zip.")
    if (folder / "decision.json").is_file() and not (folder / "package.json").is_file():
        return _of_run(folder)
    return _of_package(folder)


def _of_run(folder: Path) -> Subject:
    try:
        decision = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
        measured = {name: value for name, value in decision["measured"].items() if value}
        chosen, near = decision["chosen"], decision["nearest"]
        task = {**decision["task"], **decision.get("extras", {}).get("task", {})}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"a run folder must hold a whole decision.json; got path={str(folder)!r}: {error}.") from None
    if chosen is None and near:
        measured = {name: value for name, value in near["measured"].items() if value}
    name = (chosen or near or {}).get("name", folder.name)
    return Subject(name=str(name), measured=measured, limit_ms=_limit(task), classes=tuple(task.get("classes", ())),
                   problem=str(task["problem"]), decision=decision)


def _of_package(folder: Path) -> Subject:
    from rightfit.delivery.prove import figures
    from rightfit.package.probe import probe
    from rightfit.package.read import load

    model = load(folder)
    limits = {"limits": [{"name": one.name, "limit": one.limit} for one in model.task.limits]}
    return Subject(name=str(model.info["candidate"]["family"]), measured=figures(probe(folder)),
                   limit_ms=_limit(limits), classes=model.task.classes, problem=model.task.problem,
                   decision=model.decision or {})


def _limit(task: Mapping[str, Any]) -> float | None:
    found = [one["limit"] for one in task.get("limits", ()) if one["name"] == "latency_p95_ms"]
    return float(found[0]) if found else None


def matrix(worth: Mapping[str, float], of: Subject) -> tuple[tuple[float, ...], ...]:
    """Worth of each outcome (k, k) [true][predicted]: rights earn, wrongs cost. Raises UsageError.

    `right`, `wrong` hold for all; TP, TN, FP, FN for a binary task, "true>predicted" pairs override them. All are
    amounts of zero or more; those of errors are taken off.
    """
    if not of.classes or of.problem not in ("binary", "multiclass", "ordinal"):
        raise UsageError(f"worth needs a binary or multiclass problem; got problem={of.problem!r}, leave worth out.")
    for name, value in worth.items():
        if not 0 <= value < float("inf"):
            raise UsageError(f"a worth must be zero or more and finite, errors included; got {name}={value:g}.")
    k = len(of.classes)
    table = [[worth.get("right", 0.0) if i == j else -worth.get("wrong", 0.0) for j in range(k)] for i in range(k)]
    rest = {name: value for name, value in worth.items() if name not in ("right", "wrong")}
    for name, at in (("TP", 1), ("TN", 0)):
        if name in rest:
            if of.problem != "binary":
                raise UsageError(f"TP and TN need a binary problem; got {name} with {k} classes, write right=NUMBER.")
            table[at][at] = rest.pop(name)
    for name, value in rest.items():
        if ">" not in name and name not in ("FN", "FP"):
            raise UsageError("a worth must be of right, wrong, TP, TN, FN, FP, or of \"true>predicted\"; got "
                             f"worth={name!r}, correct it.")
        one = prices.matrix({name: 1.0}, of.problem, of.classes)
        for i, row in enumerate(one):
            for j, named in enumerate(row):
                table[i][j] = -value if named else table[i][j]
    return tuple(tuple(row) for row in table)
