"""What a column is: its kind, its missing markers and whether it only names the row."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np

from rightfit.data.values import MARKERS, PAIRS, WORDS, Unreadable, canonical, nanoseconds
from rightfit.records import Finding, frozen

NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SENTINELS = tuple(sign * float("9" * digits) for digits in range(2, 7) for sign in (-1, 1))
_DATE = re.compile(r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[ -][A-Za-z]{3,9}[ -,]+\d{2,4}|[A-Za-z]{3,9} \d{1,2},? "
                   r"\d{4}"
                   r"|\d{4}年\d{1,2}月\d{1,2}日|\d{8}T\d+)([ T]*\d{1,2}:\d{2}.*)?")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y",
         "%d/%m/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y",
         "%Y年%m月%d日")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_ID = frozenset({"id", "ids", "uuid", "guid", "rowid", "rowname", "rownames", "index", "idx", "unnamed", "pk"})
_NUMBERING = frozenset({"number", "no", "nr", "num", "code", "key", "serial", "ref", "record", "row", "account",
                        "case", "instant"})
_ORDER = frozenset({"year", "date", "time", "datetime", "timestamp", "day", "month", "week", "hour", "minute", "second",
                    "period", "age", "step", "quarter", "epoch"})
_MONEY = frozenset({"fare", "price", "amount", "cost", "income", "revenue", "sales", "fee", "salary", "tax", "profit"})
_UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@frozen
class Seen:
    """One column looked at. `texts`: Arrow strings without outer blanks, null when missing; `numbers`: float64 (n,)."""

    kind: str
    texts: Any = None
    numbers: Any = None
    missing: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    form: str = ""
    findings: tuple[Finding, ...] = ()


def tokens(name: str) -> set[str]:
    """The words of a column name.

    >>> sorted(tokens("PassengerId")), sorted(tokens("Unnamed: 0"))
    (['id', 'passenger'], ['0', 'unnamed'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)}


def look(name: str, values: Any, extra: Collection[str], forced: str | None) -> Seen:
    """Look at one raw column (pandas Series); `extra` are further missing markers, `forced` the user's kind."""
    import pandas as pd

    extra = {marker.strip() for marker in extra}
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return Seen(kind=forced or "boolean", categories=("False", "True"))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Seen(kind=forced or "datetime")
    if pd.api.types.is_timedelta64_dtype(dtype):
        return _numbers(name, values.dt.total_seconds().to_numpy(dtype=float), extra, forced)
    if pd.api.types.is_numeric_dtype(dtype):
        return _numbers(name, values.to_numpy(dtype=float, na_value=np.nan), extra, forced)
    if isinstance(dtype, pd.CategoricalDtype):
        values, forced = values.astype(object), forced or "categorical"
    content = pd.api.types.infer_dtype(values, skipna=True) if values.dtype == object else "string"
    if content in ("integer", "floating", "mixed-integer-float", "decimal"):
        return _numbers(name, pd.to_numeric(values.map(_plain), errors="coerce").to_numpy(dtype=float), extra, forced)
    if content == "boolean":
        return Seen(kind=forced or "boolean", categories=("False", "True"))
    if content in ("datetime", "datetime64", "date"):
        return Seen(kind=forced or "datetime")
    return _texts(name, values, extra, forced, mixed=content.startswith("mixed"))


def _plain(value: Any) -> Any:
    return None if canonical(value) is None else float(value)


def arrow_texts(values: Any) -> Any:
    """A pandas column of texts or mixed objects as Arrow strings, null where the cell is null."""
    import pyarrow as pa

    if values.dtype == object:
        return pa.array([v if isinstance(v, str) else canonical(v) for v in values], pa.large_string())
    found = pa.array(values, from_pandas=True)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return found.cast(pa.large_string())


def _numbers(name: str, numbers: Any, extra: set[str], forced: str | None) -> Seen:
    finite = numbers[np.isfinite(numbers)]
    marked = {float(m) for m in extra if re.match(NUMBER, m)}
    applied, findings = _sentinels(name, finite, marked) if forced in (None, "numeric") else ((), [])
    kind = forced or ("boolean" if len(finite) and set(np.unique(finite[:1000])) <= {0.0, 1.0}
                      and set(np.unique(finite)) == {0.0, 1.0} else "numeric")
    categories: tuple[str, ...] = ("0", "1") if kind == "boolean" else ()
    return Seen(kind=kind, numbers=numbers, missing=applied, categories=categories, findings=tuple(findings))


