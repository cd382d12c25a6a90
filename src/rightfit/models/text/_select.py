"""Which n-grams are kept: not too rare, not everywhere, and of those the most telling or the most frequent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TARGETS = 64  # columns of y that are looked at together, so that memory stays at features x 64


def choose(counts: Sequence[Any], params: Mapping[str, Any], y: Any) -> list[Any]:
    """Positions of the terms to keep in each block, (f,) int64 ascending.

    counts: sparse (n, f) of each block. params: min_df, max_df, max_features as in `Bag.fit`. y: float64 (n, k), or
    None for choosing by frequency.
    """
    rows = counts[0].shape[0]
    low = min(_bound(params.get("min_df", 1), rows), max(rows // 2, 1))
    high = max(_bound(params.get("max_df", 1.0), rows), low)
    kept, scores = [], []
    for matrix in counts:
        frequency = np.bincount(matrix.indices, minlength=matrix.shape[1])
        columns = np.flatnonzero((frequency >= low) & (frequency <= high))
        kept.append(columns)
        scores.append(frequency[columns].astype(np.float64))
    most, total = int(params.get("max_features") or 0), sum(map(len, kept))
    if not most or total <= most:
        return kept
    if y is not None:
        scores = [telling(matrix[:, columns], y) for matrix, columns in zip(counts, kept, strict=True)]
    best = np.zeros(total, bool)
    best[np.argsort(-np.concatenate(scores), kind="stable")[:most]] = True
    parts = np.split(best, np.cumsum([len(columns) for columns in kept])[:-1])
    return [columns[part] for columns, part in zip(kept, parts, strict=True)]


def _bound(value: float, rows: int) -> float:
    return value * rows if isinstance(value, float) and value <= 1 else value


def telling(counts: Any, y: Any) -> Any:
    """How much the presence of each term (n, f) says about targets y float64 (n, k): (f,), the largest over targets.

    For a 0/1 target the chi square statistic of Yang & Pedersen 1997, n (AD - BC)^2 / ((A+B)(C+D)(A+C)(B+D)); it is n
    times the squared correlation, which serves for values too.
    """
    from scipy import sparse

    ones = np.ones(len(counts.data))  # beside the same indices: a product of mixed precision would copy all of them
    present = sparse.csr_array((ones, counts.indices, counts.indptr), shape=counts.shape).T
    y = np.asarray(y, np.float64).reshape(len(y), -1)
    centred = (y - y.mean(axis=0)) / np.maximum(y.std(axis=0), 1e-12)
    share = np.bincount(counts.indices, minlength=counts.shape[1]) / len(y)
    best = np.zeros(counts.shape[1])
    for start in range(0, y.shape[1], TARGETS):
        together = np.asarray(present @ centred[:, start:start + TARGETS]) ** 2
        best = np.maximum(best, together.max(axis=1, initial=0.0))
    return best / np.maximum(len(y) * share * (1 - share), 1e-12)
