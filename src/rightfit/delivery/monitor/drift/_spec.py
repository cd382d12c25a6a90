"""The record of a drift test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rightfit.records import frozen

Run = Callable[[Any, Any, Any], tuple[float | None, float]]


@frozen
class DriftTest:
    """A test of whether a window comes from the distribution of the reference; `rightfit.testing.check_drift_test`.

    run(reference, window, rng) -> (p, effect). Each side, of at least 1 row, is by `on`:
    number: (n,) float without NaN; category: (n,) whole codes or strings, None for missing, values may be unseen on
    one side; vectors: (n, d) float32 without NaN.
    p in [0, 1], or None where `figure_only`: a figure that is shown and never alarms. effect in [0, most], 0 for no
    drift; `unit` says what it is. All that is random comes from rng, and nothing given is changed.
    """

    name: str
    on: Literal["number", "category", "vectors"]
    figure_only: bool
    source: str
    run: Run
    unit: str = ""
    most: float = 1.0
