"""The reference of a package that has just been chosen, within the room that the size limit leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rightfit import decide
from rightfit.delivery.monitor import reference
from rightfit.records import Decision, Limit

SIZE, UNWATCHED = "size_mib", "no_reference"


def size_mib(package: Path) -> float:
    """All files of a package folder."""
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) / 2**20


def room(limits: Sequence[Limit], package: Path) -> int:
    """Bytes that a reference may take: 1 MiB, or what a limit on the size leaves."""
    least = min((limit.limit for limit in limits if limit.name == SIZE), default=float("inf"))
    return int(min(reference.BYTES, 2**20 * (least - size_mib(package)) - 1024))


def reference_of(decision: Decision, question: Any, delivery: Any, bench: Any) -> Decision:
    """Attach the rows left out of fitting to the delivered package; its size is measured again.

    Left out with `choose --no-reference` and where predictions are no table; where rows or room are too few, the
    decision says so.
    """
    entry = delivery.entries.get(delivery.chosen.key) if delivery.chosen else None
    if entry is None or not question.need.options.get("reference", True) or question.data.y is None:
        return decision
    importance = {one["feature"]: float(one["value"]) for one in decision.extras.get("importance", ())}
    pred = entry.pred[:, 0] if not decision.task.classifies and entry.pred.ndim == 2 and entry.pred.shape[1] == 1 \
        else entry.pred
    rows = reference.attach(bench.package, question.data.X.iloc[entry.rows].reset_index(drop=True),
                            question.data.y[entry.rows], pred, importance,
                            most=room(decision.task.limits, bench.package), seed=question.need.seed)
    if not rows:
        few = len(entry.rows) < reference.FEWEST
        said = f"The package keeps no reference for monitoring: {len(entry.rows)} rows were left out of training, " \
               f"{reference.FEWEST} are needed; more data or more folds (--folds) give more." if few else \
               "The package keeps no reference for monitoring: the limit on its size leaves no room for it."
        return dataclasses.replace(decision, why=(*decision.why, said), extras={**decision.extras, UNWATCHED: said})
    measured = {**decision.measured, SIZE: size_mib(bench.package)}
    checks = {check.name: check for check in decide.check(decision.task.limits, measured)}
    limits = tuple(checks[check.name] if check.name == SIZE else check for check in decision.limits)
    return dataclasses.replace(decision, measured=measured, limits=limits,
                               extras={**decision.extras, "reference": {"rows": rows}})
