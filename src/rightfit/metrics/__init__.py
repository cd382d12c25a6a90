"""Chapter 3, what "good" means: metrics, decision thresholds, intervals, paired comparisons."""

from rightfit.metrics._base import Metric
from rightfit.metrics.base import find, labels, names, score, utility

__all__ = ["Metric", "find", "labels", "names", "score", "utility"]