def _sentinels(name: str, finite: Any, marked: set[float]) -> tuple[tuple[str, ...], list[Finding]]:
    applied, findings = [], []
    for value in sorted(marked & set(finite[np.isin(finite, list(marked))])) if marked else ():
        count = int((finite == value).sum())
        applied.append(canonical(value) or "")
        findings.append(_marker(name, {applied[-1]: count}, len(finite), applied=True, severity="info"))
    rest = finite[~np.isin(finite, [float(m) for m in applied])] if applied else finite
    if not len(rest) or max(rest.max(), -rest.min()) < 99:
        return tuple(applied), findings
    for value in _SENTINELS:
        count = int((rest == value).sum())
        others = rest[rest != value] if count >= 3 else rest[:0]
        if len(others) < 10:
            continue
        low, high = float(others.min()), float(others.max())
        gap, spread = (low - value, high - low) if value < low else (value - high, high - low)
        # a negative code among values that are never negative, or a code three ranges away: nothing else explains it
        sure = gap > 0 and value <= -99 and (low >= 0 or gap > 2 * spread) and gap > 0.5 * spread
        if sure or (gap > 3 * spread and spread > 0 and abs(value) >= 99):
            text = canonical(value) or ""
            if sure:
                applied.append(text)
            findings.append(_marker(name, {text: count}, len(finite), applied=sure,
                                    severity="warning" if sure else "ask",
                                    reason=f"the other values lie in {low:g}..{high:g}"))
            rest = others if sure else rest
    return tuple(applied), findings


def _marker(name: str, counts: dict[str, int], rows: int, *, applied: bool, severity: Any, reason: str = "") -> Finding:
    shown = ", ".join(f"{m!r} {c} times" for m, c in counts.items())
    total = sum(counts.values())
    follows = "read as missing" if applied else (f"kept as a value; if it means missing, say --missing "
                                                 f"{next(iter(counts))}@{name}")
    return Finding(code="missing_marker", severity=severity, column=name, consequence=follows,
                   evidence=f"{shown} in {rows} values" + (f"; {reason}" if reason else ""),
                   data={"markers": counts, "count": total, "share": total / max(rows, 1), "applied": applied})


def zeros(seen: dict[str, Any]) -> list[Finding]:
    """Zeros that cannot be real, over the numeric columns {name: float64 (n,)} of one table, to be asked about.

    Strict: at most 5 % zeros, all other values positive and at least a quarter of their median. Where a table has such
    a column, others with up to half zeros are named too, by the same gap, or by a tenth when two columns are strict.
    Whole numbers that start at 1 to 4 are counts. The thresholds were set on the tables of tests/test_schema.py.
    """
    strict, loose = [], []
    for name, numbers in seen.items():
        finite = numbers[np.isfinite(numbers)]
        count = int((finite == 0).sum())
        others = finite[finite != 0]
        if not count or len(finite) < 50 or count > len(finite) / 2 or others.min() <= 0 or tokens(name) & _MONEY:
            continue
        gap = float(others.min() / np.median(others))
        counts = others.min() < 5 and bool((others == np.floor(others)).all())
        if gap < 0.1 or counts or len(np.unique(others)) < 15:
            continue
        finding = _marker(name, {"0": count}, len(finite), applied=False, severity="ask",
                          reason=f"the other values lie in {others.min():g}..{others.max():g}, far from zero")
        if count <= 0.05 * len(finite) and gap >= 0.25:
            strict.append(finding)
        else:
            loose.append((gap, finding))
    enough = {0: 1.0, 1: 0.25}.get(len(strict), 0.1)
    return strict + [finding for gap, finding in loose if gap >= enough]


