"""The Wasserstein distance of a number, with a permutation null."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _permutation
from rightfit.delivery.monitor.drift._spec import DriftTest

ROWS, DRAWS = 1000, 9999


def scale(reference: Any, window: Any) -> float:
    """A standard deviation that tails do not move: IQR / 1.349 of the reference, else its sd, else that of both."""
    low, high = np.quantile(reference, [0.25, 0.75])
    return float((high - low) / 1.349 or np.std(reference) or np.std(np.concatenate([reference, window])))


def run(reference: Any, window: Any, rng: Any) -> tuple[float, float]:
    """p and the distance in standard deviations of the reference; at most 1,000 rows a side, 9,999 permutations."""
    one, other = (_permutation.thin(np.asarray(side, float), ROWS, rng) for side in (reference, window))
    width, observed, functions = _permutation.steps(one, other)

    def distance(labels: Any) -> Any:
        left, right = functions(labels)
        return np.abs(left - right) @ width

    found, unit = float(distance(observed)[0]), scale(one, other)
    if not unit:
        return 1.0, 0.0
    return _permutation.p_value(found, distance, (len(one), len(other)), rng, DRAWS), found / unit


SPEC = DriftTest(name="wasserstein", on="number", figure_only=False, run=run, most=inf,
                 unit="standard deviations of the reference (IQR / 1.349)",
                 source="Ramdas, Garcia Trillos & Cuturi, Entropy 19, 2017")
