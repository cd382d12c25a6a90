"""The energy distance of a number, with a permutation null."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _permutation
from rightfit.delivery.monitor.drift._spec import DriftTest

ROWS, DRAWS = 1000, 9999


def run(reference: Any, window: Any, rng: Any) -> tuple[float, float]:
    """p and the root of the coefficient of inhomogeneity; at most 1,000 rows a side, 9,999 permutations."""
    one, other = (_permutation.thin(np.asarray(side, float), ROWS, rng) for side in (reference, window))
    width, observed, functions = _permutation.steps(one, other)

    def distance(labels: Any) -> Any:
        left, right = functions(labels)
        return (left - right)**2 @ width

    left, right = functions(observed)
    across = float((left * (1 - right) + right * (1 - left))[0] @ width)
    if not across:
        return 1.0, 0.0
    found = float(distance(observed)[0])
    p = _permutation.p_value(found, distance, (len(one), len(other)), rng, DRAWS)
    return p, float(np.sqrt(min(found / across, 1.0)))


SPEC = DriftTest(name="energy", on="number", figure_only=False, run=run,
                 unit="root of the coefficient of inhomogeneity",
                 source="Szekely & Rizzo, J. Statistical Planning and Inference 143, 2013")
