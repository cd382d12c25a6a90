"""A finished package made smaller or faster: every step that applies is tried, measured, and kept only if it pays."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rightfit import decide, registry
from rightfit.decide import Contender
from rightfit.delivery import prove
from rightfit.errors import PackageError, UsageError
from rightfit.package import LoadedModel, load, verify, write
from rightfit.package.probe import probe
from rightfit.records import Candidate, Dataset, Limit, LimitCheck, Step, asdict, frozen, revive
from rightfit.resources.measure import size_mib

PAYS = 0.95  # of the latency or of the size before: less is not worth another model
AGAIN = 2  # times that a gain in latency alone is measured again, beside the package as it is
CALIBRATE = 256  # rows at most that are set aside for calibrating, and not measured on
FEWEST = 100  # labelled rows from which some are set aside, and a loss may be called chance
SIGNIFICANT = 1.645  # standard errors of the paired difference: one-sided 5 %
CHANGED = 0.02  # share of changed labels that is borne where no labelled rows tell what they cost
APART = 0.05  # the same for values: root mean square, in standard deviations of the predictions
KEPT = "as it is"


@frozen
class Attempt:
    """One way of compressing. `name`: its steps; `measured`: what its package costs, empty where that is not known.

    `loss`: utility lost on labelled rows, with its 95 % interval `low`, `high`, and in standard errors `t`; nan
    without. `changed`: share of labels that differ, or root mean square of values in their standard deviations.
    `reason`: why it is out, or empty.
    """

    name: str
    steps: tuple[Step, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    loss: float = math.nan
    low: float = math.nan
    high: float = math.nan
    t: float = math.nan
    changed: float = 0.0
    reason: str = ""


@frozen
class Compressed:
    """What compressing came to. `attempts`: the package as it is first; `chosen`: an attempt's name, or empty.

    `evidence` says on what rows losses were found; `nearest` what it would take where no attempt meets the limits.
    """

    status: Literal["compressed", "unchanged", "infeasible"]
    chosen: str
    attempts: tuple[Attempt, ...]
    limits: tuple[LimitCheck, ...]
    metric: str
    evidence: str
    nearest: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class _Bench:
    """What attempts are made with: the package, rows to calibrate on, rows to measure on (y None: unlabelled)."""

    folder: Path
    model: LoadedModel
    candidate: Candidate
    calibrate: Dataset
    rows: Dataset
    place: Path
    zipped: bool
    allowed: float
    seed: int
    before: Any = None

    def __post_init__(self) -> None:
        self.before = _delivered(self.model, self.rows)


def compress(package: str | Path, out: str | Path, *, limits: Sequence[Limit] = (), data: Any = None,
             max_loss: float = 0.0, seed: int = 0) -> Compressed:
    """Write the best compressed package to `out`, a folder or .zip, or the package as it is where nothing pays.

    Best: the least geometric mean of single-row latency and size among those that meet every limit and lose nothing
    significant, or at most `max_loss` of the task's metric (in its unit; without `data`, of the labels). data: labelled
    rows that the model has not learned from; losses are then paired differences on them, significant beyond 1.645
    bootstrap standard errors (one-sided 5 %); of fewer than 100 rows any loss counts.
    Nothing is written when a limit is not met. Raises PackageError, DataError, UsageError.
    """
    out = Path(out)
    if not max_loss >= 0:
        raise UsageError(f"max_loss must be 0 or more; got max_loss={max_loss!r}.")
    if out.suffix != ".zip" and (out.is_symlink() or (out.exists() and not out.is_dir())):
        raise UsageError(f"the output must be a folder or end in .zip; got out={str(out)!r}, which is something else.")
    with verify.opened(Path(package)) as folder, tempfile.TemporaryDirectory(prefix="rightfit-compress-") as place:
        model = load(folder)
        candidate = revive(Candidate, {**model.info["candidate"], "steps": ()})
        candidate = dataclasses.replace(candidate, steps=tuple(
            revive(Step, step) for step in model.info["candidate"].get("steps", ())))
        calibrate, rows = _rows(model, data, seed)
        bench = _Bench(folder=folder, model=model, candidate=candidate, calibrate=calibrate, rows=rows,
                       place=Path(place), zipped=out.suffix == ".zip", allowed=max_loss, seed=seed)
        attempts = [_as_it_is(bench), *(_attempt(bench, steps, number)
                                        for number, steps in enumerate(_ways(bench, limits)))]
        found = _choose(bench, _confirmed(bench, attempts), limits)
        if found.chosen:
            _put(bench, found, out)
        return found


def _rows(model: LoadedModel, data: Any, seed: int) -> tuple[Dataset, Dataset]:
    """(rows to calibrate on, rows to measure on); the package's sample where there is nothing better."""
    import pandas as pd

    from rightfit.data.assemble import assemble
    from rightfit.data.schema import coerce
    from rightfit.data.table import pick
    from rightfit.records import Need

    sample = Dataset(X=coerce(pd.DataFrame(list(model.sample), dtype=object), model.schema), schema=model.schema)
    if data is None:
        return sample, sample
    target = model.task.target
    need = Need(modality=model.task.modality, target=target[0] if len(target) == 1 else target)
    rows = assemble(pick(data, need).read(data, need).frame, model.schema, model.task)
    if rows.y is None:
        raise UsageError(f"data must hold the target, so that losses can be measured; got no {', '.join(target)}, give "
                         "labelled rows or leave --data out.")
    if len(rows) < FEWEST:
        return sample, rows
    order = np.random.default_rng(seed).permutation(len(rows))
    aside = min(CALIBRATE, len(rows) // 5)
    return rows.take(np.sort(order[:aside])), rows.take(np.sort(order[aside:]))


def _ways(bench: _Bench, limits: Sequence[Limit]) -> list[tuple[Step, ...]]:
    """Every variant of every step that changes files, in the order of their names."""
    family = registry.plugin("rightfit.models", bench.candidate.family, "family")
    task = dataclasses.replace(bench.model.task, limits=tuple(limits))
    done = {step.name for step in bench.candidate.steps}
    return [(Step(name=name, params=params),) for name, spec in registry.plugins("rightfit.tuning.compress").items()
            if spec.apply is not None and name not in done for params in spec.plan(bench.candidate, family, task)]


def named(steps: Sequence[Step]) -> str:
    """Steps as people read them.

    >>> named([Step(name="int8_static", params={"method": "minmax"}), Step(name="float16")])
    'int8_static(method=minmax) + float16'
    """
    return " + ".join(step.name + (f"({', '.join(f'{k}={v}' for k, v in step.params.items())})" if step.params else "")
                      for step in steps)


def _delivered(model: LoadedModel, rows: Dataset) -> tuple[Any, Any]:
    """(calibrated probabilities or values, codes or None) of coerced rows."""
    from rightfit.metrics import rules

    pred, codes = rules.apply(model.raw_of_coerced(rows.X), model.task, model.rule)
    return (pred[:, 0] if codes is None and pred.shape[1] == 1 else pred), codes


def _changed(bench: _Bench, after: tuple[Any, Any]) -> float:
    """Share of changed labels; for values the root mean square difference in standard deviations."""
    (pred, codes), (now, new) = bench.before, after
    if codes is not None:
        return float(np.mean(codes != new))
    spread = float(np.std(pred)) or 1.0
    return float(np.sqrt(np.mean((pred - now) ** 2))) / spread


def _packed(bench: _Bench, folder: Path) -> Path:
    """The package as it will lie there: zipped if that was asked."""
    return write.zip_package(folder, folder.with_suffix(".zip")) if bench.zipped else folder


def _as_it_is(bench: _Bench) -> Attempt:
    whole = bench.place / "whole"
    write.install(bench.folder, whole)
    return Attempt(name=KEPT, measured=prove.figures(probe(_packed(bench, whole))), loss=0.0, low=0.0, high=0.0, t=0.0)


def _attempt(bench: _Bench, steps: tuple[Step, ...], number: int) -> Attempt:
    """Compress, package, compare, measure; what loses too much is not measured any further."""
    from rightfit.tuning.compress import apply_steps

    found = Attempt(name=named(steps), steps=steps)
    try:
        model = apply_steps(bench.folder, steps, bench.calibrate, bench.model.task, bench.seed)
    except UsageError as error:
        return dataclasses.replace(found, reason=f"does not apply: {error}")
    folder = bench.place / f"way{number}"
    candidate = dataclasses.replace(bench.candidate, steps=(*bench.candidate.steps, *steps))
    write.write(model, folder, task=bench.model.task, schema=bench.model.schema, rule=bench.model.rule,
                candidate=candidate, sample=list(bench.model.sample))
    found = dataclasses.replace(found, **_lost(bench, load(folder)))
    path = _packed(bench, folder)
    if reason := _too_much(bench, found):
        return dataclasses.replace(found, measured={"size_mib": size_mib(path)}, reason=reason)
    try:
        return dataclasses.replace(found, measured=prove.figures(probe(path)))
    except PackageError as error:  # the other attempts count all the same
        return dataclasses.replace(found, reason=f"was not measured: {error}")


def _lost(bench: _Bench, model: LoadedModel) -> dict[str, Any]:
    """What the labelled rows say was lost, positive when worse, and how much has changed."""
    from rightfit.metrics.compare import paired_rows

    after = _delivered(model, bench.rows)
    found: dict[str, Any] = {"changed": _changed(bench, after)}
    if bench.rows.y is None:
        return found
    task = model.task
    (pred, codes), (now, new) = bench.before, after
    pair = paired_rows(bench.rows.y, pred, now, task.metric, task, codes=None if codes is None else (codes, new),
                       groups=bench.rows.groups, seed=bench.seed)
    low, high = (pair.difference, pair.difference) if math.isnan(pair.low) else (pair.low, pair.high)
    return {**found, "loss": pair.difference, "low": low, "high": high, "t": pair.t}


def _too_much(bench: _Bench, found: Attempt) -> str:
    """Why its loss rules it out, or nothing."""
    if bench.rows.y is not None:
        if math.isnan(found.loss):
            return f"its loss of {bench.model.task.metric} is not defined on the rows given"
        if found.loss <= bench.allowed or (len(bench.rows) >= FEWEST and found.t < SIGNIFICANT):
            return ""
        return f"loses {found.loss:.4g} [{found.low:.4g}, {found.high:.4g}] {bench.model.task.metric}"
    classifies = bench.model.task.classifies
    if found.changed <= max(bench.allowed, CHANGED if classifies else APART):
        return ""
    told = f"changes {found.changed:.1%} of the labels" if classifies else \
        f"moves predictions by {found.changed:.3g} of their standard deviation"
    return f"{told}; labelled rows (--data) could tell whether that is a loss"


def _shares(before: Attempt, after: Attempt) -> tuple[float, float]:
    """Latency and size as shares of those before."""
    latency, size = (after.measured[name] / before.measured[name] for name in ("latency_p50_ms", "size_mib"))
    return latency, size


def _confirmed(bench: _Bench, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """What is only faster is measured again in turn with what it is compared to: each keeps its quickest figures.

    Noise slows measurements and never quickens them, so that a gain by noise alone goes away.
    """
    first, *others = attempts
    found = []
    for number, attempt in enumerate(others):
        for _ in range(AGAIN):
            latency, size = (1.0, 0.0) if attempt.reason else _shares(first, attempt)
            if size <= PAYS or latency > PAYS:
                break
            first = _quicker(bench, first, bench.place / "whole")
            attempt = _quicker(bench, attempt, bench.place / f"way{number}")
        found.append(attempt)
    return first, *found


def _quicker(bench: _Bench, attempt: Attempt, folder: Path) -> Attempt:
    try:
        again = prove.figures(probe(folder.with_suffix(".zip") if bench.zipped else folder))
    except PackageError:
        return attempt  # its earlier figures stand
    better = again["latency_p50_ms"] < attempt.measured["latency_p50_ms"]
    return dataclasses.replace(attempt, measured=again if better else attempt.measured)


def _choose(bench: _Bench, attempts: tuple[Attempt, ...], limits: Sequence[Limit]) -> Compressed:
    """The attempt with the least cost among those that pay and meet every limit."""
    first = attempts[0]
    judged = [first]
    for attempt in attempts[1:]:
        if not attempt.reason and min(_shares(first, attempt)) > PAYS:
            attempt = dataclasses.replace(attempt, reason="neither faster nor smaller")
        judged.append(attempt)
    usable = [a for a in judged if not a.reason]
    within = [a for a in usable if all(c.met for c in decide.check(limits, a.measured))]
    done = Compressed(status="infeasible", chosen="", attempts=tuple(judged), limits=(), evidence=_evidence(bench),
                      metric=bench.model.task.metric, notes=_notes(judged, limits))
    if not within:
        near = decide.nearest([Contender(key=a.name, family=bench.candidate.family, utility=-max(a.loss, 0.0) if
                                         a.loss == a.loss else -a.changed, measured=a.measured, gaps={})
                               for a in usable], limits)
        checks = decide.check(limits, near["measured"]) if near else ()
        return dataclasses.replace(done, nearest=near, limits=checks)
    best = min(within, key=lambda a: (math.prod(_shares(first, a)), a.name))
    return dataclasses.replace(done, status="unchanged" if best is first else "compressed", chosen=best.name,
                               limits=decide.check(limits, best.measured))


def _notes(attempts: Sequence[Attempt], limits: Sequence[Limit]) -> tuple[str, ...]:
    """What a larger allowance would make possible."""
    sized = [limit for limit in limits if limit.name == "size_mib"]
    return tuple(f"{a.name} would be {a.measured['size_mib']:.3g} MiB, but {a.reason}; --max-loss allows more."
                 for a in attempts if a.reason and "size_mib" in a.measured and a.name != KEPT and sized
                 and a.reason != "neither faster nor smaller" and decide.check(sized, a.measured)[0].met)


def _evidence(bench: _Bench) -> str:
    n = len(bench.rows)
    if bench.rows.y is not None:
        return f"Losses of {bench.model.task.metric} are paired differences on {n} labelled rows, 95 % bootstrap."
    return f"No labelled rows were given: only changes on the package's {n} sample rows are known, no loss of quality."


def _put(bench: _Bench, found: Compressed, out: Path) -> None:
    number = [a.name for a in found.attempts].index(found.chosen)
    folder = bench.place / ("whole" if number == 0 else f"way{number - 1}")
    if bench.zipped:
        write.zip_package(folder, out)
    else:
        write.install(folder, out)


def table(found: Compressed) -> str:
    """The attempts as aligned text, the chosen one marked, and what follows from them."""
    head = ("", "step", "size", "p50", "p95", "memory", f"loss of {found.metric}", "changed", "")
    rows = [head, *(_row(found, attempt) for attempt in found.attempts)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
             for row in rows]
    return "\n".join([*lines, found.evidence, *found.notes, *_verdict(found)])


def _row(found: Compressed, attempt: Attempt) -> tuple[str, ...]:
    def figure(name: str) -> str:
        return decide.show(name, attempt.measured[name]) if name in attempt.measured else ""

    loss = "" if attempt.loss != attempt.loss else f"{attempt.loss:.4g} [{attempt.low:.4g}, {attempt.high:.4g}]"
    return ("*" if attempt.name == found.chosen else "", attempt.name, figure("size_mib"), figure("latency_p50_ms"),
            figure("latency_p95_ms"), figure("memory_mib"), "" if attempt.name == KEPT else loss,
            "" if attempt.name == KEPT else f"{attempt.changed:.3g}", attempt.reason)


def _verdict(found: Compressed) -> list[str]:
    if found.status == "compressed":
        return [f"Chosen: {found.chosen}."]
    if found.status == "unchanged":
        return ["No step pays: the package stays as it is."]
    near = found.nearest or {}
    return [f"Infeasible: no attempt meets every limit; the nearest is {near.get('name')}: it would take "
            f"{near.get('would_take')}."]


def to_json(found: Compressed) -> dict[str, Any]:
    """The result as JSON values; what is not known is None."""
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return dict(plain(asdict(found)))
