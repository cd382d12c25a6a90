"""Labels as people write them: spelled in two ways, or listed in brackets."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from rightfit.records import Finding

_JOINERS = (";", "|", "\x1f")


def spelling(values: Any, column: str) -> tuple[Finding, ...]:
    """A question about labels that differ only in blanks or case: outer blanks are ignored, case is not.

    >>> import pandas as pd
    >>> [f.data["labels"] for f in spelling(pd.Series(["Spam", "spam ", "ham"]), "y")]
    [[['Spam', 'spam ']]]
    """
    counts = Counter(value for value in values if isinstance(value, str))
    if len(counts) > 10_000:
        return ()
    alike: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        alike[" ".join(label.split()).casefold()].append(label)
    groups = [sorted(group, key=lambda label: (-counts[label], label)) for group in alike.values() if len(group) > 1]
    if not groups:
        return ()
    shown = "; ".join(", ".join(f"{label!r} ({counts[label]:,})" for label in group[:4]) for group in groups[:3])
    cased = [g for g in groups if len({label.strip() for label in g}) > 1]
    follows = ("Blanks around a label are ignored, but different spellings are different classes for now: are they "
               "one? If so, make them equal in the data." if cased else
               "Read as one class: blanks around a label are ignored.")
    return (Finding(code="label_spelling", severity="ask" if cased else "info", column=column, consequence=follows,
                    evidence=f"{len(groups)} labels are spelled in more than one way: {shown}.",
                    data={"labels": groups[:50], "count": len(groups)}),)


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
