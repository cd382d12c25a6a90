"""Numbers that stand for missing: zeros where zero cannot be, and codes such as -999 or 98 far from everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rightfit.data.checks._columns import numbers
from rightfit.records import Check, Dataset, Finding, Schema, Task

LARGEST = 1e6


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A question per column whose zeros or extreme codes stand apart from its other values."""
    zeros: dict[str, Any] = {}
    doubtful: dict[str, Any] = {}
    for name in data.X.columns:
        values = numbers(data.X[name])
        if values is None or str(data.X[name].dtype).startswith("datetime"):
            continue
        known = values[np.isfinite(values)]
        unique, counts = np.unique(known, return_counts=True)
        if len(unique) < 10:
            continue
        if unique[0] == 0:
            zero = values == 0
            verdict = zero_apart(unique, counts)
            if verdict:
                (zeros if verdict == "apart" else doubtful)[str(name)] = zero
        codes = _codes(unique, counts)
        if codes:
            rows = int(np.isin(values, codes).sum())
            text = ", ".join(f"{c:g}" for c in codes)
            yield _ask(str(name), text, rows, len(data), f"they stand far from all other values (the rest lies between "
                       f"{np.setdiff1d(unique, codes)[0]:g} and {np.setdiff1d(unique, codes)[-1]:g})")
    for name, zero in _missing_together(zeros, doubtful).items():
        yield _ask(name, "0", int(zero.sum()), len(data), "no value lies near zero, so zero may stand for missing")


def zero_apart(unique: Any, counts: Any) -> str:
    """Whether zero stands apart from the other values of a column that is never negative: "apart", "doubtful" or "".

    Apart: at most 35 % zeros, and the smallest other value is a tenth of the median or more, and five or more typical
    steps from zero. Doubtful: more zeros than that; then other columns decide.
    """
    above, weight = unique[1:], counts[1:]
    share = counts[0] / counts.sum()
    middle = float(np.interp(0.5, np.cumsum(weight) / weight.sum(), above))
    step = float(np.median(np.diff(above)))
    if not step or above[0] < 5 * step or share > 0.65:
        return ""
    if share <= 0.35 and above[0] >= 0.2 * middle:
        return "apart"
    return "doubtful" if above[0] >= 0.1 * middle else ""


def _missing_together(zeros: dict[str, Any], doubtful: dict[str, Any]) -> dict[str, Any]:
    """Doubtful columns join when nearly all rows with a zero in some clear column are zero there too, far above
    chance."""
    found = dict(zeros)
    for name, zero in doubtful.items():
        for other in zeros.values():
            if other.sum() >= 5 and zero[other].mean() > 0.9 > 1.3 * zero.mean():
                found[name] = zero
    return found


def _codes(unique: Any, counts: Any) -> list[float]:
    """At most three repeated whole numbers at one end, further from the rest than twice the width of the rest."""
    for values, times in ((unique, counts), (-unique[::-1], counts[::-1])):
        for k in (1, 2, 3):
            rest, end = values[:-k], values[-k:]
            if len(rest) < 8 or times[-k:].sum() < 3 or not (end == np.floor(end)).all() or abs(end).max() > LARGEST:
                continue
            if end[0] - rest[-1] > 2 * (rest[-1] - rest[0]) and times[-k:].sum() <= 0.5 * times.sum():
                return [float(abs(v)) if values is unique else float(-v) for v in end]
    return []


def _ask(column: str, text: str, rows: int, of: int, why: str) -> Finding:
    flags = " ".join(f'--missing "{value}@{column}"' for value in text.split(", "))
    return Finding(code="hidden_missing", severity="ask", column=column,
                   evidence=f"{rows:,} of {of:,} values are {text}; {why}.",
                   consequence=f"Kept as a number until you say so: does {text} mean missing here? If so, pass "
                               f"{flags}.",
                   data={"values": text.split(", "), "rows": rows, "share": rows / of})


SPEC = Check(name="markers", run=run, modalities=("tabular",), needs_y=False, doc="Numbers that may stand for missing.")
