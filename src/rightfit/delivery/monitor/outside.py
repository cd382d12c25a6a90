"""Values of a window that the reference never had: beyond its range, or new categories; and whether that is chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _permutation, _shares

DRAWS = 9999


def outside(one: Any, other: Any, rng: Any) -> tuple[float, float, str]:
    """(p, share of the window's rows, what they are) of two sides without gaps, (n,) numbers or (n,) categories.

    p is exact for exchangeable rows. Numbers: that so many of the largest, or of the smallest, of all rows are of the
    window, twice the smaller (Epstein, JASA 49, 1954; ties count as inside). Categories: relabelled at random.

    >>> p, share, said = outside(np.arange(100.0), np.array([1.0, 2, 300, 400]), np.random.default_rng(0))
    >>> round(p, 4), share, said
    (0.0022, 0.5, 'outside 0..99')
    """
    if one.dtype == object:
        return _unseen(one, other, rng)
    low, high = one.min(), one.max()
    under, over = int((other < low).sum()), int((other > high).sum())
    p = min(1.0, 2 * min(_extreme(k, len(one), len(other)) for k in (under, over)))
    return p, (under + over) / len(other), f"outside {low:.4g}..{high:.4g}"


def _extreme(k: int, n: int, m: int) -> float:
    """The chance that the k largest of n + m exchangeable rows are all of the m."""
    i = np.arange(k)
    return float(np.prod((m - i) / (n + m - i)))


def _unseen(one: Any, other: Any, rng: Any) -> tuple[float, float, str]:
    counts = _shares.counts(one, other)
    found = int(counts[1, counts[0] == 0].sum())
    if not found:
        return 1.0, 0.0, ""
    whole = counts.sum(axis=0)

    def hits(size: int) -> Any:
        return (rng.multivariate_hypergeometric(whole, len(one), size, method="marginals") == 0) @ whole >= found

    p = _permutation.sequential(hits, DRAWS, max(_permutation.CELLS // len(whole), 1))
    known = set(one.tolist())
    return p, found / len(other), f"in new categories such as {next(v for v in other if v not in known)!r}"
