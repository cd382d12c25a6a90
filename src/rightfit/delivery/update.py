"""`rightfit update`: is an update due, what is the cheapest that suffices, and does it beat the champion?

The newest rows are held out. Every way learns from the older ones and is compared with the champion on those held out;
the cheapest within one standard error of the best challenges it, by a paired test that allows for how many were tried.
What wins learns again from all rows, the newest too, as `choose` fits again on all rows what folds have proven, and
goes live where every original limit, measured on it again, is met. Where nothing wins, and it is asked for, a new
choice on the rows that are not held out challenges as it is.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rightfit import decide
from rightfit.delivery import due as reasons_of
from rightfit.delivery import prove, versions
from rightfit.delivery.due import SIGNIFICANT, floors, scores
from rightfit.delivery.held import Held, rows_for
from rightfit.delivery.monitor import keep, reference
from rightfit.delivery.ways import Make, Way, need_again, rows_again, ways
from rightfit.errors import DataError, RightfitError, UsageError
from rightfit.package import LoadedModel, load, verify, write
from rightfit.package.probe import probe
from rightfit.records import Dataset, LimitCheck, Need, Rule, asdict, frozen
from rightfit.resources import afford

HELD = 0.3  # of the labelled rows, the newest are held out: long enough that a passing mood of the data proves nothing
FEWEST = 100  # labelled rows below which no update is judged
WATCHED = 2 * reference.FEWEST  # the same, where the rows held out must make a new reference
ANEW = "a new choice"
Anew = Callable[[Any, Need, Path], Path | None]


@frozen
class Terms:
    """What is asked of an update. time_column: its order, else the task's own; max_age: 90d and the like.

    force: look for something better although no update is due. anew(frame, need, folder): a new choice, its package
    or None where nothing meets the limits; asked where no cheaper way suffices.
    """

    time_column: str | None = None
    max_age: str | None = None
    force: bool = False
    anew: Anew | None = None


@frozen
class Updated:
    """What an update came to. `due`: the reasons; `why`: sentences; `difference`: champion to challenger, utility.

    `seconds`: CPU time of all retraining. `package`: the challenger's folder where it was promoted without a registry
    (`out`), else empty.
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
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)


def update(path: str | Path, data: Any, *, out: str | Path | None = None, terms: Terms | None = None) -> Updated:
    """Update a registry's champion, or a package into `out`, from labelled rows; the champion stays unless beaten.

    data: rows with the target, the newest last, or ordered by a time column. Raises DataError, UsageError,
    PackageError.
    """
    path, registry, terms = Path(path), versions.is_registry(path), terms or Terms()
    if registry == (out is not None):
        raise UsageError(f"an update goes to a registry, or from a package to --out; got path={str(path)!r} and "
                         f"out={None if out is None else str(out)!r}.")
    if out is not None and Path(out).exists():
        raise UsageError(f"a better package needs a new folder; got out={str(out)!r}, which exists.")
    current = versions.champion(path) if registry else path
    with verify.opened(current) as folder, tempfile.TemporaryDirectory(prefix="rightfit-update-") as place:
        model = load(folder)
        rows, print_ = labelled(model, data, terms.time_column)
        if (model.path / reference.NAME).is_file() and len(rows) < WATCHED:
            raise DataError(f"an update of a package that is watched needs {WATCHED} labelled rows; got "
                            f"rows={len(rows)}, wait for more.")
        learn, held = _divided(rows)
        promise = _promise(path if registry else None, model)
        until = _until(path if registry else None, model, rows)
        reached, reasons, lost = reasons_of.due(model, rows, held, promise, terms.max_age, until)
        if not reasons and not terms.force:
            found = Updated(status="not due", due=(), metric=model.task.metric, champion=reached["value"],
                            why=("No update is due: no significant loss against the promise, no drift that matters, "
                                 "not too old, few new labels.",))
            return _kept(path, registry, found, print_, reached)
        on = Held(model, held, promise)
        found, part, name = _sought(on, (rows, learn), Path(place), terms, (lost, until))
        found = dataclasses.replace(found, due=tuple(reasons))
        if found.status == "kept":
            return _kept(path, registry, found, print_, reached)
        kept = {"promise": _watched(on, part, name), "ways": asdict(found.ways), "due": list(found.due),
                "until": None if until is None else float(rows.time.max())}
        return _promoted(path, registry, part, out, found, print_, kept)


