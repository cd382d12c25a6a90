"""From raw rows and an understood task to the rows that models learn from."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from rightfit.data.schema import _parsed, coerce
from rightfit.data.values import FALSE, MARKERS, TRUE, WORDS, canonical, unreadable
from rightfit.errors import DataError
from rightfit.records import Column, Dataset, Schema, Task

MOST_PROTECTED = 30
_DELIMITERS = (";", "|", ",", "、", "/", " ")


def target_texts(values: Any, column: Column | None = None, classes: tuple[str, ...] = ()) -> Any:
    """A raw target column as canonical text (pandas object Series), None where it is missing.

    Missing are null and blank cells, the markers of `column`, and without a column the usual ones that are no class.
    """
    import pandas as pd

    markers = {canonical(m) for m in column.missing} if column is not None else \
        {m for m in (MARKERS if classes else MARKERS | WORDS) if m not in classes}
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    texts = np.empty(len(distinct) + 1, dtype=object)
    texts[-1] = None
    for position, value in enumerate(distinct):
        text = canonical(value)
        texts[position] = None if text in markers else text
    return pd.Series(texts[codes], dtype=object)


def target_present(frame: Any, task: Task, schema: Schema | None = None) -> Any:
    """Bool (n,): rows whose targets are all there."""
    present = np.ones(len(frame), dtype=bool)
    for name in task.target:
        present &= target_texts(frame[name], _known(schema, name), task.classes).notna().to_numpy()
    return present


def _known(schema: Schema | None, name: str) -> Column | None:
    return next((c for c in schema.columns if c.name == name), None) if schema else None


def encode_target(frame: Any, task: Task) -> Any:
    """The target as numbers; every row must have one.

    Binary, multiclass, ordinal: int64 (n,), positions in task.classes. Multilabel: int8 (n, k). Values:
    float64 (n,), or (n, k) for several targets; ranking: (n, 2), relevance and query. `frame` is a
    pandas DataFrame, or the Series of the only target.
    Raises DataError for a label that is no class and for a value that is no number.
    """
    columns = [frame] if getattr(frame, "ndim", 2) == 1 else [frame[name] for name in task.target]
    if task.one_label:
        return _codes(columns[0], task)
    if task.problem == "multilabel":
        return _labels(columns[0], task) if len(columns) == 1 else _flags(columns, task)
    if task.problem == "ranking":
        return np.column_stack([_targets(columns[0], task.target[0]), _groups(frame, None, task)])
    if not task.classifies and task.problem not in ("detection", "generation"):
        found = [_targets(values, name) for values, name in zip(columns, task.target, strict=True)]
        return found[0] if len(found) == 1 else np.column_stack(found)
    raise DataError(f"the target of a table must be classes or numbers; got problem={task.problem!r}.")


def _loose(text: str) -> str:
    return text.strip().rstrip(".").casefold()


def _codes(values: Any, task: Task) -> Any:
    if len(task.classes) > 10_000:
        raise DataError(f"a target must have at most 10000 classes; got {len(task.classes)} in "
                        f"target={task.target[0]!r}.")
    exact = {canonical(c): position for position, c in enumerate(task.classes)}
    loose: dict[str, int] = {}
    clash = set()
    for position, name in enumerate(task.classes):
        clash |= {_loose(name)} if _loose(name) in loose else set()
        loose[_loose(name)] = position
    texts = target_texts(values, Column(name=task.target[0], kind="categorical"))
    codes = np.full(len(texts), -1, dtype=np.int64)
    for text, rows in texts.groupby(texts, sort=False).indices.items():
        # "<=50K." in a test part is "<=50K"
        near = None if _loose(str(text)) in clash else loose.get(_loose(str(text)))
        codes[rows] = exact.get(str(text), -1 if near is None else near)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise DataError(f"the target must hold one of {len(task.classes)} classes ({', '.join(task.classes[:5])}"
                        f"{', ...' if len(task.classes) > 5 else ''}); got {task.target[0]}={texts.iloc[row]!r} in "
                        f"row={row}.")
    return codes


def _targets(values: Any, name: str) -> Any:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise DataError(f"a regression target must hold numbers; got target={name!r} with dates.")
    return _parsed(values, Column(name=name, kind="numeric"), np.float64)


def _flags(columns: list[Any], task: Task) -> Any:
    """Several yes/no columns, one per label, in the order of task.classes where they are its names."""
    named = dict(zip(task.target, columns, strict=True))
    order = task.classes if set(task.classes) == set(task.target) else task.target
    found = np.zeros((len(columns[0]), len(columns)), dtype=np.int8)
    for place, name in enumerate(order):
        texts = target_texts(named[name], Column(name=name, kind="categorical"))
        for text, rows in texts.groupby(texts, sort=False).indices.items():
            word = str(text).casefold()
            if word not in TRUE | FALSE:
                raise unreadable(Column(name=name, kind="boolean"), int(rows[0]), text, "yes or no in a multilabel "
                                                                                        "target")
            found[rows, place] = word in TRUE
    return found


def _labels(values: Any, task: Task) -> Any:
    """One column that lists its labels with a delimiter between them."""
    place = {canonical(c): position for position, c in enumerate(task.classes)}
    texts = target_texts(values, Column(name=task.target[0], kind="categorical"))
    given = task.reasons.get("delimiter", "")
    unknown = ""
    for delimiter in ([given] if 0 < len(given) <= 3 else []) + list(_DELIMITERS):
        pieces = [[canonical(piece) for piece in str(text).split(delimiter)] for text in texts]
        strange = ((row, p) for row, some in enumerate(pieces) for p in some if p is not None and p not in place)
        wrong = next(strange, None)
        if wrong is None:
            found = np.zeros((len(texts), len(task.classes)), dtype=np.int8)
            for row, some in enumerate(pieces):
                found[row, [place[p] for p in some if p is not None]] = 1
            return found
        unknown = unknown or f"{wrong[1]!r} in row={wrong[0]}"
    raise DataError(f"every label must be one of {len(task.classes)} classes; got target={task.target[0]!r} with "
                    f"{unknown}.")


def assemble(frame: Any, schema: Schema, task: Task) -> Dataset:
    """The rows with a target, their features coerced, groups as codes and time as int64 nanoseconds (or numeric order).

    A frame without any target column gives unlabelled rows (y None). Raises DataError.
    """
    labelled = bool(task.target) and all(name in frame.columns for name in task.target)
    if labelled:
        present = target_present(frame, task, schema)
        if not present.any():
            raise DataError(f"the target must hold values; got target={', '.join(task.target)} with all {len(frame)} "
                            f"missing.")
        frame = frame if present.all() else frame[present].reset_index(drop=True)
    elif any(name in frame.columns for name in task.target):
        lacking = [name for name in task.target if name not in frame.columns]
        raise DataError(f"all target columns must be there or none; got no column={lacking[0]!r}.")
    weight = _weights(frame, schema) if labelled else None
    if weight is not None and not weight.all():
        frame, weight = frame[weight > 0].reset_index(drop=True), weight[weight > 0]
    return Dataset(X=coerce(frame, schema), y=encode_target(frame, task) if labelled else None, schema=schema,
                   groups=_groups(frame, schema, task), time=_time(frame, schema, task), weight=weight,
                   protected=_protected(frame, schema, task))


def _weights(frame: Any, schema: Schema) -> Any:
    """Row weights float64 (n,) of mean 1 over the rows that count, or None where no column holds them."""
    name = next((c.name for c in schema.columns if c.role == "weight"), None)
    if name is None or name not in frame.columns:
        return None
    found = _parsed(frame[name], Column(name=name, kind="numeric"), np.float64)
    bad = np.flatnonzero(~np.isfinite(found) | (found < 0))
    if len(bad):
        raise DataError(f"row weights must be numbers of 0 or more; got {name}={frame[name].iloc[bad[0]]!r} in "
                        f"row={int(bad[0])}.")
    if not found.any():
        raise DataError(f"one row weight at least must be above 0; got {name} with all {len(found)} zero.")
    return found / found[found > 0].mean()


def _needed(frame: Any, name: str, what: str) -> Any:
    if name not in frame.columns:
        raise DataError(f"the {what} column must be there; got no column={name!r}.")
    return frame[name]


def _groups(frame: Any, schema: Schema | None, task: Task) -> Any:
    if task.group is None:
        return None
    import pandas as pd

    codes, distinct = pd.factorize(target_texts(_needed(frame, task.group, "group"), _known(schema, task.group)))
    codes = codes.astype(np.int64)
    # a row without a group is a group of its own
    lone = codes < 0
    codes[lone] = len(distinct) + np.arange(int(lone.sum()))
    return codes


def _protected(frame: Any, schema: Schema, task: Task) -> Any:
    """The group of each row in the protected column, str (n,), empty where it is missing."""
    if task.protected is None:
        return None
    texts = target_texts(_needed(frame, task.protected, "protected"), _known(schema, task.protected))
    found = texts.fillna("").to_numpy().astype(str)
    count = len(np.unique(found))
    if not 2 <= count <= MOST_PROTECTED:
        raise DataError(f"a protected column must have 2 to {MOST_PROTECTED} groups; got protected={task.protected!r} "
                        f"with {count}, group its values in a column of their own.")
    return found


def _time(frame: Any, schema: Schema, task: Task) -> Any:
    if task.time is None:
        return None
    values = _needed(frame, task.time, "time")
    column = _known(schema, task.time) or Column(name=task.time, kind="datetime")
    if column.kind in ("numeric", "boolean"):
        found = _parsed(values, column, np.float64)
        gone = np.isnan(found)
        ordered = found.astype(np.int64) if not gone.any() and (found == np.floor(found)).all() and \
            (np.abs(found) < 2**62).all() else np.unique(found, return_inverse=True)[1].astype(np.int64)
    elif column.kind == "datetime":
        ordered = _parsed(values, column, np.int64)
        gone = ordered == np.iinfo(np.int64).min
    else:
        raise DataError(f"the time column must hold dates or numbers; got time={task.time!r} with {column.kind} "
                        f"values such as "
                        f"{values.iloc[0]!r}.")
    if gone.any():
        raise DataError(f"the time column must hold a time in every row; got time={task.time!r} with "
                        f"{int(gone.sum())} missing, "
                        f"the first in row={int(np.flatnonzero(gone)[0])}.")
    return ordered


def fingerprint(frame: Any) -> str:
    """SHA-256 of the names and values of a frame, in their order."""
    import pandas as pd

    digest = hashlib.sha256()
    for name in frame.columns:
        values = frame[name]
        try:
            hashed = pd.util.hash_pandas_object(values, index=False)
        except TypeError:
            hashed = pd.util.hash_pandas_object(values.astype(str), index=False)
        digest.update(str(name).encode() + b"\0" + hashed.to_numpy().tobytes())
    return digest.hexdigest()

