"""The classifier two-sample test: whether trees can tell rows of the window from rows of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _permutation
from rightfit.delivery.monitor.drift._spec import DriftTest

ROWS, FEWEST, COLUMNS, TREES, LEAVES = 4000, 20, 64, 20, 4


def run(reference: Any, window: Any, rng: Any) -> tuple[float, float]:
    """p and 2 AUC - 1 out of fold, not below 0; at most 4,000 rows a side, 64 principal components above 64 columns.

    Two folds; on each, Mann-Whitney of the scores by a classifier that has not seen it, which is exact in size; the
    smaller p counts twice, as folds depend on each other. Below 20 rows on a side: p = 1, effect 0.
    """
    from scipy import stats
    from sklearn.ensemble import HistGradientBoostingClassifier

    sides = [_permutation.thin(np.asarray(side, np.float32), ROWS, rng) for side in (reference, window)]
    if min(map(len, sides)) < FEWEST:
        return 1.0, 0.0
    X, y = _fewer(np.concatenate(sides), rng), np.repeat([0, 1], [len(side) for side in sides])
    fold = np.concatenate([rng.permutation(len(side)) % 2 for side in sides])
    found, areas = [], []
    for k in (0, 1):
        model = HistGradientBoostingClassifier(max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False,
                                               random_state=0)
        said = model.fit(X[fold != k], y[fold != k]).decision_function(X[fold == k])
        new, old = said[y[fold == k] == 1], said[y[fold == k] == 0]
        test = stats.mannwhitneyu(new, old, alternative="greater", method="asymptotic")
        found.append(float(test.pvalue) if np.ptp(said) else 1.0)
        areas.append(float(test.statistic) / (len(new) * len(old)))
    return min(1.0, 2 * min(found)), float(np.clip(2 * np.mean(areas) - 1, 0, 1))


def _fewer(X: Any, rng: Any) -> Any:
    """The rows' first 64 principal components, found without knowing the side; as they are up to 64 columns."""
    from sklearn.decomposition import PCA

    if min(X.shape) <= COLUMNS:
        return X
    return PCA(COLUMNS, random_state=int(rng.integers(2**31))).fit_transform(X)


SPEC = DriftTest(name="classifier", on="vectors", figure_only=False, run=run, unit="2 AUC - 1",
                 source="Lopez-Paz & Oquab, ICLR 2017; AUC: Mann & Whitney 1947; folds: Bonferroni")
