"""Chapters 1 and 2: what was read, understood and found wrong; the question that the race answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rightfit.data.table import Modality, Table
from rightfit.records import Audit, Dataset, Finding, Need, Schema, Task, frozen
from rightfit.tuning.clock import Clock

AUDIT_SHARE = 0.2  # of the budget, after which no further slow check is started
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


def ask(source: Any, need: Need, test: Any = None, watch: Watch | None = None) -> Question:
    """Chapter 1: read the data and understand the task."""
    from rightfit.data import assemble, audit, table
    from rightfit.task.understand import understand

    modality = table.pick(source, need)
    read = modality.read(source, need)
    task = understand(read.frame, read.schema, read.need or need, modality.name)
    _check(task, need)
    data = assemble.assemble(read.frame, read.schema, task)
    raw = read.held if test is None else modality.read(test, need).frame
    held = None if raw is None else assemble.assemble(raw, read.schema, task)
    if watch is not None:
        watch("read", {"rows": len(data), "columns": len(read.schema.features), "task": task, "origin": read.origin})
    return Question(need=need, task=task, data=data, fingerprint=audit.fingerprint(data), origin=read.origin,
                    sample=_sample(read, modality, need.seed), notes=tuple(read.findings), test=held)


def enough(question: Question) -> None:
    """Raises DataError for rows of which no part could be left out to judge a model on: nothing was written then."""
    import numpy as np

    from rightfit.errors import DataError

    data, task = question.data, question.task
    if data.y is None or not task.classifies or np.ndim(data.y) != 1:
        return
    counts = np.bincount(np.asarray(data.y), minlength=len(task.classes))
    if (counts > 1).sum() < 2:
        most = ", ".join(f"{task.classes[code]!r} ({counts[code]})" for code in np.argsort(-counts, kind="stable")[:3])
        raise DataError(f"two classes or more must have two rows or more, to learn from and to judge on; got "
                        f"rows={len(data)}, the largest classes being {most}, add rows.")


def _check(task: Task, need: Need) -> None:
    """What only the task can tell of a need: families that exist, floors within a metric's range."""
    from rightfit.errors import UsageError
    from rightfit.metrics import base, fairness
    from rightfit.package import profile
    from rightfit.resources import afford
    from rightfit.tuning.shortlist import bring, of_modality

    bring(of_modality(task.modality, need), task, need)
    for place in need.weights:
        if not Path(place).expanduser().exists():
            raise UsageError(f"weights must be files or folders that exist; got weights={place!r}, correct the path.")
    if need.device_profile is not None:
        profile.read(need.device_profile)
    afford.check(task.serving, task.limits)
    for name, asked in (*need.at_least.items(), *need.at_most.items()):
        metric = base.find(name, task.problem)
        if not metric.low <= asked <= metric.high:
            raise UsageError(f"a limit on {name} must lie within {metric.low:g} and {metric.high:g}; got "
                             f"{name}={asked:g}, change it.")
    for name, asked in need.max_gap.items():
        fairness.check(name, task, asked)


def examine(question: Question, ranks: tuple[int, int] = (0, 100), consent: Consent | None = None) -> Question:
    """Chapter 2: the audit; columns that say nothing, or too much, are dropped for what follows."""
    from rightfit.data import audit

    found = audit.audit(question.data, question.task, test=question.test, notes=question.notes, ranks=ranks)
    need, suspects = question.need, audit.leaks(found)
    if suspects and not need.drop_leaks and consent is not None and consent(suspects):
        need = dataclasses.replace(need, drop_leaks=True)
    gone = audit.drops(found, need)
    found = dataclasses.replace(found, findings=tuple(
        dataclasses.replace(f, consequence="Left out, as you asked; the scores are without it.")
        if f.code == "target_leak" and f.column in gone else f for f in found.findings))
    schema = _without(question.data.schema, gone)
    names = [c.name for c in schema.features]

    def narrowed(data: Dataset | None) -> Dataset | None:
        return None if data is None else dataclasses.replace(data, schema=schema, X=data.X[names])

    data = narrowed(question.data)
    assert data is not None
    return dataclasses.replace(question, audit=found, data=data, test=narrowed(question.test),
                               task=dataclasses.replace(question.task, features=len(names),
                                                        kinds=tuple(sorted({c.kind for c in schema.features}))))


def examine_meanwhile(question: Question, clock: Clock) -> Callable[[Question], Question]:
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


def remembered(consent: Consent | None, store: Any) -> Consent | None:
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


def _sample(read: Table, modality: Modality, seed: int) -> tuple[dict[str, Any], ...]:
    """Raw records as a user would send them, for packaging, parity and latency; they need nothing from elsewhere."""
    import numpy as np

    rows = np.sort(np.random.default_rng(seed).permutation(len(read.frame))[:modality.samples])
    names = [c.name for c in read.schema.features]
    return tuple(modality.portable(read.frame.iloc[rows][names].astype(object).to_dict("records")))
