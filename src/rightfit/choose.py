"""The whole flow on one page: read -> understand -> audit -> shortlist -> race -> decide -> package -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.records import Audit, Dataset, Decision, Finding, Need, Schema, Task, asdict, frozen
from rightfit.tuning.clock import Clock, start

if TYPE_CHECKING:
    from rightfit.delivery.choice import Choice

AUDIT_SHARE = 0.2  # of the budget, after which no further check is started
Watch = Callable[[str, Mapping[str, Any]], None]
Consent = Callable[[tuple[str, ...]], bool]


@frozen
class Question:
    """What was read and understood: everything that a race needs, and nothing that a race found.

    `notes` are the reader's findings; `audit` is None until `examine` has run; `sample` are raw records.
    """

    need: Need
    task: Task
    data: Dataset
    fingerprint: str
    sample: tuple[dict[str, Any], ...]
    origin: Mapping[str, Any]
    notes: tuple[Finding, ...] = ()
    test: Dataset | None = None
    audit: Audit | None = None


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
    with _pool(need, folder) as pool:
        question = ask(source, need, test, watch)
        done = run(question, folder, clock, pool, overwrite=overwrite, watch=watch,
                   consent=consent)
    return Choice(decision=done, folder=folder)


def ask(source: Any, need: Need, test: Any = None, watch: Watch | None = None) -> Question:
    """Chapter 1: read the data and understand the task."""
    from rightfit.data import assemble, audit, table
    from rightfit.task.understand import understand

    modality = table.pick(source, need)
    read = modality.read(source, need)
    task = understand(read.frame, read.schema, read.need or need, modality.name)
    _check(task, need)
    data = assemble.assemble(read.frame, read.schema, task)
    held = None
    if test is not None:
        known = modality.read(test, need)
        held = assemble.assemble(known.frame, read.schema, task)
    (watch or _silent)("read", {"rows": len(data), "columns": len(read.schema.features), "task": task,
                                "origin": read.origin})
    return Question(need=need, task=task, data=data, fingerprint=audit.fingerprint(data), origin=read.origin,
                    sample=_sample(read.frame, read.schema, need.seed), notes=tuple(read.findings), test=held)


def _check(task: Task, need: Need) -> None:
    """What only the task can tell of a need: families that exist, floors within a metric's range."""
    from rightfit.errors import UsageError
    from rightfit.metrics import base
    from rightfit.tuning.shortlist import of_modality

    of_modality(task.modality, need)
    for name, asked in (*need.at_least.items(), *need.at_most.items()):
        metric = base.find(name, task.problem)
        if not metric.low <= asked <= metric.high:
            raise UsageError(f"a limit on {name} must lie within {metric.low:g} and {metric.high:g}; got "
                             f"{name}={asked:g}, change it.")


def examine(question: Question, ranks: tuple[int, int] = (0, 100), consent: Consent | None = None) -> Question:
    """Chapter 2: the audit; columns that say nothing, or too much, are dropped for what follows."""
    from rightfit.data import audit

    found = audit.audit(question.data, question.task, test=question.test, notes=question.notes, ranks=ranks)
    need, suspects = question.need, audit.leaks(found)
    if suspects and not need.drop_leaks and consent is not None and consent(suspects):
        need = dataclasses.replace(need, drop_leaks=True)
    gone = audit.drops(found, need)
    schema = _without(question.data.schema, gone)
    names = [c.name for c in schema.features]

    def narrowed(data: Dataset | None) -> Dataset | None:
        return None if data is None else dataclasses.replace(data, schema=schema, X=data.X[names])

    data = narrowed(question.data)
    assert data is not None
    return dataclasses.replace(question, audit=found, data=data, test=narrowed(question.test),
                               task=dataclasses.replace(question.task, features=len(names)))


def _pool(need: Need, folder: Path) -> Any:
    """Worker processes; their imports run while the data are read."""
    from rightfit.engines.local import Pool
    from rightfit.resources.machine import usable_cores

    return Pool(need.workers or usable_cores(), preload=("rightfit.tuning.preload",))