def _texts(name: str, values: Any, extra: set[str], forced: str | None, *, mixed: bool) -> Seen:
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = arrow_texts(values)
    texts = pc.ascii_trim_whitespace(raw)
    numeric = pc.fill_null(pc.match_substring_regex(texts, NUMBER), False)
    rest = pc.filter(texts, pc.invert(numeric))
    counts = {item["values"]: item["counts"] for item in pc.value_counts(pc.drop_null(rest)).to_pylist()}
    n_numbers = int(pc.sum(numeric).as_py() or 0)
    others = {t: c for t, c in counts.items() if not _also_number(t)}
    n_numbers += sum(counts[t] for t in counts.keys() - others.keys())
    total = len(raw) - raw.null_count
    marks = _markers(others, n_numbers, total, extra, forced)
    junk = {t: c for t, c in others.items() if t not in marks and t not in extra}
    findings = _named(name, raw, marks, others, total)
    codes = n_numbers > 0 and bool(pc.any(pc.match_substring_regex(texts, r"^-?0[0-9]")).as_py())
    numbers_only = n_numbers > 0 and not codes
    if junk and forced in (None, "numeric"):
        numbers_only = numbers_only and _mostly_numbers(pc.filter(texts, numeric), n_numbers, junk)
        share = n_numbers / (n_numbers + sum(junk.values()))
        if (mixed and n_numbers) or (share >= 0.9 and len(junk) <= 10 and not codes):
            findings.append(_mixed(name, n_numbers, junk, numbers_only))
        marks |= dict.fromkeys(junk, True) if numbers_only and forced is None else {}
    as_numbers = (numbers_only and forced is None) or forced == "numeric"
    coded = set() if as_numbers else {m for m in extra if re.match(NUMBER, m) and pc.any(pc.equal(texts, m)).as_py()}
    findings += [_marker(name, {m: int(pc.sum(pc.equal(texts, m)).as_py())}, total, applied=True, severity="info")
                 for m in sorted(coded)]
    blank = pa.array(sorted({*marks, *coded, ""}), texts.type)
    texts = pc.if_else(pc.is_in(texts, blank), pa.scalar(None, texts.type), texts)
    markers = tuple(sorted({*marks, *coded}))
    if as_numbers:
        seen = _numbers(name, _cast(texts), extra, forced)
        return Seen(kind=seen.kind, texts=texts, numbers=seen.numbers, categories=seen.categories,
                    missing=tuple(dict.fromkeys((*markers, *seen.missing))), findings=(*findings, *seen.findings))
    kind, categories, form, more = _kind(name, texts, n_numbers, forced)
    return Seen(kind=kind, texts=texts, missing=markers, categories=categories, form=form, findings=(*findings, *more))


def _mostly_numbers(numeric: Any, count: int, junk: dict[str, int]) -> bool:
    """A few typing errors among many different numbers; among few, such as 1, 2, 3, 4+, the text is a value."""
    import pyarrow.compute as pc

    few = len(junk) <= 10 and sum(junk.values()) <= 0.05 * count
    return few and pc.count_distinct(numeric).as_py() > 20


def _mixed(name: str, count: int, junk: dict[str, int], read_as_numbers: bool) -> Finding:
    often = max(junk, key=lambda text: junk[text])
    return Finding(code="mixed_types", severity="warning", column=name,
                   evidence=f"{count} numbers and {sum(junk.values())} other texts such as {often!r}",
                   consequence="the texts are read as missing" if read_as_numbers else "the numbers are read as texts",
                   data={"numbers": count, "texts": dict(list(junk.items())[:10])})


def _also_number(text: str) -> bool:
    signed = text[:1] == "+" and re.match(NUMBER, text[1:])
    return bool(signed) or text.lstrip("+-").casefold() in ("inf", "infinity")


