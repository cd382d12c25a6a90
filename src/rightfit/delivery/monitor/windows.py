"""From many tests to one alarm: p adjusted over features and windows, persistence, and detectors for a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from rightfit.errors import DataError, Unavailable, UsageError

Detector = Literal["adwin", "page_hinkley"]
DELTA, LEAST, LAMBDA, TOLERANCE = 0.002, 30, 40.0, 0.02


def adjust(pvalues: Any) -> Any:
    """Benjamini-Hochberg: float64 of the shape given, all p together; None and NaN (no p) do not count, stay NaN.

    Features where that is at most 0.05 hold at most 5 % false alarms on average, under positive dependence too.
    Raises DataError for a p outside [0, 1]. Benjamini & Hochberg 1995; scipy.stats.false_discovery_control.

    >>> adjust([0.01, 0.04, None, 0.5]).round(3).tolist()
    [0.03, 0.06, nan, 0.5]
    """
    from scipy import stats

    p = np.asarray(pvalues, float)
    known = ~np.isnan(p)
    wrong = p[known & ~((p >= 0) & (p <= 1))]
    if len(wrong):
        raise DataError(f"p must lie in [0, 1]; got p={wrong[0]:g}, one of {len(wrong)}, pass p-values.")
    found = np.full(p.shape, np.nan)
    if known.any():
        found[known] = stats.false_discovery_control(p[known])
    return found


def persistent(history: Sequence[bool], k: int, n: int) -> bool:
    """Whether at least k of the last n windows alarmed; windows that have not come yet did not.

    Raises UsageError unless 1 <= k <= n.

    >>> persistent([True, False, True], k=2, n=3), persistent([True, True, False, False], k=2, n=3)
    (True, False)
    """
    if not 1 <= k <= n:
        raise UsageError(f"persistence must be k of n windows with 1 <= k <= n; got k={k}, n={n}, choose such.")
    return sum(map(bool, history[-n:])) >= k


def falls(correct: Iterable[float], detector: Detector = "adwin") -> tuple[int, ...]:
    """The places in a stream (1 right, 0 wrong, or scores in [0, 1]; oldest first) where its mean was seen to fall.

    adwin: Bifet & Gavalda 2007, delta 0.002, false alarms bounded. page_hinkley: Page 1954, tolerance 0.02, threshold
    40, a false alarm in some 200,000 values at worst. Seen at the first value after which the fall is sure, not where
    it began; then starts anew.
    Raises DataError for a value outside [0, 1], UsageError for another detector, Unavailable without `river`.

    >>> falls([], "cusum")
    Traceback (most recent call last):
    ...
    rightfit.errors.UsageError: detector must be adwin or page_hinkley; got detector='cusum', choose one of them.
    """
    makers: dict[str, Callable[[Any], Callable[[float], bool]]] = {"adwin": _adwin, "page_hinkley": _page_hinkley}
    if detector not in makers:
        raise UsageError(f"detector must be adwin or page_hinkley; got detector={detector!r}, choose one of them.")
    try:
        from river import drift
    except ImportError as error:
        raise Unavailable(f"a detector for streams needs river; got detector={detector!r} without it, run "
                          "`pip install rightfit[stream]`.") from error
    values = np.fromiter(correct, float)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise DataError(f"a stream must hold values in [0, 1]; got value={values[wrong[0]]} in row={wrong[0]}, one of "
                        f"{len(wrong)}, leave it out.")
    fell = makers[detector](drift)
    return tuple(place for place, value in enumerate(values.tolist()) if fell(value))


def _adwin(drift: Any) -> Callable[[float], bool]:
    """ADWIN sees change either way; a fall is when the mean it keeps is below the one it had."""
    watch = drift.ADWIN(delta=DELTA)

    def fell(value: float) -> bool:
        before = float(watch.estimation)
        watch.update(value)
        return bool(watch.drift_detected) and float(watch.estimation) < before

    return fell


def _page_hinkley(drift: Any) -> Callable[[float], bool]:
    # alpha 1: river's default forgets a little of the sum at each step, which after a rise looks like a fall.
    watch = drift.PageHinkley(min_instances=LEAST, delta=TOLERANCE, threshold=LAMBDA, alpha=1.0, mode="down")

    def fell(value: float) -> bool:
        watch.update(value)
        return bool(watch.drift_detected)

    return fell
