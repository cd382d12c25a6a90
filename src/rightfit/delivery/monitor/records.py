"""What one look at a window of data found; see issue 6, Monitor."""

from __future__ import annotations

from rightfit.records import Finding, frozen


@frozen
class FeatureDrift:
    """One test of one feature: p in [0, 1] adjusted over features and windows; importance in the metric's units.

    significant: in this window; alarm: in k of the last n windows. shift: what changed, for people. psi: the population
    stability index, a figure that never alarms; examples: rows of the window in which it shows; both where significant.
    """

    name: str
    test: str
    p: float
    effect: float
    importance: float = 0.0
    significant: bool = False
    alarm: bool = False
    shift: str = ""
    psi: float | None = None
    examples: tuple[str, ...] = ()


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
    """One window against the reference; `enough` is False below the minimum window, where nothing alarms.

    estimated: without labels; realised: on `labelled` rows; expected: on the reference. lost: which of the two is
    significantly worse than expected.
    """

    alarm: bool
    enough: bool
    rows: int = 0
    features: tuple[FeatureDrift, ...] = ()
    expected: Performance | None = None
    estimated: Performance | None = None
    realised: Performance | None = None
    labelled: int = 0
    lost: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
