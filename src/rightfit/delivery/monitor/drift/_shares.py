"""Counts of categories on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np


def counts(reference: Any, window: Any) -> Any:
    """(2, categories) int64; missing values are left out, values are compared as they are."""
    import pandas as pd

    codes, found = pd.factorize(np.concatenate([np.asarray(reference), np.asarray(window)]))
    side = np.arange(len(codes)) >= len(reference)
    return np.stack([np.bincount(codes[(side == one) & (codes >= 0)], minlength=len(found)) for one in (False, True)])


def psi(table: Any) -> float:
    """The population stability index of counts (2, k), half a row added to each cell so that it is finite."""
    shares = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
