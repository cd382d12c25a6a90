"""Linear models over sparse features: the objectives, a solver that can be stopped, probabilities, the strength."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rightfit.models.tabular._parts import PROBE_ROWS, inner_split, quiet
from rightfit.models.tabular._parts import Rows as Dense
from rightfit.models.tabular._svm import platt
from rightfit.records import frozen

MOST_STEPS = 200
FOLDS = 3
FEW = 1500  # below this one inner split is noise, and three folds are cheap
LEAST = 30



@frozen
class Sparse:
    """One learning problem over sparse features.

    X: float64 csr (n, f). y: float64 (n, k): one-hot for `softmax`, one 0/1 column for `pair`, 0/1 labels for
    `sigmoid`, standardised values for `identity`. weight: float64 (n,) with mean 1. groups, time: int64 (n,) or None.
    """

    X: Any
    y: Any
    link: str
    weight: Any
    groups: Any = None
    time: Any = None
    seed: int = 0
    deadline: float = float("inf")

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def take(self, rows: Any) -> Sparse:
        """The rows at positions (m,)."""
        def pick(values: Any) -> Any:
            return None if values is None else values[rows]

        return replace(self, X=self.X[rows], y=self.y[rows], weight=self.weight[rows], groups=pick(self.groups),
                       time=pick(self.time))

    @property
    def codes(self) -> Any:
        """Class codes (n,) of `softmax` and `pair`."""
        return self.y.argmax(axis=1) if self.link == "softmax" else (self.y[:, 0] > 0.5).astype(np.int64)


Weights = tuple[Any, Any]
"""(float (f, k), float (k,)): scores are X @ weights + bias."""
Fit = Callable[[Sparse, float, Weights | None], Weights]
"""Learn at a strength, perhaps from weights near by."""


def least(rows: Sparse, C: float, start: Weights | None) -> Weights:
    """The minimum of |W|^2 / 2 + C sum of losses, by L-BFGS (Liu & Nocedal 1989); the bias is free of the penalty.

    The loss is the logistic one of the link, or half the squared error. Features are scaled by the curvature that they
    have at the start, which took 2 to 3 times fewer steps on three data sets. Stops at the deadline with what it has.
    """
    from scipy import sparse
    from scipy.optimize import minimize

    n, (f, k) = len(rows.y), (rows.X.shape[1], rows.y.shape[1])
    y, weight = rows.y.astype(np.float32), (C * rows.weight[:, None]).astype(np.float32)
    share = rows.y.mean(axis=0)
    curvature = C * (1.0 if rows.link == "identity" else max(float((share * (1 - share)).mean()), 1e-6))
    squares = np.asarray(rows.X.multiply(rows.X).sum(axis=0)).ravel()
    unit, last = 1.0 / np.sqrt(1.0 + curvature * squares)[:, None], 1.0 / np.sqrt(1.0 + curvature * n)
    X = sparse.csr_array(rows.X.astype(np.float32) @ sparse.diags_array(unit[:, 0].astype(np.float32)))
    transposed = X.T.tocsr()

    def objective(flat: Any) -> tuple[float, Any]:
        both = flat.reshape(f + 1, k)
        found, away = loss(X @ both[:-1].astype(np.float32) + (last * both[-1]).astype(np.float32), y, rows.link)
        away *= weight
        gradient, penalty = np.empty((f + 1, k)), unit ** 2 * both[:-1]
        gradient[:-1] = transposed @ away
        gradient[:-1] += penalty
        gradient[-1] = last * away.sum(axis=0)
        return float(np.vdot(weight, found)) + 0.5 * float(np.vdot(penalty, both[:-1])), gradient.ravel()

    def stop(_: Any) -> None:
        if rows.left <= 0:
            raise StopIteration

    first = np.zeros((f + 1, k)) if start is None else np.vstack([start[0] / unit, start[1][None] / last])
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", callback=stop,
                     options={"maxiter": MOST_STEPS, "maxcor": 5, "ftol": 1e-4, "gtol": 1e-4}).x.reshape(f + 1, k)
    return found[:-1] * unit, found[-1] * last


def loss(scores: Any, y: Any, link: str) -> tuple[Any, Any]:
    """Losses (n, 1) of each row and their derivative (n, k)."""
    if link == "identity":
        away = scores - y
        return 0.5 * (away ** 2).sum(axis=1, keepdims=True), away
    if link == "softmax":
        scores = scores - scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        total = shares.sum(axis=1, keepdims=True)
        return np.log(total) - (scores * y).sum(axis=1, keepdims=True), shares / total - y
    each = np.logaddexp(0, scores) - y * scores
    return each.sum(axis=1, keepdims=True), 1.0 / (1.0 + np.exp(-np.clip(scores, -80, 80))) - y


def margins(rows: Sparse, C: float, start: Weights | None) -> Weights:
    """Support vector machines with the squared hinge, one against the rest; for values, with the squared tube.

    Fan et al. 2008, LIBLINEAR. It cannot be stopped: labels and values are learned one after the other, and what is not
    reached keeps the weights that it started from; `affordable` rows keep a single fit within the deadline.
    """
    from sklearn.svm import LinearSVC, LinearSVR

    shared = {"C": C, "random_state": rows.seed % 2**31, "max_iter": 1000, "dual": "auto"}
    if rows.link in ("softmax", "pair") and len(np.unique(rows.codes)) == max(rows.y.shape[1], 2):
        with quiet():
            model = LinearSVC(**shared).fit(rows.X, rows.codes, sample_weight=rows.weight)
        if rows.y.shape[1] != 2:
            return model.coef_.T, model.intercept_
        half = 0.5 * np.array([-1.0, 1.0])
        return model.coef_.T * half, model.intercept_ * half
    empty = np.zeros((rows.X.shape[1], rows.y.shape[1])), np.zeros(rows.y.shape[1])
    W, bias = empty if start is None else (start[0].copy(), start[1].copy())
    for at, target in enumerate(rows.y.T):
        if at and rows.left <= 0 and len(rows.y) > PROBE_ROWS:
            break
        if rows.link != "identity" and target.min() == target.max():
            bias[at] = 2 * target[0] - 1
            continue
        model = LinearSVR(epsilon=0.1, loss="squared_epsilon_insensitive", **shared) if rows.link == "identity" else \
            LinearSVC(**shared)
        with quiet():
            model.fit(rows.X, target if rows.link == "identity" else target > 0.5, sample_weight=rows.weight)
        W[:, at], bias[at] = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    return W, bias


@frozen
class Curve:
    """Scores to better scores, slope * s + shift, both (k,), with the loss that they then have on rows not trained on.
    """

    slope: Any
    shift: Any
    loss: float


def tempered(scores: Any, rows: Sparse) -> tuple[float, float]:
    """The one slope under which scores (n, k) of rows not trained on lose least, and that loss; 1 for values."""
    weight = rows.weight[:, None]

    def told(log: float) -> float:
        return float((weight * loss(np.exp(log) * scores, rows.y, rows.link)[0]).sum() / weight.sum())

    if rows.link == "identity":
        return 1.0, told(0.0)
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(told, bounds=(-4.0, 4.0), method="bounded")
    return float(np.exp(found.x)), float(found.fun)


def calibrated(scores: Any, rows: Sparse) -> Curve:
    """What makes scores (n, k) of rows not trained on probable: Platt 1999 for each label, a temperature for classes.

    Several classes share one slope (Guo et al. 2017), so that the likeliest stays what it was.
    """
    k = scores.shape[1]
    slope, shift = np.ones(k), np.zeros(k)
    weight = rows.weight[:, None]
    if rows.link == "softmax":
        slope[:], _ = tempered(scores, rows)
    elif rows.link != "identity":
        for at, target in enumerate(rows.y.T > 0.5):
            if 0 < target.sum() < len(target):
                slope[at], shift[at] = platt(scores[:, at], target, rows.weight)
                if slope[at] <= 0:
                    slope[at], shift[at] = 1.0, 0.0
    told = float((weight * loss(scores * slope + shift, rows.y, rows.link)[0]).sum() / weight.sum())
    return Curve(slope=slope, shift=shift, loss=told)


def splits(rows: Sparse) -> list[tuple[Any, Any]]:
    """Inner (train, valid) positions: one split of many rows, three folds of few, none of a handful."""
    n = len(rows.y)
    if n < LEAST:
        return []
    if n >= FEW or rows.time is not None:
        coded = rows.link in ("softmax", "pair")
        found = inner_split(Dense(X=rows.X, y=rows.codes if coded else rows.y[:, 0], seed=rows.seed,
                                 classes=rows.y.shape[1] + (rows.link == "pair") if coded else 0),
                            rows.groups, rows.time)
        if found is not None:
            return [found]
    fold = _folds(rows)
    return [(np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in range(FOLDS)
            if 0 < (fold == at).sum() < n]


def _folds(rows: Sparse) -> Any:
    """Fold of each row: whole groups, or each class spread evenly."""
    rng = np.random.default_rng(rows.seed)
    if rows.groups is not None:
        names, inverse = np.unique(rows.groups, return_inverse=True)
        if len(names) >= FOLDS:
            return (rng.permutation(len(names)) % FOLDS)[inverse]
    order = rng.permutation(len(rows.y))
    if rows.link != "identity":
        key = rows.codes if rows.link in ("softmax", "pair") else rows.y @ (2.0 ** np.arange(rows.y.shape[1]) % 1e6)
        order = order[np.argsort(key[order], kind="stable")]
    fold = np.empty(len(rows.y), np.int64)
    fold[order] = np.arange(len(rows.y)) % FOLDS
    return fold


@frozen
class Strength:
    """A figure that is chosen by climbing from `start` in factors of `step` within low..high."""

    name: str
    start: float
    step: float
    low: float
    high: float


def learn(rows: Sparse, fit: Fit, strength: Strength, params: Mapping[str, Any]) -> tuple[Weights, dict[str, Any]]:
    """The weights at the strength given in params, or at the one whose probabilities are best on rows left out.

    The same rows left out give the slope that makes scores probabilities. Time is what limits how many are tried.
    """
    half = replace(rows, deadline=rows.deadline - 0.5 * max(rows.left, 0.0)) if rows.left < 1e9 else rows
    parts = [(half.take(train), half.take(valid)) for train, valid in splits(rows)]
    asked = params.get(strength.name)
    near: dict[int, Weights] = {}
    tried: dict[float, Curve] = {}
    seconds = 0.0

    def look(value: float) -> float:
        nonlocal seconds
        began = time.monotonic()
        scores = []
        for at, (train, valid) in enumerate(parts):
            near[at] = fit(train, value, near.get(at))
            scores.append(valid.X @ near[at][0] + near[at][1])
        told = [valid for _, valid in parts]
        joined = replace(rows, y=np.concatenate([v.y for v in told]), weight=np.concatenate([v.weight for v in told]))
        tried[value] = calibrated(np.concatenate(scores), joined)
        seconds = max(seconds, time.monotonic() - began)
        return tried[value].loss

    best = strength.start if asked is None else float(asked)
    if parts and half.left > 0:
        best = climb(look, best, strength, lambda: half.left > seconds) if asked is None else best
        if best not in tried:
            look(best)
    weights, bias = fit(rows, best, near.get(0))
    if best in tried:
        curve = tried[best]
        weights, bias = weights * curve.slope, bias * curve.slope + curve.shift
    return (weights, bias), {strength.name: best}


def climb(look: Callable[[float], float], start: float, strength: Strength, affordable: Callable[[], bool]) -> float:
    """The best of start, start * step, ... and start / step, ..., going on in a direction while it gets better.

    >>> wide = Strength(name="C", start=1.0, step=10.0, low=1e-3, high=1e3)
    >>> climb(lambda c: abs(c - 90), 1.0, wide, lambda: True)
    100.0
    """
    best, lowest = start, look(start)
    for factor in (strength.step, 1 / strength.step):
        value = best * factor
        while strength.low <= value <= strength.high and affordable():
            found = look(float(f"{value:.6g}"))
            if found >= lowest:
                break
            best, lowest = float(f"{value:.6g}"), found
            value *= factor
        if best != start:
            break
    return best




def affordable(rows: Sparse, fit: Fit, strength: float, times: float) -> Sparse:
    """As many rows as can be learned `times` times before the deadline, for a fit that cannot be stopped.

    A fit on PROBE_ROWS is timed; the cost is taken to grow as rows ** 1.2 (measured for LIBLINEAR on six of the data
    sets in benchmarks/texts.py: 1.0 to 1.2).
    """
    n = len(rows.y)
    if rows.left > 1e9 or n <= PROBE_ROWS:
        return rows
    few = rows.take(_some(rows, PROBE_ROWS))
    began = time.monotonic()
    if rows.left > 0:
        fit(few, strength, None)
    if rows.left <= 0:
        return few
    spent = max(time.monotonic() - began, 1e-4)
    most = int(PROBE_ROWS * (rows.left / times / spent) ** (1 / 1.2))
    return rows if most >= n else rows.take(_some(rows, max(most, PROBE_ROWS)))


def _some(rows: Sparse, most: int) -> Any:
    """Positions of so many rows, one of every class among them."""
    chosen = np.random.default_rng(rows.seed).permutation(len(rows.y))[:most]
    if rows.link not in ("softmax", "pair"):
        return np.sort(chosen)
    return np.union1d(chosen, np.unique(rows.codes, return_index=True)[1])