def _sought(held: Held, sides: tuple[Dataset, Dataset], place: Path, terms: Terms,
            known: tuple[bool, float | None]) -> tuple[Updated, Path, str]:
    """The cheapest way that suffices challenges the champion; where that comes to nothing, a new choice does.

    sides: all rows, and those to learn from; known: whether the champion has lost significantly against its promise,
    and the newest time that it knows. Returns what came of it, the package to promote, and who challenged.
    """
    (rows, learn), (lost, until), part = sides, known, place / "challenger"
    started, makers = time.process_time(), ways(held.model, until)
    tried, tuned = _tries(held, makers, learn)
    best = _pick(held, tried)
    if best is None:
        said = "Nothing that was retrained did better than the champion on newer rows: it stays."
        found = Updated(status="kept", due=(), metric=held.model.task.metric, why=(said,), champion=held.value())
    else:
        found, reached = _challenged(held, best.name, (bar(len(makers)), lost))
        if found.status == "promoted":
            makers[best.name](rows, tuned[best.name]).write(part)
            found = _within(found, held.model, part, reached)
    spent = time.process_time() - started
    if found.status == "kept" and terms.anew is not None:
        found, part, more = _chosen_anew(held, learn, place, terms.anew, (found, bar(len(makers) + 1), lost))
        return dataclasses.replace(found, ways=tried, seconds=spent + more), part, ANEW
    return dataclasses.replace(found, ways=tried, seconds=spent), part, best.name if best else ""


def bar(several: int) -> float:
    """Standard errors above which the best of several is better beyond doubt: one-sided 5 % by Bonferroni.

    >>> round(bar(1), 3), round(bar(3), 3)
    (1.645, 2.128)
    """
    from scipy import stats

    return float(stats.norm.isf(0.05 / several))


def _chosen_anew(held: Held, learn: Dataset, place: Path, anew: Anew,
                 so_far: tuple[Updated, float, bool]) -> tuple[Updated, Path, float]:
    """A whole new choice on the rows that are not held out, under the same limits; CPU time with its workers'."""
    import os

    model, (before, least, lost), started, part = held.model, so_far, os.times(), place / "anew"
    package = anew(rows_again(learn, model), need_again(model), part)
    ended = os.times()
    spent = sum(getattr(ended, name) - getattr(started, name)
                for name in ("user", "system", "children_user", "children_system"))
    if package is None:
        return dataclasses.replace(before, why=(*before.why, "A new choice found nothing that meets the limits.")), \
            part, spent
    other = load(package)
    if other.task.classes != model.task.classes:
        return dataclasses.replace(before, why=(*before.why, "A new choice saw other classes: it cannot follow.")), \
            part, spent
    held.hear(ANEW, other.raw_of_coerced(rows_for(other, held.rows).X), other.rule)
    found, reached = _challenged(held, ANEW, (least, lost))
    if found.status == "promoted":
        found = _within(found, model, package, reached)
    return dataclasses.replace(found, why=(*before.why, *found.why)), package, spent


def _watched(held: Held, part: Path, name: str) -> dict[str, Any]:
    """The rows of the challenge, with what was said of them there, become the new reference where the champion was
    watched against one; the promise is the score there."""
    from rightfit.metrics import base, interval

    model, rows, (pred, codes) = held.model, held.rows, held.said(name)
    if (model.path / reference.NAME).is_file():
        same = rows_for(load(part), rows)
        importance = reference.read(model.path, model.schema).importance
        known = {column: share for column, share in importance.items() if column in same.X.columns}
        reference.attach(part, same.X, same.y, pred, known, most=keep.room(model.task.limits, part))
    metric = base.find(model.task.metric, model.task.problem)
    value, low, high = interval.bootstrap(rows.y, pred, codes, metric, model.task)
    return {"value": value, "low": low, "high": high}


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


def _tries(held: Held, makers: Mapping[str, Make], learn: Dataset) -> tuple[tuple[Way, ...], dict[str, Rule]]:
    """The ways, the cheapest first, until one is better beyond doubt and keeps the promise: dearer ones are spared.

    Each learns from the older rows and is compared with the champion on those held out; with the rules they came to.
    """
    tried, tuned = list[Way](), dict[str, Rule]()
    for name, make in makers.items():
        started, nan = time.process_time(), float("nan")
        try:
            made = make(learn, None)
            held.hear(name, made.raw(held.rows), made.rule)
            found = held.compared(name, together=True)
        except (RightfitError, ValueError, ArithmeticError) as error:
            tried.append(Way(name=name, difference=nan, t=nan, seconds=time.process_time() - started,
                             error=str(error)[:200]))
            continue
        tried.append(Way(name=name, difference=found.difference, t=found.t, seconds=time.process_time() - started))
        tuned[name] = made.rule
        if found.difference > 0 and found.t > bar(len(makers)) and held.keeps(name):
            break
    return tuple(tried), tuned


def _pick(held: Held, tried: tuple[Way, ...]) -> Way | None:
    """The first way that cannot be told from the best, which must have gained something: less than one standard error
    of their paired difference apart."""
    gained = [way for way in tried if not way.error and way.difference > 0]
    if not gained:
        return None
    best = max(gained, key=lambda way: way.difference)
    return next(way for way in gained if way is best or held.compared(best.name, way.name).t < 1)