def _cast(texts: Any) -> Any:
    """Arrow strings to float64 (n,); what is no number becomes NaN, infinities stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False).astype(float)
    except pa.ArrowInvalid:
        import pandas as pd

        return pd.to_numeric(pd.Series(texts.to_pylist(), dtype=object), errors="coerce").to_numpy(dtype=float)


def _markers(others: dict[str, int], numbers: int, total: int, extra: set[str], forced: str | None) -> dict[str, bool]:
    """The texts that mean missing among the non-numbers: {text: whether it is applied or only asked about}."""
    plain = {t: c for t, c in others.items() if t not in MARKERS and t not in extra}
    asked = {}
    found = {t: True for t in others if t in extra or (t in MARKERS and t not in ("NA", "-", "--"))}
    words = set(plain) - WORDS
    # among many two-letter codes NA is a country; beside a plus, - is a sign
    codes = [t for t in plain if len(t) == 2 and t.isupper()]
    for text in ("NA", "-", "--"):
        if text in others and text not in found:
            genuine = (len(codes) >= 20 if text == "NA" else "+" in plain) and not numbers
            found[text] = not genuine
    if numbers and not words and numbers > sum(plain.values()) * 0.5 and forced in (None, "numeric"):
        found |= dict.fromkeys(plain, True)
    elif words and len(plain) <= 1000 and forced != "text":
        asked = {t: False for t in plain if t in WORDS and plain[t] < 0.005 * total and plain[t] >= 2}
    return {t: True for t, applied in found.items() if applied} | {t: False for t in asked}


def _named(name: str, raw: Any, marks: dict[str, bool], others: dict[str, int], total: int) -> list[Finding]:
    import pyarrow.compute as pc

    findings = []
    counts = {m: others[m] for m, applied in marks.items() if applied and m}
    if marks.pop("", None):
        blank = pc.filter(raw, pc.fill_null(pc.equal(pc.ascii_trim_whitespace(raw), ""), False))
        counts |= {i["values"]: i["counts"] for i in pc.value_counts(blank).to_pylist()}
    if counts:
        severity = "info" if set(counts) <= {""} else "warning"
        findings.append(_marker(name, counts, total, applied=True, severity=severity))
    for text in [m for m, applied in marks.items() if not applied]:
        del marks[text]
        findings.append(_marker(name, {text: others[text]}, total, applied=False, severity="ask",
                                reason="a rare category"))
    marks |= dict.fromkeys(counts, True)
    return findings


def _kind(name: str, texts: Any, numbers: int,
          forced: str | None) -> tuple[str, tuple[str, ...], str, list[Finding]]:
    import pyarrow.compute as pc

    distinct = pc.unique(pc.drop_null(texts))
    first = distinct.slice(0, 1000).to_pylist()
    if forced in (None, "boolean") and len(distinct) == 2:
        low, high = sorted(first, key=lambda t: (t.casefold() in {p[1] for p in PAIRS}, t))
        if forced or (low.casefold(), high.casefold()) in PAIRS:
            return "boolean", (low, high), "", []
    if forced == "boolean":
        return "boolean", (first[0], first[0] + " ") if len(first) == 1 else (), "", []
    if forced in (None, "datetime") and first:
        form, ambiguous = date_form(first, distinct)
        if form or forced:
            asks = [Finding(code="date_order", severity="ask", column=name, evidence=f"{first[0]!r} reads as day or "
                                                                                     f"month first",
                            consequence=f"read as {form}", data={"form": form})] if ambiguous else []
            return "datetime", (), form or "iso", asks
    if forced:
        return forced, (), "", []
    filled = max(len(texts) - texts.null_count, 1)
    words = sum(_words(t) for t in first) / max(len(first), 1)
    share = len(distinct) / filled
    varied = (words > 3 and share > 0.3) or (words >= 2 and share > 0.5 and numbers < 0.5 * filled)
    if varied and len(distinct) > 5:
        return "text", (), "", []
    return "categorical", (), "", []


def _words(text: str) -> float:
    # Chinese and Japanese write no blanks; two characters make a word on average
    han = sum("\u3040" <= c <= "\u9fff" for c in text)
    return han / 2 + len(text.split()) - (1 if han else 0)


def date_form(first: list[str], distinct: Any) -> tuple[str, bool]:
    """How dates are written (iso, a strptime format, "" when they are none), and whether day and month may swap."""
    probe = first[:50]
    if not all(_DATE.fullmatch(t) for t in probe):
        return "", False
    forms = ["iso", *(day + time for time in _TIMES for day in _DAYS)]
    for sample in (first[:1], first[:20], first, None):
        values = distinct.to_pylist() if sample is None else sample
        if sample is None and len(forms) > 2:
            forms = forms[:2]
        forms = [form for form in forms if all(_reads(text, form) for text in values)]
        if not forms:
            return "", False
    swapped = {form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m") for form in forms}
    return forms[0], len(forms) > 1 and bool(swapped & set(forms))


def _reads(text: str, form: str) -> bool:
    from datetime import datetime

    try:
        if form == "iso":
            nanoseconds(text)
        else:
            datetime.strptime(text, form)
    except (Unreadable, ValueError):
        return False
    return True


def names_rows(name: str, seen: Seen, rows: int) -> str:
    """Why a column only names its rows; an empty text when it does not."""
    import pyarrow.compute as pc

    words = tokens(name)
    if rows < 10 or words & _ORDER or seen.kind not in ("numeric", "categorical"):
        return ""
    named = bool(words & _ID)
    if seen.kind == "numeric":
        numbers = seen.numbers
        if not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any():
            return ""
        step = np.diff(numbers)
        counted = len(step) > 0 and bool((step == 1).all()) and numbers[0] in (0, 1)
        distinct = rows if counted else len(np.unique(numbers))
        if rows >= 20 and counted:
            return f"the row number, {numbers[0]:.0f} to {numbers[-1]:.0f}"
        if named and distinct >= 0.95 * rows:
            return f"{distinct} of {rows} values differ and the name says id"
        if rows >= 20 and words & _NUMBERING and distinct == rows and bool((step > 0).all()):
            return f"all {rows} values differ and rise with the row"
        return ""
    filled = rows - seen.texts.null_count
    distinct = pc.count_distinct(seen.texts).as_py()
    if filled < 0.9 * rows or distinct < (0.95 if named else 0.99) * filled or (not named and filled < 20):
        return ""
    some = pc.drop_null(seen.texts).slice(0, 200).to_pylist()
    if named or all(_UUID.fullmatch(t) for t in some) or sum(_words(t) for t in some) < 1.2 * len(some):
        return f"{distinct} of {filled} values differ"
    return ""
