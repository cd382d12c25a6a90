"""Labels as text: the one spelling of a class that tasks, packages and reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def label_text(value: Any) -> str | None:
    """One label in its canonical text, or None when it is missing.

    >>> label_text(1.0), label_text(" yes "), label_text(True), label_text(float("nan")), label_text(2.5)
    ('1', 'yes', 'True', None, '2.5')
    """
    if value is None or value != value or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    text = str(value).strip()
    return text or None


def label_texts(values: pd.Series) -> pd.Series:
    """A column of labels in canonical text, object dtype with None for missing.

    >>> import pandas as pd
    >>> label_texts(pd.Series([1.0, 0.0, None])).tolist()
    ['1', '0', None]
    """
    import pandas as pd

    spelled = {value: label_text(value) for value in pd.unique(values.dropna())}
    if len(set(spelled.values())) != len({as_number_text(t) for t in spelled.values()}):
        spelled = {value: as_number_text(text) for value, text in spelled.items()}
    out = np.empty(len(values), dtype=object)
    out[:] = [spelled.get(v) if v == v else None for v in values.astype(object).where(values.notna(), None)]
    return pd.Series(out, index=values.index, dtype=object)


def as_number_text(text: str | None) -> str | None:
    """Text that spells a whole number as a float, as that whole number; other text unchanged.

    >>> as_number_text("1.0"), as_number_text("1.5"), as_number_text("a")
    ('1', '1.5', 'a')
    """
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else text


def sort_labels(labels: list[str]) -> list[str]:
    """Labels in numeric order when all are numbers, else in alphabetical order.

    >>> sort_labels(["10", "9", "-1"]), sort_labels(["b", "a"])
    (['-1', '9', '10'], ['a', 'b'])
    """
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)
