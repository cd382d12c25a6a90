"""What every audit check must hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.records import Check, Dataset, Finding, Problem, Task, asdict
from rightfit.testing._case import changed, modality, only, rows

Named = tuple[str, Callable[[], None]]
ROWS = 160


def check_audit(check: Check, modality_name: str, problem: Problem = "multiclass") -> tuple[Named, ...]:
    """Every check of an audit check on one modality's easy rows: (name, function without arguments)."""
    def named(test: Callable[[Check, str, Problem], None]) -> Named:
        return test.__name__.removeprefix("_"), lambda: test(check, modality_name, problem)

    return tuple(named(test) for test in AUDIT_CHECKS)


def _run(check: Check, data: Dataset, task: Task, test: Dataset | None) -> list[Finding]:
    return list(check.run(data, task, data.schema, test))


def _is_silent_on_clean_rows(check: Check, name: str, problem: Problem) -> None:
    data, task = rows(name, problem, ROWS)
    test, _ = rows(name, problem, ROWS, seed=1)
    loud = [f"{f.code}: {f.evidence}" for f in _run(check, data, task, test) if f.severity != "info"]
    assert not loud, f"a check must stay quiet on clean rows; got {loud}."


def _gives_the_same_and_changes_nothing(check: Check, name: str, problem: Problem) -> None:
    data, task = rows(name, problem, ROWS)
    test, _ = rows(name, problem, ROWS, seed=1)
    first = _run(check, data, task, test)
    told = changed(data, rows(name, problem, ROWS)[0]) or changed(test, rows(name, problem, ROWS, seed=1)[0])
    assert not told, told
    assert first == _run(check, data, task, test), "a check must find the same in the same rows; it did not."


def _survives_few_and_hard_rows(check: Check, name: str, problem: Problem) -> None:
    data, task = rows(name, problem, ROWS)
    hard = modality(name).hard
    frames: dict[str, Any] = dict(hard()) if hard is not None else {}
    sides = [data.take(np.arange(n)) for n in (1, 2)] + [only(data, X) for X in frames.values()]
    for side in sides:
        for test in (None, side):
            _told(_run(check, side, task, test))


def _survives_rows_without_target(check: Check, name: str, problem: Problem) -> None:
    if check.needs_y:
        return
    data, task = rows(name, problem, ROWS)
    _told(_run(check, Dataset(X=data.X, schema=data.schema), task, None))


def _told(findings: list[Finding]) -> None:
    """Every finding says what follows, in plain JSON."""
    for finding in findings:
        assert finding.evidence.endswith(".") and finding.consequence.endswith((".", "?")), \
            f"a finding must give evidence and a consequence, in sentences; got {finding.evidence!r} and " \
            f"{finding.consequence!r}."
        plain = asdict(finding.data)
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain, f"data must be JSON; got {finding.data}."


AUDIT_CHECKS: tuple[Callable[[Check, str, Problem], None], ...] = (
    _is_silent_on_clean_rows, _gives_the_same_and_changes_nothing, _survives_few_and_hard_rows,
    _survives_rows_without_target,
)
