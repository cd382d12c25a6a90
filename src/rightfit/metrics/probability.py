"""Metrics on probabilities and rankings: ROC AUC, average precision, log loss, Brier, calibration error, top-k."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rightfit.metrics._base import LABELS, Array, Metric, from_ranking, from_rows, ratio, steps
from rightfit.records import Task

_BINS = 15


def _ready_auc(is_: Array, score: Array) -> Callable[[Array], Array]:
    order, ends = steps(score)
    positive = is_[order].astype(float)

    def value(w: Array) -> Array:
        drawn = w[:, order]
        right = np.cumsum(drawn * positive, axis=1)[:, ends]
        wrong = np.cumsum(drawn, axis=1)[:, ends] - right
        widths = np.diff(wrong, axis=1, prepend=0.0)
        heights = right - np.diff(right, axis=1, prepend=0.0) / 2
        return ratio((widths * heights).sum(axis=1), right[:, -1] * wrong[:, -1])
    return value


def _ready_precision(is_: Array, score: Array) -> Callable[[Array], Array]:
    order, ends = steps(score)
    positive = is_[order].astype(float)

    def value(w: Array) -> Array:
        drawn = w[:, order]
        right = np.cumsum(drawn * positive, axis=1)[:, ends]
        seen = np.cumsum(drawn, axis=1)[:, ends]
        gains = np.diff(right, axis=1, prepend=0.0)
        precise = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        return ratio((gains * precise).sum(axis=1), right[:, -1])
    return value


def _of_truth(y: Array, pred: Array) -> Array:
    return np.asarray(pred[np.arange(len(y)), y], float)


def log_loss_rows(y: Array, pred: Array, task: Task) -> Array:
    """-ln of the probability of the truth (n,), or (n, k) for multilabel, clipped at 2.2e-16 as scikit-learn does."""
    eps = float(np.finfo(float).eps)
    truth = np.where(y > 0, pred, 1 - pred) if task.problem == "multilabel" else _of_truth(y, pred)
    return np.asarray(-np.log(np.clip(truth, eps, 1 - eps)))


def brier_rows(y: Array, pred: Array, task: Task) -> Array:
    """Squared distance of the probabilities from the truth (n,): binary and multilabel 0..1, multiclass 0..2."""
    if task.problem == "multilabel":
        return np.asarray(((pred - y) ** 2).mean(axis=1))
    if pred.shape[1] == 2:
        return np.asarray((pred[:, 1] - y) ** 2)
    return np.asarray((pred**2).sum(axis=1) - 2 * _of_truth(y, pred) + 1)


def _ece_rows(y: Array, pred: Array, task: Task) -> Array:
    if task.problem == "multilabel":
        sure, right = pred.ravel(), y.ravel()
    elif pred.shape[1] == 2:
        sure, right = pred[:, 1], y
    else:
        sure, right = pred.max(axis=1), pred.argmax(axis=1) == y
    box = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = np.zeros((len(sure), _BINS))
    gaps[np.arange(len(sure)), box] = sure - right
    return np.asarray(gaps.reshape(len(y), -1, _BINS).mean(axis=1))


def _top(k: int) -> Callable[[Array, Array, Task], Array]:
    def rows(y: Array, pred: Array, task: Task) -> Array:
        truth = _of_truth(y, pred)[:, None]
        earlier = np.arange(pred.shape[1]) < y[:, None]
        return np.asarray(((pred > truth) | ((pred == truth) & earlier)).sum(axis=1) < k)
    return rows


SPEC: tuple[Metric, ...] = (
    Metric(name="roc_auc", problems=LABELS, needs="proba", low=0.0, high=1.0, pooled=False, aliases=("auc", "auroc"),
           doc="Chance that a row of the class scores above one of the rest; several classes: one against rest, mean.",
           **from_ranking(_ready_auc)),
    Metric(name="average_precision", problems=LABELS, needs="proba", low=0.0, high=1.0,
           aliases=("pr_auc", "auprc", "ap", "map"),
           doc="Area under the precision-recall steps; several classes: one against rest, mean.",
           **from_ranking(_ready_precision)),
    Metric(name="log_loss", problems=LABELS, needs="proba", greater_is_better=False, low=0.0,
           aliases=("logloss", "cross_entropy", "neg_log_loss"),
           doc="Mean -ln(probability given to the truth); multilabel: mean over labels.", **from_rows(log_loss_rows)),
    Metric(name="brier", problems=LABELS, needs="proba", greater_is_better=False, low=0.0, high=2.0,
           aliases=("brier_score", "brier_score_loss"),
           doc="Mean squared distance of the probabilities from the truth (binary 0..1, several classes 0..2).",
           **from_rows(brier_rows)),
    Metric(name="ece", problems=LABELS, needs="proba", greater_is_better=False, low=0.0, high=1.0,
           aliases=("calibration_error",),
           doc=f"Expected calibration error, {_BINS} bins of equal width (Guo 2017); binary: of the positive class.",
           **from_rows(_ece_rows, lambda means, task: np.abs(means).sum(axis=-1))),
    *(Metric(name=f"top_{k}", problems=("multiclass",), needs="proba", low=0.0, high=1.0,
             aliases=(f"top{k}", f"top_{k}_accuracy"), doc=f"Share of rows whose class is among the {k} most probable.",
             **from_rows(_top(k))) for k in (2, 3, 5, 10)),
)
