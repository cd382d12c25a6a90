"""Which columns of a table are texts, and whether they are all there is to learn from."""

from __future__ import annotations

import dataclasses
from typing import Any

from rightfit.data.schema import infer, positions, roles_of
from rightfit.errors import DataError, RightfitError
from rightfit.records import Finding, Need, Schema

LOOK = 2000
GLANCE = 20
NAMES = frozenset({"text", "texts", "review", "reviews", "sentence", "question", "query", "title", "headline",
                   "content", "comment", "message", "tweet", "body", "post", "utterance", "description", "abstract",
                   "评论", "文本", "内容", "标题", "正文", "留言", "问题", "句子"})


def named(column: str) -> bool:
    """Whether a column's name says that it holds texts.

    >>> named("review_text"), named("商品评论"), named("colour")
    (True, True, False)
    """
    from rightfit.data.kinds import tokens

    return bool(tokens(column) & NAMES) or any(word in column for word in NAMES if not word.isascii())


def kinds(frame: Any, need: Need) -> dict[str, str]:
    """The kinds of the columns that are features or ids, from the first 2,000 rows; short texts count where the name
    says text and at least a tenth of the values differ.
    """
    from rightfit.data.kinds import look

    targets = positions(list(frame.columns), need.target)
    some = frame.iloc[:LOOK]
    forced = dict(need.kinds)
    for name in frame.columns:
        if name in targets or name in forced or not named(str(name)):
            continue
        seen = look(name, some[name], (), None)
        if seen.kind == "categorical" and _varied(some[name]):
            forced[name] = "text"
    schema, _ = infer(some, dataclasses.replace(need, target=targets or None, kinds=forced))
    return {c.name: c.kind for c in schema.columns if c.role == "feature" or c.kind == "id"}


def _varied(values: Any) -> bool:
    import pandas as pd

    known = values.dropna()
    text = pd.api.types.is_string_dtype(known) or known.dtype == object
    return bool(text and len(known) and known.nunique() > max(5, 0.1 * len(known)))


def _fractions(values: Any) -> bool:
    """Whether all of some values are numbers and one is no whole number: neither words nor an id."""
    import pandas as pd

    known = values.dropna()
    found = pd.to_numeric(known, errors="coerce") if len(known) and known.dtype != bool else None
    if found is None or not pd.api.types.is_numeric_dtype(found) or found.isna().any():
        return False
    return bool((found % 1 != 0).any())


def only_texts(frame: Any, need: Need) -> bool:
    """Whether every column that could be learned from is a text."""
    try:
        aside = {*roles_of(list(frame.columns), need), *need.kinds}
        if any(_fractions(frame.iloc[:GLANCE, at]) for at, name in enumerate(frame.columns) if name not in aside):
            return False
        found = {kind for kind in kinds(frame, need).values() if kind != "id"}
    except RightfitError:
        return False  # the general reader says what is wrong
    return found == {"text"}


def chosen(frame: Any, need: Need) -> tuple[str, ...]:
    """The columns to read as texts: those of kind text; where texts are asked for and there are none, every column of
    words. Raises DataError where no column holds words.
    """
    found = kinds(frame, need)
    for name, kind in need.kinds.items():
        if kind == "text" and (count := _numbers(frame[name])) == len(frame[name].dropna()) and count:
            raise DataError(f"a text column must hold words; got column={name!r} with numbers in all {count} rows, "
                            f"read it as a table: leave --kind {name}=text and --modality text out.")
    texts = [name for name, kind in found.items() if kind == "text"]
    if not texts:
        texts = [name for name, kind in found.items() if kind in ("categorical", "id") and
                 name not in need.kinds and _numbers(frame[name]) < len(frame[name].dropna())]
    if not texts and need.target is not None:
        listed = ", ".join(f"{name} ({_said(frame[name], kind)})" for name, kind in list(found.items())[:5]) or "none"
        raise DataError(f"texts need a column that holds words; got columns={listed}, name one by --kind column=text "
                        "or leave --modality text out.")
    return tuple(texts)


def _said(values: Any, kind: str) -> str:
    return "numbers" if kind == "numeric" or _numbers(values) else kind


def _numbers(values: Any) -> int:
    """How many values are numbers, written as such or as text."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values):
        return int(values.notna().sum())
    from rightfit.data.values import is_number

    return sum(is_number(str(value).strip()) for value in values.dropna())


def schema_of(frame: Any, need: Need, texts: tuple[str, ...]) -> tuple[Schema, list[Finding]]:
    """The schema with the texts as its only features, and what was noticed; other columns are dropped, and named."""
    targets = positions(list(frame.columns), need.target)
    forced = {**need.kinds, **dict.fromkeys(texts, "text")}
    schema, findings = infer(frame, dataclasses.replace(need, target=targets or None, kinds=forced))
    left = [c.name for c in schema.columns if c.role == "feature" and c.name not in texts]
    columns = tuple(dataclasses.replace(c, role="dropped") if c.name in left else c for c in schema.columns)
    kept = [f for f in findings if f.column not in left]
    if left and targets:
        kept.append(Finding(code="columns_left_out", severity="ask", column=left[0],
                            evidence=f"Beside the texts ({', '.join(texts)}) the data hold {', '.join(left[:8])}"
                                     f"{' ...' if len(left) > 8 else ''}.",
                            consequence="Only the texts are read; --modality tabular learns from all columns together.",
                            data={"columns": left}))
    return Schema(columns=columns), kept
