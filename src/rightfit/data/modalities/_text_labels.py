"""Several labels of one text, as JSON files list them."""

from __future__ import annotations

import json
from typing import Any

_JOINERS = (";", "|", "\x1f")


def unlisted(values: Any) -> tuple[Any, str] | None:
    """Labels written as JSON lists, joined by a delimiter that none of them holds: (pandas Series, delimiter); None
    where they are no lists.

    >>> import pandas as pd
    >>> unlisted(pd.Series(['["a", "b"]', '["b"]']))[0].tolist()
    ['a;b', 'b']
    """
    import pandas as pd

    known = [value for value in values if isinstance(value, str) and value.strip()]
    if not known or not all(value.lstrip().startswith("[") for value in known[:100]):
        return None
    try:
        lists = [json.loads(value) if isinstance(value, str) and value.strip() else [] for value in values]
    except json.JSONDecodeError:
        return None
    if not all(isinstance(some, list) and all(isinstance(v, str | int) for v in some) for some in lists):
        return None
    labels = {str(label) for some in lists for label in some}
    joiner = next((j for j in _JOINERS if not any(j in label for label in labels)), None)
    if joiner is None:
        return None
    return pd.Series([joiner.join(map(str, some)) or None for some in lists], dtype=object), joiner
