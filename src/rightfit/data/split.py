"""Leak-safe splits: folds that keep classes even, groups whole, copies together and time in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.errors import DataError, UsageError
from rightfit.records import Dataset, Task

Rows = np.ndarray[Any, np.dtype[np.int64]]
MANY_COPIES = 0.01


def folds(data: Dataset, task: Task, *, n_folds: int, repeats: int = 1, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Pairs (train, valid) of row positions, repeats x n_folds of them, the same for the same seed.

    Each repeat's valid parts partition the rows; classes, label sets and target quantiles are spread evenly.
    `data.groups` never cross. With `data.time` the folds are n_folds expanding windows (repeats is then 1): every
    training row is strictly earlier than every validation row, and the first block is never validated. There are
    fewer folds where groups, times or rows are fewer. Raises UsageError for n_folds below 2, DataError when fewer
    than two folds can be made.
    """
    if n_folds < 2 or repeats < 1:
        raise UsageError(f"n_folds must be 2 or more and repeats 1 or more; got n_folds={n_folds}, repeats={repeats}.")
    if len(data) < 2:
        raise DataError(f"a split needs two rows or more; got rows={len(data)}, add rows.")
    if data.time is not None:
        return _windows(data, n_folds)
    found: list[tuple[Rows, Rows]] = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        fold = _deal(data, task, n_folds, rng)
        found += [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(int(fold.max()) + 1)]
    return found


