"""The maximum mean discrepancy of vectors, in random features of a Gaussian kernel, with a permutation null."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift import _permutation
from rightfit.delivery.monitor.drift._spec import DriftTest

ROWS, NEAR, WAVES, DRAWS = 5000, 500, 128, 1999


def features(pooled: Any, rng: Any) -> Any:
    """(N, 256) float32 whose inner products are the kernel; bandwidth: the median distance of 500 rows."""
    from scipy.spatial.distance import pdist

    near = pdist(_permutation.thin(pooled, NEAR, rng).astype(float))
    near = near[near > 0]
    width = float(np.median(near)) if len(near) else 1.0
    angle = (pooled @ rng.normal(size=(pooled.shape[1], WAVES)).astype(np.float32)) / np.float32(width)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / np.float32(np.sqrt(WAVES))


def run(reference: Any, window: Any, rng: Any) -> tuple[float, float]:
    """p and MMD / sqrt(2) without its bias; at most 5,000 rows a side, 128 waves, 1,999 permutations.

    Columns count by their scale, as embeddings' do. Linear in rows: about 1 s for 20,000 rows of 384 columns.
    """
    one, other = (_permutation.thin(np.asarray(side, np.float32), ROWS, rng) for side in (reference, window))
    n, m = len(one), len(other)
    pooled = np.concatenate([one, other])
    if not (pooled != pooled[0]).any():
        return 1.0, 0.0
    lifted = features(pooled - pooled.mean(axis=0), rng)
    total = lifted.sum(axis=0)

    def means(labels: Any) -> tuple[Any, Any]:
        inside = labels.astype(np.float32) @ lifted
        return inside / n, (total - inside) / m

    def distance(labels: Any) -> Any:
        left, right = means(labels)
        return ((left - right)**2).sum(axis=1)

    left, right = (side[0].astype(float) for side in means((np.arange(n + m) < n)[None]))
    found = float(distance((np.arange(n + m) < n)[None])[0])
    within = [(k * (mean @ mean) - 1) / (k - 1) if k > 1 else mean @ mean for k, mean in ((n, left), (m, right))]
    effect = np.sqrt(np.clip(sum(within) - 2 * left @ right, 0, 2) / 2)
    return _permutation.p_value(found, distance, (n, m), rng, DRAWS), float(effect)


SPEC = DriftTest(name="mmd", on="vectors", figure_only=False, run=run, unit="MMD / sqrt(2) of a Gaussian kernel",
                 source="Gretton et al., JMLR 13, 2012; features: Rahimi & Recht, NIPS 2007")
