"""The population stability index of a number."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _shares
from rightfit.delivery.monitor.drift._spec import DriftTest


def run(reference: Any, window: Any, rng: Any) -> tuple[None, float]:
    """No p, and the index over the tenths of the reference (fewer where it has ties), on all rows."""
    edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10))
    bins = [np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (reference, window)]
    return None, _shares.psi(np.stack(bins))


SPEC = DriftTest(name="psi", on="number", figure_only=True, run=run, most=inf, unit="population stability index",
                 source="Siddiqi, Credit Risk Scorecards, 2006; it has no size: Yurdakul & Naranjo, J. Risk Model "
                        "Validation 14, 2020")