def run(question: Question, folder: Path, clock: Clock, pool: Any, *, overwrite: bool, watch: Watch,
        consent: Consent | None = None) -> Decision:
    """Chapters 3 to 6: race, decide, deliver, report; everything of the run lies in `folder`."""
    from rightfit.data.audit import SLOW
    from rightfit.delivery import deliver, verdict
    from rightfit.report import html
    from rightfit.resources.machine import available_mib
    from rightfit.store import Store
    from rightfit.tuning import lineup, race

    need = question.need
    memory = 0.8 * available_mib() / pool.workers
    with Store.open(folder, fingerprint(question), overwrite=overwrite) as store:
        stored = verdict.stored(store)
        if stored is not None:
            watch("resumed", {"finished": True})
            return stored
        clock = dataclasses.replace(clock, spent_before=min(store.meta("spent_s", 0.0), 0.9 * clock.budget_s))
        lineup.first_package(question, store, clock, watch)
        question = examine(question, (0, SLOW), _remembered(consent, store))
        watch("audited", {"audit": question.audit})
        racing = lineup.line_up(question, store, clock, memory, watch)
        later = _examine_meanwhile(question, clock)
        interrupted = False
        try:
            race.run(racing, pool, pool.workers)
        except KeyboardInterrupt:
            interrupted = True
            watch("interrupted", {})
        watch("deciding", {"left": clock.left()})
        bench = deliver.Bench(board=racing.board, baseline=racing.short.baseline.key, stage=racing.folder,
                              package=folder / "package", pool=pool, clock=clock, seed=need.seed, memory_mib=memory,
                              watch=watch)
        delivery = deliver.deliver(bench)
        question = later(question)
        decision = verdict.verdict(question, racing, delivery, bench, interrupted)
        watch("reporting", {"left": clock.left()})
        html.write(decision, folder, language=str(need.options.get("language", "en")))
        verdict.keep(store, decision)
        return decision


def fingerprint(question: Question) -> dict[str, Any]:
    """What a resumed run must share with the one it resumes: the need, but for budget and workers, and the data."""
    need = asdict(question.need)
    for free in ("budget", "workers", "options"):
        need.pop(free)
    return {"data": question.fingerprint, **need}


def _examine_meanwhile(question: Question, clock: Clock) -> Callable[[Question], Question]:
    """Start the slow checks beside the race; the function returned adds to a question what they have found by then."""
    import threading

    from rightfit.data import audit

    found: list[Audit] = []
    deadline = clock.deadline((1 - AUDIT_SHARE) * clock.budget_s)

    def look() -> None:
        found.append(audit.audit(question.data, question.task, test=question.test, deadline=deadline,
                                 ranks=(audit.SLOW, 100)))

    looking = threading.Thread(target=look, daemon=True, name="rightfit-audit")
    looking.start()

    def add(question: Question) -> Question:
        assert question.audit is not None
        looking.join(timeout=clock.left())
        more = found[0].findings if found else (Finding(
            code="check_skipped", severity="info", evidence="The slow checks were not finished when time was up.",
            consequence="Give more time (--budget), or run rightfit audit."),)
        merged = audit.ordered((*question.audit.findings, *more))
        return dataclasses.replace(question, audit=dataclasses.replace(question.audit, findings=merged))

    return add


def _remembered(consent: Consent | None, store: Any) -> Consent | None:
    """The same consent, asked once a run: a resumed run goes by the first answer."""
    def asked(columns: tuple[str, ...]) -> bool:
        answer = store.meta("consent")
        if answer is None and consent is not None:
            answer = consent(columns)
            store.set_meta("consent", answer)
        return bool(answer)

    return asked


def _without(schema: Schema, gone: Mapping[str, str]) -> Schema:
    return Schema(columns=tuple(dataclasses.replace(c, role="dropped") if c.name in gone and c.role == "feature" else c
                                for c in schema.columns))


def _sample(frame: Any, schema: Schema, seed: int) -> tuple[dict[str, Any], ...]:
    """Raw records as a user would send them, for packaging, parity and latency: at most 64."""
    import numpy as np

    rows = np.sort(np.random.default_rng(seed).permutation(len(frame))[:64])
    names = [c.name for c in schema.features]
    return tuple(frame.iloc[rows][names].astype(object).to_dict("records"))


def _scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="rightfit-"))


def _silent(kind: str, fields: Mapping[str, Any]) -> None:
    return None


__all__ = ["Question", "ask", "choose", "examine", "run"]
