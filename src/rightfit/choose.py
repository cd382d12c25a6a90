"""The whole flow on one page: read -> understand -> audit -> shortlist -> race -> decide -> package -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rightfit.records import Audit, Dataset, Decision, Need, Schema, Task, asdict, frozen
from rightfit.tuning.clock import Clock, start

if TYPE_CHECKING:
    from rightfit.delivery.choice import Choice

Watch = Callable[[str, Mapping[str, Any]], None]


@frozen
class Question:
    """What was read and understood: everything that a race needs, and nothing that a race found."""

    need: Need
    task: Task
    data: Dataset
    audit: Audit
    sample: tuple[dict[str, Any], ...]
    origin: Mapping[str, Any]
    test: Dataset | None = None


def choose(source: Any, need: Need | None = None, *, out: str | Path | None = None, test: Any = None,
           overwrite: bool = False, watch: Watch | None = None) -> Choice:
    """Choose, prove and deliver the model for a table, a file or a frame; returns the `Choice`.

    source: a path, a SQLAlchemy URL, or a pandas or Polars frame. test: rows that are used only for the final check.
    out: the run folder; the same call on the same folder resumes. watch(kind, fields) hears progress.
    Raises UsageError and DataError for what cannot be used; an infeasible need is a Choice whose status says so.
    """
    from rightfit.delivery.choice import Choice

    need, watch = need or Need(), watch or _silent
    clock = start(need.budget_s)
    folder = Path(out) if out is not None else _scratch()
    with _pool(need, folder) as pool:
        question = ask(source, need, test, watch)
        done = run(question, folder, clock, pool, overwrite=overwrite, watch=watch)
    return Choice(decision=done, folder=folder)


def ask(source: Any, need: Need, test: Any = None, watch: Watch | None = None) -> Question:
    """Chapters 1 and 2: read the data, understand the task, audit."""
    from rightfit.data import assemble, audit, table
    from rightfit.task.understand import understand

    watch = watch or _silent
    modality = table.pick(source, need)
    read = modality.read(source, need)
    task = understand(read.frame, read.schema, need, modality.name)
    data = assemble.assemble(read.frame, read.schema, task)
    watch("read", {"rows": len(data), "columns": len(read.schema.features), "task": task, "origin": read.origin})
    held = None
    if test is not None:
        known = modality.read(test, dataclasses.replace(need, target=task.target if len(task.target) > 1
                                                        else task.target[0]))
        held = assemble.assemble(known.frame, read.schema, task)
    found = audit.audit(data, task, test=held, notes=tuple(read.findings))
    gone = audit.drops(found, need)
    schema = _without(read.schema, gone)
    data = dataclasses.replace(data, schema=schema, X=data.X[[c.name for c in schema.features]])
    if held is not None:
        held = dataclasses.replace(held, schema=schema, X=held.X[[c.name for c in schema.features]])
    watch("audited", {"audit": found, "dropped": gone})
    return Question(need=need, task=dataclasses.replace(task, features=len(schema.features)), data=data, audit=found,
                    sample=_sample(read.frame, schema, need.seed), origin=read.origin, test=held)


def _pool(need: Need, folder: Path) -> Any:
    """Worker processes; their imports run while the data are read."""
    from rightfit.engines.local import Pool
    from rightfit.resources.machine import usable_cores

    return Pool(need.workers or usable_cores(), preload=("rightfit.tuning.preload",))


def run(question: Question, folder: Path, clock: Clock, pool: Any, *, overwrite: bool, watch: Watch) -> Decision:
    """Chapters 3 to 6: race, decide, deliver, report; everything of the run lies in `folder`."""
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
        racing = lineup.line_up(question, store, clock, memory, watch)
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
    return {"data": question.audit.fingerprint, **need}


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


__all__ = ["Question", "ask", "choose", "run"]