def _divided(rows: Dataset) -> tuple[Dataset, Dataset]:
    """(older, newest): 30 % of the rows are held out; 300 where they are half at most, 5,000 at most."""
    least = reference.FEWEST if len(rows) >= WATCHED else 0
    cut = len(rows) - min(max(int(HELD * len(rows)), least), reference.ROWS)
    return rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))


def _challenged(held: Held, way: str, against: tuple[float, bool]) -> tuple[Updated, dict[str, float]]:
    """The challenge on held-out rows, by one paired test; with the metrics that have a limit.

    against: standard errors that leave no doubt, and whether the champion has lost what it promised. One that keeps it
    stays unless beaten beyond doubt, neighbours in time counted together; one that has lost it, unless beaten by more
    than one standard error of single rows, for then it is the more likely that newer rows tell more; one that breaks a
    floor, unless somebody meets it and is not worse.
    """
    (least, lost), model, rows = against, held.model, held.rows
    found, values = held.compared(way, together=True), (held.value(), held.value(way))
    failing = [c for c in decide.check(floors(model), scores(model, rows, *held.said())) if not c.met]
    said = (f"{way}: {model.task.metric} {values[1]:.4g} against {values[0]:.4g} of the champion on {len(rows)} "
            f"held-out rows, a gain of {found.difference:.4g} [{found.low:.4g}, {found.high:.4g}].")
    verdict = ""
    if found.difference > 0 and found.t > least:
        verdict = "It is better beyond doubt and meets every original limit: it is promoted."
    elif failing and found.t > -SIGNIFICANT:
        verdict = "The champion breaks a limit which it meets, and it is not worse: it is promoted."
    elif lost and found.difference > 0 and held.compared(way).t > 1:
        verdict = "The champion has lost what was promised, and it does better by over one standard error: promoted."
    ended = Updated(status="promoted" if verdict else "kept", due=(), metric=model.task.metric, champion=values[0],
                    why=(said, verdict or "That is not better beyond doubt: the champion stays."),
                    challenger=values[1], difference=found.difference, low=found.low, high=found.high)
    return ended, scores(model, rows, *held.said(way))


def _within(found: Updated, model: LoadedModel, part: Path, reached: Mapping[str, float]) -> Updated:
    """Every original limit: metrics as they were reached on the held-out rows, the rest measured on the package."""
    task = model.task
    figures = {**prove.figures(probe(part)), **reached} if task.limits else reached
    checks = decide.check(task.limits, afford.priced(task.serving, task.limits, figures))
    broken = [c.name for c in checks if not c.met]
    if not broken:
        return dataclasses.replace(found, limits=checks)
    said = f"It breaks a limit ({', '.join(broken)}): the champion stays."
    return dataclasses.replace(found, status="kept", limits=checks, why=(found.why[0], said))


def _promise(folder: Path | None, model: LoadedModel) -> Mapping[str, Any] | None:
    """The estimate that was promised: kept in the registry's lineage, or in the run's decision.json; or what the
    champion was seen to reach since, where that was more: so much it can do."""
    from rightfit.metrics import base

    if folder is None:
        return (model.decision or {}).get("estimate") or None
    now = versions.read(folder)
    if now.champion is None:
        return None
    promised = now.lineage(now.champion).details.get("promise")
    reached = [e.details["reached"] for e in now.history
               if e.event == "keep" and e.version == now.champion and e.details.get("reached")]
    sign = 1.0 if base.find(model.task.metric, model.task.problem).greater_is_better else -1.0
    known = [dict(one) for one in (promised, *reached) if one and one.get("value") is not None]
    return max(known, key=lambda one: sign * one["value"], default=None)


def promise(package: str | Path) -> dict[str, Any]:
    """What the registry keeps of a package's run: {"promise": estimate}, empty where there is no decision."""
    found = (load(package).decision or {}).get("estimate")
    return {"promise": found} if found else {}


def _until(folder: Path | None, model: LoadedModel, rows: Dataset) -> float | None:
    """The newest time that the champion knows: kept in the registry's lineage, or in the package's schema."""
    if folder is not None:
        now = versions.read(folder)
        kept = now.lineage(now.champion).details.get("until") if now.champion is not None else None
        if kept is not None:
            return float(kept)
    return reasons_of.known_until(model, rows)


def _kept(path: Path, registry: bool, found: Updated, print_: str, reached: Mapping[str, float]) -> Updated:
    if registry:
        versions.keep(path, why=" ".join(found.why), data=print_,
                      details={"due": list(found.due), "reached": dict(reached)})
    return found


def _promoted(path: Path, registry: bool, part: Path, out: str | Path | None, found: Updated, print_: str,
              details: Mapping[str, Any]) -> Updated:
    if not registry:
        assert out is not None
        write.install(part, out)
        return dataclasses.replace(found, package=str(out))
    why = " ".join(found.why)
    version = versions.add(path, part, data=print_, why=why, details=details)
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
