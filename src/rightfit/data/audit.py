"""Chapter 2: what is wrong with the data. Runs every check, loses none, and says which columns go."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rightfit.data.identity import identities
from rightfit.records import Audit, Check, Dataset, Finding, Need, Task
from rightfit.registry import plugins

_ORDER = {"severe": 0, "warning": 1, "ask": 2, "info": 3}


SLOW = 50


def audit(data: Dataset, task: Task, *, test: Dataset | None = None, notes: tuple[Finding, ...] = (),
          deadline: float | None = None, ranks: tuple[int, int] = (0, 100)) -> Audit:
    """Every finding of every check that fits the modality, the gravest first; `notes` are the reader's own findings.

    A check that raises becomes a finding `check_failed`; a slow one (rank above SLOW) not started by `deadline`
    (time.monotonic seconds) becomes `check_skipped`. Checks that examine a sample say so in their evidence or
    docstring (20,000 rows or fewer, fixed seed). `ranks`: only checks above the first and up to the second are run.
    """
    found = list(notes)
    told = {(f.code, f.column) for f in notes}
    for check in sorted(plugins("rightfit.data.checks").values(), key=lambda check: (check.rank, check.name)):
        if not ranks[0] < check.rank <= ranks[1]:
            continue
        if (check.modalities and task.modality not in check.modalities) or (check.needs_y and data.y is None):
            continue
        if check.rank > SLOW and deadline is not None and time.monotonic() > deadline:
            found.append(Finding(code="check_skipped", severity="info", evidence=f"The check {check.name} was not "
                                                                                 "run: time was up.",
                                 consequence="Give more time (--budget) to have it run.", data={"check": check.name}))
            continue
        for finding in run_check(check, data, task, test):
            if (finding.code, finding.column) not in told and not _noted(finding, notes):
                told.add((finding.code, finding.column))
                found.append(finding)
    return Audit(rows=len(data), columns=len(data.schema.features), findings=ordered(found),
                 fingerprint=fingerprint(data))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first."""
    return tuple(sorted(findings, key=lambda f: (_ORDER[f.severity], f.code, f.column or "")))


def run_check(check: Check, data: Dataset, task: Task, test: Dataset | None = None) -> Iterator[Finding]:
    """The findings of one check; its exception, if it raises one, as a finding."""
    try:
        yield from check.run(data, task, data.schema, test)
    # A check may be anybody's plug-in: whatever it raises is reported and the audit goes on.
    except Exception as error:  # checks are anybody's plug-ins: one that fails must not stop the others
        yield Finding(code="check_failed", severity="warning", evidence=f"The check {check.name} raised "
                                                                        f"{type(error).__name__}: {error}",
                      consequence="Its findings are missing from this audit; the other checks ran.",
                      data={"check": check.name})


def _noted(finding: Finding, notes: tuple[Finding, ...]) -> bool:
    """Whether the reader already named one of the values this finding asks about."""
    values = set(finding.data.get("values", ())) if finding.code == "hidden_missing" else set()
    return any(n.code == "missing_marker" and n.column == finding.column and values & set(n.data.get("markers", ()))
               for n in notes)


def leaks(audit: Audit) -> tuple[str, ...]:
    """The columns that give the target away, as far as the audit is sure."""
    return tuple(f.column for f in audit.of("target_leak") if f.severity == "severe" and f.column)


def drops(audit: Audit, need: Need) -> dict[str, str]:
    """The columns to leave out, each with its reason: constants always, leaks when `need.drop_leaks`; never one in
    `need.keep`."""
    found = {f.column: f"constant: {f.evidence}" for f in audit.of("constant") if f.column}
    if need.drop_leaks:
        found |= {f.column: f"target leak: {f.evidence}" for f in audit.of("target_leak") if f.severity == "severe"
                  and f.column}
    return {column: why for column, why in found.items() if column not in need.keep}


def fingerprint(data: Dataset) -> str:
    """SHA-256 of the content: column names and kinds, every row in its order, and the target."""
    import numpy as np
    import pandas as pd

    digest = hashlib.sha256()
    digest.update(repr([(c.name, c.kind, c.role) for c in data.schema.columns]).encode())
    frame = identities(data.X, data.schema)
    for name in frame.columns:
        digest.update(str(name).encode())
        values: Any = frame[name]
        if values.dtype == object:
            values = values.map(repr, na_action="ignore")
        digest.update(pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes())
    if data.y is not None:
        digest.update(np.ascontiguousarray(data.y).tobytes())
    return digest.hexdigest()