def default_folds(rows: int, task: Task) -> tuple[int, int]:
    """(n_folds, repeats) by size: repeated five-fold cross-validation for small tables, whose single runs scatter
    most (5x5: Bouckaert and Frank 2004; Krstajic et al. 2014), three folds from 100,000 rows on.

    >>> from rightfit.records import Task
    >>> default_folds(300, Task(modality="tabular", problem="binary", target=("y",), metric="roc_auc"))
    (5, 5)
    """
    if rows < 20:
        return max(2, min(5, rows // 2)), 1
    repeats = 5 if rows < 500 else 3 if rows < 2000 else 1
    return 3 if rows >= 100_000 else 5, 1 if task.time is not None else repeats


def duplicate_groups(data: Dataset) -> Rows | None:
    """Groups (n,) that keep exact copies of a row (equal in all features) together, or None when at most 1 % of the
    rows are copies.

    Copies that stand in different groups of `data.groups` join those groups.
    """
    from rightfit.data.checks._columns import row_hash
    from rightfit.data.identity import identities

    _, copies = np.unique(row_hash(identities(data.X, data.schema)), return_inverse=True)
    different = copies.max() + 1 if len(copies) else 0
    if len(data) - different <= MANY_COPIES * len(data):
        return None
    if different == 1:
        raise DataError(f"rows must differ in what is learned from; got {len(data)} rows that are all alike, look at "
                        "the feature columns of the source.")
    if data.groups is None:
        return np.asarray(copies, dtype=np.int64)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, named = np.unique(data.groups, return_inverse=True)
    size = int(copies.max()) + 1 + int(named.max()) + 1
    links = coo_matrix((np.ones(len(data)), (copies, named + copies.max() + 1)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][copies], dtype=np.int64)


def _keys(data: Dataset, task: Task) -> Rows:
    """One whole number per row such that rows in key order are alike in their target; rows of equal key are
    interchangeable."""
    y = data.y
    if y is None:
        return np.zeros(len(data), dtype=np.int64)
    if np.ndim(y) == 2 and task.classifies:
        # Sorting by the rarest label first spreads it best (systematic sampling; after Sechidis et al. 2011).
        rarest = np.argsort(y.sum(axis=0), kind="stable")
        return np.asarray(np.unique(y[:, rarest], axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)
    if task.problem == "ranking":
        y = y[:, 0]
    elif np.ndim(y) == 2:
        scale = y.std(axis=0)
        y = (y / np.where(scale > 0, scale, 1.0)).mean(axis=1)
    return np.asarray(np.unique(y, return_inverse=True)[1], dtype=np.int64)


def _deal(data: Dataset, task: Task, n_folds: int, rng: np.random.Generator) -> Rows:
    """The fold of each row: rows in key order, ties shuffled, are dealt in hands of n_folds; each hand in random
    order for numbers, one after the other for classes so that a class is spread as evenly as it can be.
    """
    keys = _keys(data, task)
    if data.groups is not None:
        return _deal_groups(data.groups, keys, n_folds, rng)
    n_folds = min(n_folds, len(data))
    order = np.lexsort((rng.random(len(data)), keys))
    fold = np.empty(len(data), dtype=np.int64)
    fold[order] = _hands(len(data), n_folds, rng, data.y is not None and not task.classifies)
    return fold


def _hands(cards: int, n_folds: int, rng: np.random.Generator, mixed: bool) -> Rows:
    if not mixed:
        return rng.permutation(n_folds)[np.arange(cards) % n_folds]
    hands = rng.permuted(np.tile(np.arange(n_folds), (-(-cards // n_folds), 1)), axis=1)
    return np.asarray(hands.ravel()[:cards], dtype=np.int64)


def _deal_groups(groups: Any, keys: Rows, n_folds: int, rng: np.random.Generator) -> Rows:
    """Groups of over 1 % of the rows go, largest first, to the fold that is furthest behind; the rest is dealt by
    middle key and size."""
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_folds = min(n_folds, len(sizes))
    if n_folds < 2:
        raise DataError(f"a split by groups needs two groups or more; got groups={len(sizes)}, leave --group out or "
                        "name another column.")
    order = np.lexsort((keys, of_row))
    starts = np.cumsum(sizes) - sizes
    middle = keys[order][starts + sizes // 2]
    fold_of = np.full(len(sizes), -1, dtype=np.int64)
    large = sizes > max(0.01 * len(keys), 1)
    small = np.flatnonzero(~large)
    small = small[np.lexsort((rng.random(len(small)), -sizes[small], middle[small]))]
    load = np.zeros(n_folds)
    strata, stratum = np.unique(middle, return_inverse=True)
    by_key = np.zeros((n_folds, min(len(strata), 1000)))
    for group in sorted(np.flatnonzero(large), key=lambda g: (-sizes[g], g)):
        column = stratum[group] % by_key.shape[1]
        best = int(np.lexsort((rng.random(n_folds), by_key[:, column], np.round(load / sizes[group]))).flat[0])
        fold_of[group] = best
        load[best] += sizes[group]
        by_key[best, column] += sizes[group]
    # Starting with the emptiest fold fills every one, however few groups there are.
    emptiest = np.lexsort((rng.random(n_folds), load))
    fold_of[small] = emptiest[np.arange(len(small)) % n_folds]
    return np.asarray(fold_of[of_row], dtype=np.int64)


def _windows(data: Dataset, n_folds: int) -> list[tuple[Rows, Rows]]:
    """Expanding windows (Bergmeir and Benitez 2012) over blocks of whole time points; training rows of a validated
    group are left out."""
    times = np.asarray(data.time)
    moments, of_row, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(moments) < 2:
        raise DataError(f"a split by time needs two different times; got times={len(moments)}, leave --time out or "
                        "name another column.")
    n_folds = min(n_folds, len(moments) - 1)
    middle = (np.cumsum(counts) - counts / 2) / len(times)
    block_of = np.minimum((middle * (n_folds + 1)).astype(np.int64), n_folds)
    _, block_of = np.unique(block_of, return_inverse=True)
    if block_of.max() < 1:
        block_of[-1] = 1
    block = block_of[of_row]
    found = []
    for b in range(1, int(block_of.max()) + 1):
        train, valid = np.flatnonzero(block < b), np.flatnonzero(block == b)
        if data.groups is not None:
            train = train[~np.isin(data.groups[train], data.groups[valid])]
        if len(train) and len(valid):
            found.append((train, valid))
    if not found:
        raise DataError(f"a split by time and group needs groups that end before others begin; got rows={len(times)}, "
                        "leave one out.")
    return found
