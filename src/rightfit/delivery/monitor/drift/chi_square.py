"""Pearson's chi-square test of homogeneity, rare categories pooled."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _shares
from rightfit.delivery.monitor.drift._spec import DriftTest

EXPECTED = 10  # with 5, p below 0.001 came twice as often as it says, on rare categories of 300 rows


def pooled(table: Any) -> Any:
    """Counts (2, k) with the categories that are expected less than 10 times on one side put together, rarest first."""
    order = np.argsort(table.sum(axis=0), kind="stable")
    table = table[:, order]
    total = table.sum()
    expected = table.sum(axis=0) * table.sum(axis=1).min() / max(total, 1)
    few = int((expected < EXPECTED).sum())
    while 0 < few < table.shape[1] and expected[:few].sum() < EXPECTED:
        few += 1
    return np.column_stack([table[:, :few].sum(axis=1), table[:, few:]]) if few else table


def run(reference: Any, window: Any, rng: Any) -> tuple[float, float]:
    """p and half the sum of the differences of shares (total variation) after pooling, on all rows.

    Two categories get Yates' correction. One category left, or a side without values: p = 1, effect 0.
    """
    from scipy import stats

    table = pooled(_shares.counts(reference, window))
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0, 0.0
    shares = table / table.sum(axis=1, keepdims=True)
    return float(stats.chi2_contingency(table).pvalue), float(np.abs(shares[0] - shares[1]).sum() / 2)


SPEC = DriftTest(name="chi_square", on="category", figure_only=False, run=run, unit="total variation of the shares",
                 source="Pearson 1900; pooling: Cochran, Biometrics 10, 1954; scipy.stats.chi2_contingency")
