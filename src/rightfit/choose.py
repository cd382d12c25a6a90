"""The whole flow on one page: read -> understand -> audit -> shortlist -> race -> decide -> package -> report."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit import cache, units
from rightfit.question import Consent, Question, Watch, ask, enough, examine, examine_meanwhile, remembered
from rightfit.records import Decision, Need, asdict
from rightfit.tuning.clock import Clock, start

if TYPE_CHECKING:
    from rightfit.delivery.choice import Choice


def choose(source: Any, need: Need | None = None, *, out: str | Path | None = None, test: Any = None,
           overwrite: bool = False, watch: Watch | None = None, consent: Consent | None = None) -> Choice:
    """Choose, prove and deliver the model for a table, a file or a frame; returns the `Choice`.

    source: a path, a SQLAlchemy URL, or a pandas or Polars frame. test: rows that are used only for the final check.
    out: the run folder; the same call on the same folder resumes. watch(kind, fields) hears progress.
    consent(columns) is asked whether columns that give the target away may be dropped; not given, they stay, loudly.
    Raises UsageError and DataError for what cannot be used; an infeasible need is a Choice whose status says so.
    """
    from rightfit.delivery.choice import Choice

    need, watch = need or Need(), watch or _silent
    clock = start(need.budget_s)
    folder = Path(out) if out is not None else _scratch()
    with _pool(source, need) as pool, cache.at(folder / cache.FOLDER):
        with _nothing_left_behind(folder):
            question = ask(source, need, test, watch)
            enough(question)
        done = run(question, folder, clock, pool, overwrite=overwrite, watch=watch,
                   consent=consent)
    return Choice(decision=done, folder=folder)


@contextlib.contextmanager
def _nothing_left_behind(folder: Path) -> Iterator[None]:
    """Data that cannot be used leave no folder that was not there before."""
    there = folder.exists()
    try:
        yield
    except BaseException:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _pool(source: Any, need: Need) -> Any:
    """Worker processes; their imports run while the data are read."""
    from rightfit.data.table import pick
    from rightfit.engines.local import Pool
    from rightfit.resources.machine import usable_cores
    from rightfit.tuning import prepare

    return Pool(need.workers or usable_cores(), preload=prepare.imports(pick(source, need), need))


def run(question: Question, folder: Path, clock: Clock, pool: Any, *, overwrite: bool, watch: Watch,
        consent: Consent | None = None) -> Decision:
    """Chapters 3 to 6: race, decide, deliver, report; everything of the run lies in `folder`."""
    from rightfit.data.audit import SLOW
    from rightfit.delivery import deliver, target, verdict
    from rightfit.delivery.monitor import keep
    from rightfit.report import html
    from rightfit.resources.machine import available_mib
    from rightfit.store import Store
    from rightfit.tuning import blend, forecast, lineup, prepare, race

    need = question.need
    memory = 0.8 * available_mib() / pool.workers
    with Store.open(folder, fingerprint(question), overwrite=overwrite) as store:
        stored = verdict.stored(store, need.budget_s)
        if stored is not None and store.meta("device") == target.digest(need):
            watch("resumed", {"finished": True})
            return stored
        clock = dataclasses.replace(clock, spent_before=min(store.meta("spent_s", 0.0), 0.9 * clock.budget_s))
        lineup.first_package(question, store, clock, watch)
        question = examine(question, (0, SLOW), remembered(consent, store))
        watch("audited", {"audit": question.audit})
        racing = lineup.line_up(question, store, clock, memory, watch, prepare.apart(pool))
        later = examine_meanwhile(question, clock)
        aim = target.load(need, question.task.limits)
        if aim is not None:
            racing.board.task = dataclasses.replace(question.task, limits=target.here(question.task.limits, aim))
        interrupted = False
        try:
            race.run(racing, pool, pool.workers)
            blend.mix(racing)
        except KeyboardInterrupt:
            interrupted = True
            watch("interrupted", {})
        forecast.remember(racing)
        watch("deciding", {"left": clock.left()})
        bench = deliver.Bench(board=racing.board, baseline=racing.short.baseline.key, stage=racing.folder,
                              package=folder / "package", pool=pool, clock=clock, seed=need.seed, memory_mib=memory,
                              watch=watch, tested=0 if question.test is None else len(question.test))
        racing.board.task = question.task
        delivery = deliver.deliver(bench) if aim is None else target.deliver(bench, aim)
        if delivery.chosen is None:
            # What was kept ready in case of a stop broke a limit; left there, somebody would deploy it.
            shutil.rmtree(bench.package, ignore_errors=True)
        question = later(question)
        decision = verdict.verdict(question, racing, delivery, bench, interrupted)
        if aim is not None:
            decision = target.told(decision, bench, aim, delivery)
        decision = keep.reference_of(decision, question, delivery, bench)
        watch("reporting", {"left": clock.left()})
        html.write(decision, folder, language=str(need.options.get("language", "en")))
        if not interrupted:
            verdict.keep(store, decision)
            store.set_meta("device", target.digest(need))
            shutil.rmtree(folder / cache.FOLDER, ignore_errors=True)
        return decision


def fingerprint(question: Question) -> dict[str, Any]:
    """What a resumed run must share with the one it resumes: the need, but for budget and workers, and the data."""
    need = asdict(question.need)
    for free in ("budget", "workers", "options", "device_profile"):
        need.pop(free)
    return {"data": question.fingerprint, **need}


def again(budget: str) -> Callable[[Any, Need, Path], Path | None]:
    """A new choice for `delivery.update`: (rows, need, run folder) -> its package, None where nothing is feasible."""
    units.seconds(budget, "budget")

    def anew(frame: Any, need: Need, folder: Path) -> Path | None:
        found = choose(frame, dataclasses.replace(need, budget=budget), out=folder)
        return found.package if found.status == "chosen" else None

    return anew


def _scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="rightfit-"))


def _silent(kind: str, fields: Mapping[str, Any]) -> None:
    return None


__all__ = ["Question", "again", "ask", "choose", "examine", "run"]
