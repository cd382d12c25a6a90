"""The metric a task is judged by when the user names none, and whether a named one fits the problem."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from rightfit.errors import UnknownName, UsageError

LABELS = frozenset((
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "f1_macro", "f1_weighted", "roc_auc",
    "average_precision", "log_loss", "brier", "mcc", "kappa", "top_k", "cost"))
VALUES = frozenset(("rmse", "mae", "medae", "r2", "mape", "smape", "rmsle", "pinball"))
ALIASES = {"pr_auc": "average_precision", "auc": "roc_auc", "logloss": "log_loss"}
MINORITY = 0.10
_PATTERNS = re.compile(r"(f_?\d*\.?\d+|f_beta(:[\d.]+)?|top_?\d+|top_k(:\d+)?|pinball([:_]?[\d.]+)?)"
                       r"(_macro|_weighted|_micro|_samples)?$")


def check(name: str, classifies: bool) -> str:
    """The canonical name of a metric. Raises UnknownName, and UsageError when it does not fit the problem.

    >>> check("pr_auc", True)
    'average_precision'
    """
    from rightfit.registry import plugins

    if ":" in name and re.match(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*$", name) and not _PATTERNS.match(name):
        return name
    name = ALIASES.get(name, name)
    base = re.sub(r"_(macro|weighted|micro|samples)$", "", name)
    extra = set(plugins("rightfit.metrics"))
    if not ({name, base} & (LABELS | VALUES | extra) or _PATTERNS.match(name)):
        raise UnknownName("metric", name, LABELS | VALUES | extra)
    for_values = base in VALUES or base.startswith("pinball")
    if ((name in LABELS or base in LABELS) and not classifies) or (for_values and classifies):
        kind = "classification" if classifies else "regression"
        good = ", ".join(sorted(LABELS if classifies else VALUES))
        raise UsageError(f"metric must fit the problem; got metric={name!r} for {kind}, choose one of {good}.")
    return name


def of_classes(problem: str, counts: Any) -> tuple[str, str]:
    """The default metric (name, reason) from the number of rows of each class.

    >>> of_classes("binary", [950, 50])[0]
    'average_precision'
    """
    counts = np.asarray(counts, dtype=float)
    shares = counts / counts.sum()
    least = float(shares.min())
    if problem == "multilabel":
        return "f1_macro", "several labels a row: macro F1 gives every label the same say (Sokolova and Lapalme 2009)"
    if problem == "binary":
        if least < MINORITY:
            return "average_precision", (f"the rarer class holds {least:.1%} of the rows, below {MINORITY:.0%}: the "
                                         "precision-recall "
                                         "curve shows what ROC hides there (Saito and Rehmsmeier 2015)")
        return "roc_auc", (f"the rarer class holds {least:.1%} of the rows: ROC AUC ranks without a threshold (Fawcett "
                           "2006)")
    ratio = float(shares.max() / least) if least else float("inf")
    if ratio > 3:
        return "f1_macro", (f"the largest class has {ratio:.1f} times the rows of the smallest: macro F1 gives every "
                            "class the "
                            "same say (Sokolova and Lapalme 2009)")
    return "accuracy", (f"the classes are nearly even (largest to smallest {ratio:.1f} to 1): accuracy says what users "
                        "feel")


def of_values(y: Any) -> tuple[str, str]:
    """The default metric (name, reason) from the target values (n,).

    Tails are measured by quantiles: 99.5 % over the median, and the 0.5 % to 99.5 % range over the quartile range
    (after Hogg 1974; 3.8 for a normal distribution).
    """
    y = np.asarray(y, dtype=float)
    low, q1, mid, q3, high = np.quantile(y, [0.005, 0.25, 0.5, 0.75, 0.995])
    with np.errstate(over="ignore"):  # next to the smallest numbers there are, everything is endlessly wide
        tail = (high - low) / (q3 - q1) if q3 > q1 else float("inf")
        above = high / mid if mid > 0 else 0.0
    if y.min() >= 0 and above > 20:
        return "rmsle", (f"the target is never negative and its 99.5 % quantile is {above:.0f} times the median: "
                         "errors count "
                         "by ratio, on the log scale (Hyndman and Koehler 2006)")
    if tail > 15:
        return "mae", (f"the tails are {tail:.0f} quartile ranges wide (normal: 3.8): absolute error is not ruled by "
                       "few rows")
    return "rmse", (f"the tails are {tail:.1f} quartile ranges wide (normal: 3.8): squared error aims at the mean "
                    "(Gneiting 2011)")
