"""Columns of a window against a reference: KS or chi-square, Benjamini-Hochberg, an effect floor, a minimum window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.delivery.monitor.records import FeatureDrift, Monitoring

MINIMUM, FLOOR, LEVEL = 100, 0.05, 0.05


def _test(reference: Any, window: Any, numeric: bool) -> tuple[str, float, float]:
    """The name of the test, p, and the effect in [0, 1]: KS distance, or total variation of the frequencies."""
    import pandas as pd
    from scipy import stats

    one, other = reference.dropna(), window.dropna()
    if one.empty or other.empty:
        return "none", 1.0, 0.0
    if numeric:
        found = stats.ks_2samp(one.to_numpy(float), other.to_numpy(float), method="asymp")
        return "ks", float(found.pvalue), float(found.statistic)
    counts = pd.concat([one.value_counts(), other.value_counts()], axis=1).fillna(0).to_numpy(float).T
    if counts.shape[1] < 2:
        return "chi_square", 1.0, 0.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    return "chi_square", float(stats.chi2_contingency(counts).pvalue), float(np.abs(shares[0] - shares[1]).sum() / 2)


def compare(reference: Any, window: Any, importance: Mapping[str, float]) -> Monitoring:
    """Two coerced frames with the same columns; numeric ones float64. No persistence over windows.

    A feature alarms when its adjusted p is at most 0.05 and its effect at least 0.05; below 100 rows nothing does.
    """
    from scipy import stats

    enough = min(len(reference), len(window)) >= MINIMUM
    names = [str(name) for name in reference.columns]
    found = [_test(reference[n], window[n], reference[n].dtype.kind == "f") for n in names] if enough else []
    adjusted = stats.false_discovery_control([p for _, p, _ in found]) if found else []
    features = tuple(FeatureDrift(name=n, test=t, p=float(p), effect=e, importance=float(importance.get(n, 0.0)),
                                  alarm=bool(p <= LEVEL and e >= FLOOR))
                     for n, (t, _, e), p in zip(names, found, adjusted, strict=False))
    return Monitoring(alarm=any(f.alarm for f in features), enough=enough, features=features)
