"""Probability calibration as JSON values: none, platt, isotonic, temperature; learned on out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.metrics._base import Array, Metric
from rightfit.metrics.probability import brier_rows, log_loss_rows
from rightfit.records import Task

NONE: Mapping[str, Any] = {"kind": "none"}
_TINY = 1e-12
_ENOUGH_FOR_ISOTONIC = 1000
_ENOUGH_TO_CHOOSE = 20_000


def calibrator(calibration: Mapping[str, Any]) -> Callable[[Array], Array]:
    """The function raw (n, k) -> calibrated (n, k) float64; made once, it costs microseconds on one row.

    Every row is computed alone, so that one row and a batch agree. Raises UsageError for an unknown kind.

    >>> calibrator({"kind": "temperature", "t": 2.0})(np.array([[0.9, 0.1]])).round(2)
    array([[0.75, 0.25]])
    """
    kind = calibration.get("kind", "none")
    if kind == "none":
        return lambda pred: np.asarray(pred, float)
    if kind == "temperature":
        return _temperature(float(calibration["t"]))
    if kind not in ("platt", "isotonic"):
        raise UsageError(f"calibration must be none, platt, isotonic or temperature; got kind={kind!r}.")
    maps = [_platt(m) if kind == "platt" else _isotonic(m) for m in calibration["maps"]]
    if calibration["form"] == "binary":
        return lambda pred: _pair(maps[0](np.ascontiguousarray(np.asarray(pred, float)[:, 1])))
    spread = calibration["form"] == "multilabel"

    def each(pred: Array) -> Array:
        pred = np.asarray(pred, float)
        mapped = np.stack([one(np.ascontiguousarray(pred[:, j])) for j, one in enumerate(maps)], axis=1)
        return mapped if spread else mapped / mapped.sum(axis=1, keepdims=True)
    return each


def apply_calibration(pred: Array, calibration: Mapping[str, Any]) -> Array:
    """Raw probabilities (n, k) to calibrated ones (n, k); an empty mapping changes nothing. See `calibrator`."""
    return calibrator(calibration)(np.asarray(pred))


def _pair(p: Array) -> Array:
    return np.stack([1 - p, p], axis=1)


def _logit(p: Array) -> Array:
    p = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(np.log(p) - np.log1p(-p))


def _sigmoid(z: Array) -> Array:
    # exp of what is never positive cannot overflow
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def _temperature(t: float) -> Callable[[Array], Array]:
    def apply(pred: Array) -> Array:
        z = np.log(np.maximum(np.asarray(pred, float), _TINY)) / t
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
    return apply


def _platt(given: Mapping[str, float]) -> Callable[[Array], Array]:
    a, b = float(given["a"]), float(given["b"])
    return lambda p: _sigmoid(a * _logit(p) + b)


def _isotonic(given: Mapping[str, Any]) -> Callable[[Array], Array]:
    x, y = np.asarray(given["x"], float), np.asarray(given["y"], float)
    return lambda p: np.interp(p, x, y)


def _newton(z: Array, target: Array, offset: bool) -> tuple[float, float]:
    """a, b that minimise the log loss of sigmoid(a z + b); b stays 0 without offset."""
    beta = np.array([1.0, 0.0])
    design = np.stack([z, np.ones_like(z) if offset else np.zeros_like(z)], axis=1)
    ridge = np.diag([1e-6, 1e-6])

    def loss(b: Array) -> float:
        s = design @ b
        return float(np.logaddexp(0, s).sum() - target @ s)

    now = loss(beta)
    for _ in range(50):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (p - target)
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + ridge, gradient)
        scale = 1.0
        while scale > 1e-6 and loss(beta - scale * step) > now:
            scale /= 2
        beta = beta - scale * step
        before, now = now, loss(beta)
        if before - now < 1e-9 * max(1.0, abs(before)):
            break
    return float(max(beta[0], 1e-3)), float(beta[1])


def _fit_platt(p: Array, is_: Array) -> dict[str, float]:
    positives, n = float(is_.sum()), len(is_)
    # Platt's targets: a class never seen to fail is not promised with certainty
    target = np.where(is_, (positives + 1) / (positives + 2), 1 / (n - positives + 2))
    a, b = _newton(_logit(p), target, offset=True)
    return {"a": a, "b": b}


def _fit_isotonic(p: Array, is_: Array) -> dict[str, list[float]]:
    from sklearn.isotonic import IsotonicRegression
    n = len(p)
    fitted = IsotonicRegression(y_min=1 / (n + 2), y_max=1 - 1 / (n + 2), out_of_bounds="clip").fit(p, is_)
    return {"x": fitted.X_thresholds_.tolist(), "y": fitted.y_thresholds_.tolist()}


def _fit_temperature(pred: Array, y: Array) -> dict[str, Any]:
    logs = np.log(np.maximum(pred, _TINY))
    truth = logs[np.arange(len(y)), y].mean()

    def loss(log_t: float) -> float:
        z = logs / np.exp(log_t)
        top = z.max(axis=1)
        return float((top + np.log(np.exp(z - top[:, None]).sum(axis=1))).mean() - truth / np.exp(log_t))

    from scipy.optimize import minimize_scalar
    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-4})
    return {"kind": "temperature", "t": float(np.exp(best.x))}


def fit_calibration(kind: str, y: Array, pred: Array, task: Task) -> dict[str, Any]:
    """The calibration of one kind, learned from raw out-of-fold probabilities pred (n, k) and truth y.

    platt: sigmoid(a logit(p) + b) per class (Platt 1999); isotonic: monotone steps per class (Zadrozny & Elkan 2002);
    both are normalised over classes when several exclude each other. temperature: softmax(ln p / t) (Guo 2017).
    """
    pred = np.asarray(pred, float)
    if kind == "none":
        return dict(NONE)
    if kind == "temperature":
        return _fit_temperature(pred, y)
    one = _fit_platt if kind == "platt" else _fit_isotonic
    if task.problem == "binary":
        return {"kind": kind, "form": "binary", "maps": [one(pred[:, 1], y == 1)]}
    columns = range(pred.shape[1])
    if task.problem == "multilabel":
        return {"kind": kind, "form": "multilabel", "maps": [one(pred[:, j], y[:, j] > 0) for j in columns]}
    return {"kind": kind, "form": "multiclass", "maps": [one(pred[:, j], y == j) for j in columns]}


def parts(y: Array, n: int = 5) -> list[Array]:
    """n disjoint sets of row positions with the classes spread evenly; fewer for few rows; the same every time."""
    rng = np.random.default_rng(len(y))
    shuffled = rng.permutation(len(y))
    order = shuffled[np.argsort(y[shuffled], kind="stable")] if y.ndim == 1 else shuffled
    return [order[i::n] for i in range(min(n, len(y)))]


def choose_calibration(y: Array, pred: Array, task: Task, metric: Metric) -> dict[str, Any]:
    """The kind with the lowest cross-validated loss, if it beats no calibration by one standard error, else none.

    The loss is the Brier score for the metric brier, the log loss otherwise. y (n,) or (n, k), pred raw (n, k).
    """
    kinds = ["platt"] if task.problem in ("binary", "multilabel") else ["temperature"]
    if len(y) >= _ENOUGH_FOR_ISOTONIC * (1 if task.problem == "binary" else pred.shape[1]):
        kinds = [*kinds, "isotonic"]
    if len(y) < 30 or not np.isfinite(pred).all():
        return dict(NONE)
    everything = y, pred
    if len(y) > _ENOUGH_TO_CHOOSE:
        some = parts(y, -(-len(y) // _ENOUGH_TO_CHOOSE))[0]
        y, pred = y[some], pred[some]
    held = parts(y)
    rows = brier_rows if metric.name == "brier" else log_loss_rows

    def losses(kind: str) -> Array:
        out = np.empty(len(y))
        for part in held:
            rest = np.setdiff1d(np.arange(len(y)), part)
            calibrated = apply_calibration(pred[part], fit_calibration(kind, y[rest], pred[rest], task))
            figures = np.asarray(rows(y[part], calibrated, task))
            out[part] = figures.mean(axis=1) if figures.ndim == 2 else figures
        return out

    plain = losses("none")
    gains = {kind: plain - losses(kind) for kind in kinds}
    best = max(gains, key=lambda kind: float(gains[kind].mean()))
    gain = gains[best]
    if gain.mean() <= gain.std() / np.sqrt(len(gain)):
        return dict(NONE)
    return fit_calibration(best, *everything, task)


