"""What the permutation tests share: a sample of bounded size, a sequential p, and distribution functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ENOUGH, FIRST, CELLS = 20, 64, 2_000_000


def thin(rows: Any, most: int, rng: Any) -> Any:
    """At most `most` rows, drawn without replacement."""
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


def p_value(observed: float, drawn: Callable[[Any], Any], sides: tuple[int, int], rng: Any, most: int) -> float:
    """The p of a statistic that is large under drift, by relabelling rows at random until 20 draws reach it.

    drawn: (draws, n + m) bool, True for reference rows -> (draws,) statistics; sides: n and m; at most `most` draws,
    so that no drift costs little and drift is told to 1 / (most + 1).
    Exact in size: Besag & Clifford, Sequential Monte Carlo p-values, Biometrika 78, 1991.
    """
    labels = np.arange(sum(sides)) < sides[0]

    def hits(size: int) -> Any:
        return drawn(rng.permuted(np.tile(labels, (size, 1)), axis=1)) >= observed * (1 - 1e-9)

    return sequential(hits, most, max(CELLS // len(labels), 1))


def sequential(hits: Callable[[int], Any], most: int, at_once: int) -> float:
    """The same of draws that are made otherwise: hits(draws) -> (draws,) bool, which reach what was observed."""
    done = reached = 0
    while done < most:
        size = min(done if done else FIRST, most - done, at_once)
        hit = hits(size)
        if reached + hit.sum() >= ENOUGH:
            return float(ENOUGH / (done + np.flatnonzero(hit)[ENOUGH - reached - 1] + 1))
        done, reached = done + size, reached + int(hit.sum())
    return float((reached + 1) / (most + 1))


def steps(reference: Any, window: Any) -> tuple[Any, Any, Callable[[Any], tuple[Any, Any]]]:
    """Pooled and sorted: the distances (N - 1,) between neighbours, the labels (1, N), and what makes of labels
    (draws, N) both sides' distribution functions (draws, N - 1)."""
    pooled = np.concatenate([reference, window]).astype(float)
    order = np.argsort(pooled, kind="stable")
    n, m = len(reference), len(window)
    place = np.arange(1, n + m)

    def functions(labels: Any) -> tuple[Any, Any]:
        below = np.cumsum(labels, axis=1, dtype=np.int32)[:, :-1]
        return below / n, (place - below) / m

    return np.diff(pooled[order]), (order < n)[None], functions
