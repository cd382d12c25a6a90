"""Labels as text: the one spelling of a class that tasks, packages and reports share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rightfit.data.values import canonical

if TYPE_CHECKING:
    import pandas as pd


def label_texts(values: pd.Series) -> pd.Series:
    """A column of labels (n,) in canonical text, object dtype with None for missing.

    >>> import pandas as pd
    >>> label_texts(pd.Series([1.0, 0.0, None])).tolist()
    ['1', '0', None]
    """
    import pandas as pd

    codes, labels = pd.factorize(values)
    spelled = np.array([*(canonical(label) for label in labels), None], dtype=object)
    return pd.Series(spelled[codes], index=values.index, dtype=object)


def sort_labels(labels: list[str]) -> list[str]:
    """Labels in numeric order when all are numbers, else in alphabetical order.

    >>> sort_labels(["10", "9", "-1"]), sort_labels(["b", "a"])
    (['-1', '9', '10'], ['a', 'b'])
    """
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)
