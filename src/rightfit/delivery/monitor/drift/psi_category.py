"""The population stability index of categories."""

from __future__ import annotations

from math import inf
from typing import Any

from rightfit.delivery.monitor.drift import _shares
from rightfit.delivery.monitor.drift._spec import DriftTest


def run(reference: Any, window: Any, rng: Any) -> tuple[None, float]:
    """No p, and the index over all values of either side, on all rows."""
    return None, _shares.psi(_shares.counts(reference, window))


SPEC = DriftTest(name="psi_category", on="category", figure_only=True, run=run, most=inf,
                 unit="population stability index", source="Siddiqi, Credit Risk Scorecards, 2006")
