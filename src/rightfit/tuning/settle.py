"""What the folds of a candidate learned becomes its parameters, so that a refit need not learn it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rightfit.records import Candidate


def settled(candidate: Candidate, learned: Sequence[Mapping[str, Any]]) -> Candidate:
    """The candidate with the median of the numbers that its folds learned, and without early stopping if there are any.

    >>> plain = Candidate(family="f", params={"n_estimators": 100, "early_stopping": True})
    >>> dict(settled(plain, [{"n_estimators": 20}, {"n_estimators": 30}]).params)
    {'n_estimators': 25, 'early_stopping': False}
    """
    import numpy as np

    params = dict(candidate.params)
    for name in {n for each in learned for n in each}:
        values = [each[name] for each in learned if name in each]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            middle = float(np.median(values))
            params[name] = round(middle) if all(isinstance(v, int) for v in values) else middle
            if "early_stopping" in params:
                params["early_stopping"] = False
    return Candidate(family=candidate.family, params=params, steps=candidate.steps)
