"""What one look at a window of data found; see issue 6, Monitor."""

from __future__ import annotations

from rightfit.records import Finding, frozen


@frozen
class FeatureDrift:
    """One test of one feature: p in [0, 1] or None for a figure only; importance in the package's own units."""

    name: str
    test: str
    p: float | None
    effect: float
    importance: float
    alarm: bool


@frozen
class Performance:
    """The metric on a window with its interval, and what must hold for it to be true."""

    metric: str
    value: float
    low: float
    high: float
    assumption: str = ""


@frozen
class Monitoring:
    """One window against the reference; `enough` is False below the minimum window, where nothing alarms."""

    alarm: bool
    enough: bool
    features: tuple[FeatureDrift, ...] = ()
    estimated: Performance | None = None
    realised: Performance | None = None
    findings: tuple[Finding, ...] = ()
