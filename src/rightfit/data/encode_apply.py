"""Running encoder blocks: over columns with numpy, over one record with closures; equal to the last bit.

Blocks (all JSON):
    constant   one column of zeros, for tables without a usable feature
    numeric    fill, indicator, center, scale, knots/scores/slopes (quantile), bound
    onehot     levels, other (position of the pooled column or null)
    table      table {level: values}, missing values, unseen values, code
    datetime   parts, origin (epoch nanoseconds), fill, center and scale per part
    text       vocabulary {token: position}, weights per token, weight (binary | count | tfidf)
    score      terms {term: [inverse frequency, weight per target]}, bias, center and scale per target
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

LARGEST = 1e30  # squares of features must stay finite in most float32 kernels that use them pairwise
DAY = 86_400e9
HOUR = 3_600e9
EPOCH = date(1970, 1, 1).toordinal()
NANOSECONDS = 9.2e18
CALENDAR = ("year", "month", "day", "weekday", "hour", "elapsed")
CYCLES = {"month_sin": 12, "month_cos": 12, "weekday_sin": 7, "weekday_cos": 7, "hour_sin": 24, "hour_cos": 24}
NAN = math.nan

Block = Mapping[str, Any]
Writer = Callable[[Mapping[str, Any], list[float]], None]

_SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(f"[{_SPACELESS}]|[^\\W_{_SPACELESS}]+")


def tokens(text: str) -> list[str]:
    """Lower-case words; for scripts without spaces, characters and pairs of neighbours.

    >>> tokens("Well done, 很好!")
    ['well', 'done', '很', '好', '很好']
    """
    found = [m.group() for m in _TOKEN.finditer(text.lower())]
    pairs = [a + b for a, b in pairwise(found) if len(a) == len(b) == 1 and min(a, b) > "\u3000"]
    return found + pairs if pairs else found


def terms(text: str) -> set[str]:
    """The words of a text and the pairs of neighbours; for scripts without spaces, characters and pairs of them.

    >>> sorted(terms("Not good, 很好"))
    ['good', 'good 很', 'not', 'not good', '好', '很', '很好']
    """
    found = [m.group() for m in _TOKEN.finditer(text.lower())]
    return {*found, *(a + b if min(a, b) > "\u3000" else f"{a} {b}" for a, b in pairwise(found))}


def clip(values: Any) -> Any:
    """Values within what float32 features may hold; NaN stays."""
    return np.clip(values, -LARGEST, LARGEST)


def _bound(value: float, limit: float) -> float:
    return limit if value > limit else -limit if value < -limit else value


# --- one column at a time ---------------------------------------------------------------------------------------------

def columns(block: Block, X: Any) -> Any:
    """One block over a frame: float64 (n, width)."""
    if block["kind"] == "constant":
        return np.zeros((len(X), 1))
    values = X[block["column"]] if block["column"] in X.columns else None
    return _COLUMNS[block["kind"]](block, values, len(X))


def _numeric_columns(block: Block, values: Any, n: int) -> Any:
    raw = np.full(n, NAN) if values is None else np.asarray(values.to_numpy(dtype=np.float64, na_value=NAN))
    missing = np.isnan(raw)
    out = raw if block["fill"] is None else np.where(missing, block["fill"], raw)
    if block["knots"]:
        out = _interpolate(block, out)
    elif block["scale"] != 1.0 or block["center"] != 0.0:
        with np.errstate(over="ignore"):
            out = (out - block["center"]) / block["scale"]
    out = np.clip(out, -block["bound"], block["bound"])
    return np.column_stack([out, missing.astype(np.float64)]) if block["indicator"] else out[:, None]


def _interpolate(block: Block, values: Any) -> Any:
    knots, scores, slopes = (np.asarray(block[k], dtype=np.float64) for k in ("knots", "scores", "slopes"))
    bounded = np.clip(values, knots[0], knots[-1])
    at = np.clip(np.searchsorted(knots, bounded, side="right") - 1, 0, len(knots) - 2)
    return scores[at] + (bounded - knots[at]) * slopes[at]


def _texts(values: Any, n: int) -> list[str | None]:
    if values is None:
        return [None] * n
    return [v if isinstance(v, str) else None for v in values.to_numpy(dtype=object)]


def _level(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _onehot_columns(block: Block, values: Any, n: int) -> Any:
    place = {level: i for i, level in enumerate(block["levels"])}
    other = block["other"]
    nowhere = len(block["names"])
    at = np.array([nowhere if v is None else place.get(v, nowhere if other is None else other)
                   for v in _texts(values, n)], dtype=np.int64)
    out = np.zeros((n, nowhere + 1))
    out[np.arange(n), at] = 1.0
    return out[:, :nowhere]


def _table_columns(block: Block, values: Any, n: int) -> Any:
    table, missing, unseen = block["table"], block["missing"], block["unseen"]
    found = [missing if v is None else table.get(v, unseen) for v in _texts(values, n)]
    return np.array(found, dtype=np.float64).reshape(n, len(block["names"]))


def _datetime_columns(block: Block, values: Any, n: int) -> Any:
    if values is None:
        raw = np.full(n, NAN)
    else:
        stamps = values.to_numpy().astype("datetime64[ns]")
        raw = np.where(np.isnat(stamps), NAN, stamps.astype(np.int64).astype(np.float64))
    missing = ~(np.abs(raw) < NANOSECONDS)
    stamp = np.where(missing, 0.0, raw)
    whole = np.floor(stamp / DAY)
    days = whole.astype(np.int64).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    found = {
        "year": months.astype("datetime64[Y]").astype(np.int64) + 1970,
        "month": months.astype(np.int64) % 12 + 1,
        "day": (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        "weekday": (whole.astype(np.int64) + 3) % 7,
        "hour": np.floor((stamp - whole * DAY) / HOUR).astype(np.int64),
        "elapsed": (stamp - block["origin"]) / DAY,
    }
    parts = []
    for part, fill, center, scale in zip(block["parts"], block["fill"], block["center"], block["scale"], strict=True):
        if part in CYCLES:
            values_of = np.asarray(_cycle(part))[found[part.split("_")[0]]]
        else:
            values_of = found[part].astype(np.float64)
        parts.append(np.where(missing, NAN if fill is None else fill, (values_of - center) / scale))
    return clip(np.column_stack(parts))


def _text_columns(block: Block, values: Any, n: int) -> Any:
    out = np.zeros((n, len(block["names"])))
    for i, text in enumerate(_texts(values, n)):
        _write_text(block, text, out[i], 0)
    return out


def _score_columns(block: Block, values: Any, n: int) -> Any:
    out = np.zeros((n, len(block["names"])))
    for i, text in enumerate(_texts(values, n)):
        _write_score(block, text, out[i], 0)
    return out


_COLUMNS: Mapping[str, Callable[[Block, Any, int], Any]] = {
    "numeric": _numeric_columns, "onehot": _onehot_columns, "table": _table_columns,
    "datetime": _datetime_columns, "text": _text_columns, "score": _score_columns,
}


def _cycle(part: str) -> list[float]:
    """Sine or cosine by calendar value; a table, because numpy and math may differ in the last bit."""
    wave = math.sin if part.endswith("sin") else math.cos
    period = CYCLES[part]
    return [wave(2 * math.pi * value / period) for value in range(period + 1)]


# --- one record -------------------------------------------------------------------------------------------------------

def compile_row(blocks: Sequence[Block]) -> Callable[[Mapping[str, Any]], list[float]]:
    """A function record -> list of all feature values; the work per block is prepared once."""
    width = sum(len(block["names"]) for block in blocks)
    plain: list[tuple[int, str]] = []
    writers: list[Writer] = []
    start = 0
    for block in blocks:
        if block["kind"] == "numeric" and _is_plain(block):
            plain.append((start, block["column"]))
        elif block["kind"] != "constant":
            writers.append(_WRITERS[block["kind"]](block, start))
        start += len(block["names"])
    template = [0.0] * width

    def run(record: Mapping[str, Any]) -> list[float]:
        out = template.copy()
        get = record.get
        for at, name in plain:
            value = get(name)
            if value is None:
                out[at] = NAN
            elif -LARGEST <= value <= LARGEST or value != value:
                out[at] = value
            else:
                out[at] = _bound(value, LARGEST)
        for write in writers:
            write(record, out)
        return out

    return run


def _is_plain(block: Block) -> bool:
    return (block["fill"] is None and not block["indicator"] and not block["knots"] and block["scale"] == 1.0
            and block["center"] == 0.0 and block["bound"] == LARGEST)


def _numeric_writer(block: Block, start: int) -> Writer:
    name, indicator, bound = block["column"], block["indicator"], block["bound"]
    fill = NAN if block["fill"] is None else block["fill"]
    center, scale = block["center"], block["scale"]
    knots, scores, slopes = block["knots"], block["scores"], block["slopes"]

    def place(value: float) -> float:
        if value != value:
            return value
        if not knots:
            return _bound((value - center) / scale, bound)
        value = min(max(value, knots[0]), knots[-1])
        at = min(bisect_right(knots, value) - 1, len(knots) - 2)
        return _bound(scores[at] + (value - knots[at]) * slopes[at], bound)

    filled = place(float(fill))

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        value = record.get(name)
        if value is None or value != value:
            out[start] = filled
            if indicator:
                out[start + 1] = 1.0
        else:
            out[start] = place(value)

    return write


def _onehot_writer(block: Block, start: int) -> Writer:
    name, other = block["column"], block["other"]
    place = {level: start + i for i, level in enumerate(block["levels"])}
    rest = -1 if other is None else start + other

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        value = _level(record.get(name))
        if value is not None:
            at = place.get(value, rest)
            if at >= 0:
                out[at] = 1.0

    return write


def _table_writer(block: Block, start: int) -> Writer:
    name, table, missing, unseen = block["column"], block["table"], block["missing"], block["unseen"]
    if len(missing) == 1:
        single = {level: values[0] for level, values in table.items()}
        nothing, strange = missing[0], unseen[0]

        def write_one(record: Mapping[str, Any], out: list[float]) -> None:
            value = _level(record.get(name))
            out[start] = nothing if value is None else single.get(value, strange)

        return write_one
    stop = start + len(missing)

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        value = _level(record.get(name))
        out[start:stop] = missing if value is None else table.get(value, unseen)

    return write


def _datetime_writer(block: Block, start: int) -> Writer:
    name, origin = block["column"], block["origin"]
    parts = [(_cycle(part) if part in CYCLES else None, part.split("_")[0], center, scale)
             for part, center, scale in zip(block["parts"], block["center"], block["scale"], strict=True)]
    empty = [NAN if fill is None else _bound(fill, LARGEST) for fill in block["fill"]]
    stop = start + len(empty)

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        value = record.get(name)
        if value is None or not -NANOSECONDS < value < NANOSECONDS:
            out[start:stop] = empty
            return
        stamp = float(value)
        days = math.floor(stamp / DAY)
        day = date.fromordinal(EPOCH + days)
        found = {"year": day.year, "month": day.month, "day": day.day, "weekday": day.weekday(),
                 "hour": math.floor((stamp - days * DAY) / HOUR), "elapsed": (stamp - origin) / DAY}
        out[start:stop] = [((found[base] if cycle is None else cycle[int(found[base])]) - center) / scale
                           for cycle, base, center, scale in parts]

    return write


def _text_writer(block: Block, start: int) -> Writer:
    name = block["column"]

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        _write_text(block, _level(record.get(name)), out, start)

    return write


def _write_text(block: Block, text: str | None, out: Any, start: int) -> None:
    if text is None:
        return
    found = tokens(text)
    out[start] = float(len(text)) * block["shrink"][0]
    out[start + 1] = float(len(found)) * block["shrink"][1]
    vocabulary, weights, base = block["vocabulary"], block["weights"], start + 2
    if block["weight"] == "count":
        for token in found:
            at = vocabulary.get(token)
            if at is not None:
                out[base + at] += 1.0
        return
    hits = sorted({vocabulary[token] for token in found if token in vocabulary})
    norm = 1.0
    if block["weight"] == "tfidf" and hits:
        norm = math.sqrt(math.fsum(weights[at] * weights[at] for at in hits))
    for at in hits:
        out[base + at] = weights[at] / norm


def _score_writer(block: Block, start: int) -> Writer:
    name = block["column"]

    def write(record: Mapping[str, Any], out: list[float]) -> None:
        _write_score(block, _level(record.get(name)), out, start)

    return write


def _write_score(block: Block, text: str | None, out: Any, start: int) -> None:
    """What a ridge regression on TF-IDF of the text says of each target; a missing text gets its intercept."""
    known = block["terms"]
    hits = [known[term] for term in sorted(terms(text)) if term in known] if text else []
    norm = math.sqrt(math.fsum(hit[0] * hit[0] for hit in hits)) or 1.0
    for at, (bias, center, scale) in enumerate(zip(block["bias"], block["center"], block["scale"], strict=True)):
        said = bias + math.fsum(hit[0] * hit[at + 1] for hit in hits) / norm
        out[start + at] = (said - center) / scale


_WRITERS: Mapping[str, Callable[[Block, int], Writer]] = {
    "numeric": _numeric_writer, "onehot": _onehot_writer, "table": _table_writer,
    "datetime": _datetime_writer, "text": _text_writer, "score": _score_writer,
}
