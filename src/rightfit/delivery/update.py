"""`rightfit update`: is an update due, what is the cheapest that suffices, and does it beat the champion?

The newest rows are held out from everything that is trained. Every way is tried on the other rows' own newest part; the
cheapest within one standard error of the best is then trained on all of them and challenges the champion on the rows
held out, by one paired test and by every original limit measured again. What was challenged is what is promoted.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rightfit import decide, units
from rightfit.delivery import prove, versions
from rightfit.errors import DataError, RightfitError, UsageError
from rightfit.package import LoadedModel, load, verify, write
from rightfit.package.probe import probe
from rightfit.records import Candidate, Dataset, LimitCheck, Need, Rule, Step, asdict, frozen, revive
from rightfit.resources import afford

HELD = 0.3  # of the labelled rows, the newest: for the challenge alone
TRIED = 0.25  # of the others, the newest: to pick the way
FEWEST = 100  # labelled rows below which no update is judged
SIGNIFICANT = 1.645  # standard errors: one-sided 5 %
NEW_LABELS = 0.5  # of the rows it was trained on: so many new ones are a reason to look
FIT_S = 600.0
WINDOWS = {"all rows": 1.0, "the newest half": 0.5, "the newest quarter": 0.25}


@frozen
class Way:
    """One way of retraining as it was tried: utility gained over the champion in standard errors `t`, seconds."""

    name: str
    difference: float
    t: float
    seconds: float
    error: str = ""


@frozen
class Updated:
    """What an update came to. `due`: the reasons; `why`: sentences; `difference`: champion to challenger, utility.

    `package`: the challenger's folder where it was promoted without a registry (`out`), else empty.
    """

    status: Literal["not due", "kept", "promoted"]
    due: tuple[str, ...]
    why: tuple[str, ...]
    metric: str
    champion: float
    challenger: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    ways: tuple[Way, ...] = ()
    limits: tuple[LimitCheck, ...] = ()
    version: int | None = None
    package: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def update(path: str | Path, data: Any, *, out: str | Path | None = None, time_column: str | None = None,
           max_age: str | None = None, force: bool = False) -> Updated:
    """Update a registry's champion, or a package into `out`, from labelled rows; the champion stays unless beaten.

    data: rows with the target, the newest last, or ordered by `time_column` or the task's own. max_age: 90d and the
    like. force: look for something better although no update is due. Raises DataError, UsageError, PackageError.
    """
    path, registry = Path(path), versions.is_registry(path)
    if registry == (out is not None):
        raise UsageError(f"an update goes to a registry, or from a package to --out; got path={str(path)!r} and "
                         f"out={str(out)!r}.")
    current = versions.champion(path) if registry else path
    with verify.opened(current) as folder, tempfile.TemporaryDirectory(prefix="rightfit-update-") as place:
        model = load(folder)
        rows, print_ = labelled(model, data, time_column)
        cut = int(len(rows) * (1 - HELD))
        learn, held = rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))
        promise = _promise(path if registry else None, model)
        value, reasons = due(model, rows, held, promise, max_age)
        if not reasons and not force:
            found = Updated(status="not due", due=(), metric=model.task.metric, champion=value,
                            why=("No update is due: no significant loss against the promise, not too old, few new "
                                 "labels.",))
            return _kept(path, registry, found, print_)
        ways = [_tried(model, name, make, learn, Path(place)) for name, make in _ways(model).items()]
        best = _pick(ways)
        if best is None:
            said = "Nothing that was retrained did better than the champion on newer rows: it stays."
            found = Updated(status="kept", due=tuple(reasons), metric=model.task.metric, champion=value, why=(said,),
                            ways=tuple(ways))
            return _kept(path, registry, found, print_)
        part = Path(place) / "challenger"
        _ways(model)[best.name](learn, part)
        found = _challenged(model, part, held, tuple(reasons), tuple(ways), best)
        if found.status == "kept":
            return _kept(path, registry, found, print_)
        _watched(model, part, held)
        return _promoted(path, registry, part, out, found, print_)


def _watched(model: LoadedModel, part: Path, held: Dataset) -> None:
    """The rows of the challenge become the new reference, where the champion was watched against one."""
    from rightfit.delivery.monitor import keep, reference

    if (model.path / reference.NAME).is_file():
        known = reference.read(model.path, model.schema).importance
        pred = delivered(load(part), held)[0]
        reference.attach(part, held.X, held.y, pred, known, most=keep.room(model.task.limits, part))


def labelled(model: LoadedModel, data: Any, time_column: str | None = None) -> tuple[Dataset, str]:
    """Labelled rows in the order of time, and their fingerprint. Raises DataError for too few or unlabelled ones."""
    from rightfit.data.assemble import assemble, fingerprint
    from rightfit.data.table import pick

    target = model.task.target
    need = Need(modality=model.task.modality, target=target[0] if len(target) == 1 else target)
    frame = data if hasattr(data, "iloc") else pick(data, need).read(data, need).frame
    lacking = [name for name in target if name not in frame.columns]
    if lacking:
        raise DataError(f"labelled data must hold the target; got no column={lacking[0]!r}, add it.")
    column = time_column or model.task.time
    task = model.task if time_column is None else dataclasses.replace(model.task, time=time_column)
    rows = assemble(frame, model.schema, task)
    if len(rows) < FEWEST:
        raise DataError(f"an update needs {FEWEST} labelled rows; got rows={len(rows)}, wait for more.")
    if column is not None and rows.time is not None:
        rows = rows.take(np.argsort(rows.time, kind="stable"))
    return rows, fingerprint(frame)


def due(model: LoadedModel, rows: Dataset, held: Dataset, promise: Mapping[str, Any] | None,
        max_age: str | None = None) -> tuple[float, list[str]]:
    """(the champion's metric on the newest rows, why an update is due, empty where it is not)."""
    from rightfit.metrics import base, interval

    task, metric = model.task, base.find(model.task.metric, model.task.problem)
    pred, codes = delivered(model, held)
    value, low, high = interval.bootstrap(held.y, pred, codes, metric, task)
    reasons = []
    if promise and promise.get("value") is not None:
        sign = 1.0 if metric.greater_is_better else -1.0
        halves = [(high - low) / 3.92, ((promise.get("high") or 0) - (promise.get("low") or 0)) / 3.92]
        error = float(np.hypot(halves[0], halves[1])) or 1e-12
        if sign * (float(promise["value"]) - value) > SIGNIFICANT * error:
            reasons.append(f"{metric.name} is {value:.4g} on the newest {len(held)} rows, against a promise of "
                           f"{promise['value']:.4g}: a significant loss.")
    broken = [c for c in decide.check(_floors(model), _scores(model, held, pred, codes)) if not c.met]
    reasons += [f"{c.name} is {c.value:.4g} on the newest {len(held)} rows, against a limit of {c.limit:g}."
                for c in broken if c.value is not None]
    age = (datetime.now(UTC) - datetime.fromisoformat(str(model.info["created"]))).total_seconds()
    if max_age is not None and age > units.seconds(max_age, "max_age"):
        reasons.append(f"It is {age / 86400:.0f} days old, more than {max_age}.")
    if task.rows and len(rows) >= NEW_LABELS * task.rows:
        reasons.append(f"There are {len(rows)} new labelled rows, against {task.rows} that it was chosen on.")
    return value, reasons


def delivered(model: LoadedModel, rows: Dataset) -> tuple[Any, Any]:
    """(calibrated probabilities (n, k) or values, codes or None) of coerced rows."""
    from rightfit.metrics import rules

    pred, codes = rules.apply(model.raw_of_coerced(rows.X), model.task, model.rule)
    return (pred[:, 0] if codes is None and pred.shape[1] == 1 else pred), codes


def _floors(model: LoadedModel) -> tuple[Any, ...]:
    from rightfit.metrics import base

    return tuple(limit for limit in model.task.limits if base.is_metric(limit.name))


def _scores(model: LoadedModel, rows: Dataset, pred: Any, codes: Any) -> dict[str, float]:
    from rightfit.metrics import base, rules

    found = {}
    for limit in _floors(model):
        metric = base.find(limit.name, model.task.problem)
        found[limit.name] = rules.of_rows(metric, rows.y, pred, codes, np.arange(len(rows)), model.task)
    return found


Make = Callable[[Dataset, Path], None]


def _ways(model: LoadedModel) -> dict[str, Make]:
    """Ways of retraining, the cheapest first: each writes a package made from labelled rows."""
    found: dict[str, Make] = {"recalibrate": lambda rows, part: _recalibrate(model, rows, part)} \
        if model.task.classifies else {}

    def of(share: float) -> Make:
        return lambda rows, part: _refit(model, rows.take(np.arange(int(len(rows) * (1 - share)), len(rows))), part)

    return found | {f"refit on {name}": of(share) for name, share in WINDOWS.items()}


def _recalibrate(model: LoadedModel, rows: Dataset, part: Path) -> None:
    from rightfit.metrics import conformal, rules

    raw = model.raw_of_coerced(rows.X)
    rule = rules.tune(rows.y, raw, model.task.metric, model.task)
    rule = conformal.bounded(rule, rows.y, rules.apply(raw, model.task, rule)[0], model.task)
    write.install(model.path, part)
    write.restamp(part, rule=rule)


def _refit(model: LoadedModel, rows: Dataset, part: Path) -> None:
    """The same candidate on other rows; its rule is tuned on their newest fifth by a model of the rest."""
    from rightfit.metrics import conformal, rules
    from rightfit.tuning import trial

    said = model.info["candidate"]
    candidate = Candidate(family=said["family"], params=said["params"],
                          steps=tuple(revive(Step, step) for step in said.get("steps", ())))
    deadline, rule = time.monotonic() + FIT_S, Rule()
    if model.task.classifies or model.task.coverage is not None:
        cut = int(0.8 * len(rows))
        first = trial.fit(candidate, rows.take(np.arange(cut)), model.task, seed=0, deadline=deadline)
        newest = rows.take(np.arange(cut, len(rows)))
        raw = first.predict(newest.X)
        rule = rules.tune(newest.y, raw, model.task.metric, model.task)
        rule = conformal.bounded(rule, newest.y, rules.apply(raw, model.task, rule)[0], model.task)
    fitted = trial.fit(candidate, rows, model.task, seed=0, deadline=deadline)
    write.write(fitted, part, task=model.task, schema=model.schema, rule=rule, candidate=candidate,
                sample=list(model.sample))


def _tried(model: LoadedModel, name: str, make: Make, learn: Dataset, place: Path) -> Way:
    """One way on the older part of the rows, compared with the champion on their newer part."""
    cut, started = int(len(learn) * (1 - TRIED)), time.process_time()
    newer = learn.take(np.arange(cut, len(learn)))
    part = place / f"way-{name.replace(' ', '-')}"
    try:
        make(learn.take(np.arange(cut)), part)
        found = _compared(model, load(part), newer)
    except (RightfitError, ValueError, ArithmeticError) as error:
        return Way(name=name, difference=float("nan"), t=float("nan"), seconds=time.process_time() - started,
                   error=str(error)[:200])
    return Way(name=name, difference=found.difference, t=found.t, seconds=time.process_time() - started)


def _compared(champion: LoadedModel, other: LoadedModel, rows: Dataset) -> Any:
    from rightfit.metrics import compare

    mine, theirs = delivered(champion, rows), delivered(other, rows)
    codes = None if mine[1] is None else (theirs[1], mine[1])
    return compare.paired_rows(rows.y, theirs[0], mine[0], champion.task.metric, champion.task, codes=codes)


def _pick(ways: list[Way]) -> Way | None:
    """The first that is within one standard error of the best, which must have gained something."""
    gained = [way for way in ways if not way.error and way.difference > 0]
    if not gained:
        return None
    best = max(gained, key=lambda way: way.difference)
    error = best.difference / best.t if best.t and np.isfinite(best.t) else 0.0
    return next(way for way in gained if way.difference >= best.difference - error)


def _challenged(model: LoadedModel, part: Path, held: Dataset, reasons: tuple[str, ...], ways: tuple[Way, ...],
                way: Way) -> Updated:
    """The challenge on held-out rows: one paired test, and every original limit measured again."""
    from rightfit.metrics import base, rules

    other, task = load(part), model.task
    found = _compared(model, other, held)
    pred, codes = delivered(other, held)
    mine, my_codes = delivered(model, held)
    metric = base.find(task.metric, task.problem)
    every = np.arange(len(held))
    values = [rules.of_rows(metric, held.y, p, c, every, task) for p, c in ((mine, my_codes), (pred, codes))]
    scores = _scores(other, held, pred, codes)
    figures = {**prove.figures(probe(part)), **scores} if task.limits else scores
    checks = decide.check(task.limits, afford.priced(task.serving, task.limits, figures))
    broken = [c for c in checks if not c.met]
    better = found.difference > 0 and found.t > SIGNIFICANT
    failing = [c for c in decide.check(_floors(model), _scores(model, held, mine, my_codes)) if not c.met]
    needed = bool(failing) and not broken and found.t > -SIGNIFICANT
    said = (f"{way.name}: {metric.name} {values[1]:.4g} against {values[0]:.4g} of the champion on {len(held)} "
            f"held-out rows, a gain of {found.difference:.4g} [{found.low:.4g}, {found.high:.4g}].")
    if broken:
        verdict = "It breaks a limit (" + ", ".join(c.name for c in broken) + "): the champion stays."
    elif better:
        verdict = "It is better beyond doubt and meets every original limit: it is promoted."
    elif needed:
        verdict = "The champion breaks a limit which it meets, and it is not worse: it is promoted."
    else:
        verdict = "That is not better beyond doubt: the champion stays."
    promoted = not broken and (better or needed)
    return Updated(status="promoted" if promoted else "kept", due=reasons, why=(said, verdict), metric=metric.name,
                   champion=values[0], challenger=values[1], difference=found.difference, low=found.low,
                   high=found.high, ways=ways, limits=checks)


def _promise(folder: Path | None, model: LoadedModel) -> Mapping[str, Any] | None:
    """The estimate that was promised: kept in the registry's lineage, or in the run's decision.json."""
    if folder is not None:
        now = versions.read(folder)
        if now.champion is not None:
            kept = now.lineage(now.champion).details.get("promise")
            return dict(kept) if kept else None
    return (model.decision or {}).get("estimate") or None


def promise(package: str | Path) -> dict[str, Any]:
    """What the registry keeps of a package's run: {"promise": estimate}, empty where there is no decision."""
    found = (load(package).decision or {}).get("estimate")
    return {"promise": found} if found else {}


def _kept(path: Path, registry: bool, found: Updated, print_: str) -> Updated:
    if registry:
        versions.keep(path, why=" ".join(found.why), data=print_, details={"due": list(found.due)})
    return found


def _promoted(path: Path, registry: bool, part: Path, out: str | Path | None, found: Updated,
              print_: str) -> Updated:
    if not registry:
        assert out is not None
        write.install(part, out)
        return dataclasses.replace(found, package=str(out))
    why = " ".join(found.why)
    kept = {"promise": {"value": found.challenger, "low": found.challenger, "high": found.challenger},
            "due": list(found.due), "ways": asdict(found.ways)}
    version = versions.add(path, part, data=print_, why=why, details=kept)
    versions.challenge(path, version, why=why)
    versions.promote(path, version, why=why)
    return dataclasses.replace(found, version=version)


def text(found: Updated) -> str:
    """An update in plain sentences."""
    lines = [f"{found.status}: {found.metric} of the champion on the newest rows: {found.champion:.4g}",
             *(f"due: {reason}" for reason in found.due)]
    lines += [f"  tried {w.name}: " + (w.error or f"{w.difference:+.4g} (t = {w.t:.1f}), {w.seconds:.1f} s")
              for w in found.ways]
    return "\n".join([*lines, *found.why])
