"""Bag of hashed n-grams, each with a small vector, averaged under a linear output; trained and served by numpy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rightfit import trace
from rightfit.models.tabular._parts import trees_per_round
from rightfit.models.text import _solve
from rightfit.models.text._model import FEATURES, Learned, TextBag
from rightfit.records import Dimension, Facts, Family, Task

# TF-IDF instead of the plain mean, n-grams seen twice at least and a small step gained 2 to 7 points on a part
# left out of the training rows of SST-2, TREC and THUCNews; the step is small because the features have length 1.
DEFAULTS: Mapping[str, Any] = {
    **FEATURES, "buckets": 2**20, "max_features": 200_000, "width": 64, "epochs": 30, "learning_rate": 0.03,
    "decay": 0.95, "batch": 16, "dropout": 0.2, "temperature": 1.0, "early_stopping": True, "patience": 3}
SCORED = 2000  # rows left out whose loss is looked at after every epoch
STABLE = 0.5  # of the step of a batch on squared errors, which diverges above 2
LOOK = 64  # batches between two looks at the clock
EPOCH = 4000  # rows of an epoch at least: few rows are gone through several times


class _Net:
    """Vectors (f, d) drawn as in fastText, uniform within 1/d; out (d, k) of zeros and bias (k,): float32."""

    def __init__(self, rows: _solve.Sparse, width: int, rng: Any) -> None:
        f, k = rows.X.shape[1], rows.y.shape[1]
        self.vectors = (rng.random((f, width), dtype=np.float32) * 2 - 1) / np.float32(width)
        self.out, self.bias = np.zeros((width, k), np.float32), np.zeros(k, np.float32)
        self._place = np.zeros(f, np.int32)

    def _used(self, indices: Any) -> tuple[Any, Any]:
        """The different ones of indices (m,), and the place of each index among them, without sorting."""
        every = np.arange(len(indices), dtype=np.int32)
        self._place[indices] = every
        used = indices[self._place[indices] == every]
        self._place[used] = every[:len(used)]
        return used, self._place[indices]

    def scores(self, X: Any) -> Any:
        """Scores (n, k) of csr rows (n, f)."""
        return (X @ self.vectors) @ self.out + self.bias

    def step(self, batch: tuple[Any, Any, Any], y: Any, weight: Any, link: str, rate: float) -> None:
        """One batch (indptr, indices, values) of stochastic gradient descent, all its rows at the rate of one."""
        from scipy import sparse

        # Only the vectors of the batch's own n-grams are touched: the cost does not depend on the vocabulary.
        indptr, indices, values = batch
        used, places = self._used(indices)
        X = sparse.csr_array((values, places, indptr), shape=(len(y), len(used)))
        vectors = self.vectors[used]
        hidden = X @ vectors
        away = np.clip(_solve.loss(hidden @ self.out + self.bias, y, link)[1], -1, 1) * weight[:, None]
        back = away @ self.out.T
        self.out -= rate * (hidden.T @ away)
        self.bias -= rate * away.sum(axis=0)
        self.vectors[used] = vectors - rate * (X.T @ back)

    def copy(self) -> tuple[Any, ...]:
        """The arrays, to be put back later."""
        return self.vectors.copy(), self.out.copy(), self.bias.copy()


def _epoch(net: _Net, rows: _solve.Sparse, params: Mapping[str, Any], rate: float, rng: Any) -> bool:
    """Every row once or, of few, several times, in batches; False when the deadline came first."""
    n, size = len(rows.y), int(params["batch"])
    order = np.concatenate([rng.permutation(n) for _ in range(-(-EPOCH // n) if n < EPOCH else 1)])
    X, y, weight, drop = rows.X[order], rows.y[order], rows.weight[order], float(params["dropout"])
    if drop:
        X.data = X.data * ((rng.random(len(X.data), dtype=np.float32) >= drop) / np.float32(1 - drop))
    for at, start in enumerate(range(0, len(order), size)):
        ends = X.indptr[start:start + size + 1]
        own = slice(ends[0], ends[-1])
        net.step((ends - ends[0], X.indices[own], X.data[own]), y[start:start + size], weight[start:start + size],
                 rows.link, rate)
        if at % LOOK == 0 and rows.left <= 0:
            return False
    return True


def _train(rows: _solve.Sparse, valid: _solve.Sparse | None, params: Mapping[str, Any]) -> tuple[_Net, int, float]:
    """The network, its epochs and the temperature of its scores; the best epoch on `valid` where there is one."""
    rng = np.random.default_rng(rows.seed)
    net, began = _Net(rows, int(params["width"]), rng), time.monotonic()
    first = float(params["learning_rate"])
    if rows.link == "identity":
        first = min(first, STABLE / int(params["batch"]))
    best, at, temperature, done = float("inf"), 0, float(params["temperature"]), 0
    kept = net.copy()
    for epoch in range(1, int(params["epochs"]) + 1):
        whole = _epoch(net, rows, params, first * float(params["decay"]) ** (epoch - 1), rng)
        done = epoch
        if valid is not None:
            warm, loss = _solve.tempered(net.scores(valid.X), valid)
            trace.point(epoch=epoch, loss=loss, seconds=time.monotonic() - began)
            if loss < best:
                best, at, temperature, kept = loss, epoch, warm, net.copy()
            if epoch - at >= int(params["patience"]):
                break
        if not whole:
            break
    if valid is not None:
        net.vectors, net.out, net.bias = kept
    return net, at or done, temperature


def _single(rows: _solve.Sparse) -> _solve.Sparse:
    return replace(rows, X=rows.X.astype(np.float32), y=rows.y.astype(np.float32),
                   weight=rows.weight.astype(np.float32))


def learn(rows: _solve.Sparse, params: Mapping[str, Any]) -> Learned:
    """As many epochs as are best on rows left out, then all rows for as many."""
    rows = _single(rows)
    parts = _solve.splits(rows) if params["early_stopping"] and rows.left > 0 else []
    if parts:
        train, valid = rows.take(parts[0][0]), rows.take(parts[0][1][:SCORED])
        half = rows.deadline - 0.5 * rows.left if rows.left < 1e9 else rows.deadline
        net, epochs, temperature = _train(replace(train, deadline=half), valid, params)
        params = {**params, "epochs": epochs, "temperature": temperature}
    net, epochs, temperature = _train(rows, None, params)
    out, bias = net.out * temperature, net.bias * temperature
    learned = {"epochs": epochs, "temperature": temperature}
    # There is nothing between the vectors and the output that bends, so few classes need one small matrix only.
    if out.shape[1] <= out.shape[0]:
        return Learned(weight=net.vectors @ out, bias=bias, params=learned)
    return Learned(weight=net.vectors, bias=bias, out=out, params=learned)


def build(params: Mapping[str, Any], task: Task) -> TextBag:
    """An unfitted bag of vectors."""
    return TextBag(task, {**DEFAULTS, **params}, learn)


SPEC = Family(
    name="fasttext", modality="text", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=2016, paper="Joulin et al., Bag of Tricks for Efficient Text Classification; character n-grams: "
                                 "Bojanowski et al. 2017; hashing: Weinberger et al. 2009",
                licence="Apache-2.0", framework="numpy",
                good_at="many texts: the cost grows with rows only; keeps no words in its package",
                bad_at="few texts; word order beyond pairs"),
    space={"width": Dimension(low=16, high=200, log=True, whole=True), "decay": Dimension(low=0.7, high=0.98),
           "learning_rate": Dimension(low=0.005, high=0.2, log=True), "dropout": Dimension(low=0.0, high=0.6),
           "min_df": Dimension(low=1, high=5, whole=True), "words": Dimension(low=1, high=3, whole=True),
           "chars": Dimension(choices=(0, 4, 5, 6))},
    defaults=DEFAULTS, variants=({"weight": "mean", "learning_rate": 0.3}, {"width": 16}),
    regularisers=("dropout", "min_df"), handles=frozenset({"missing", "text", "weights", "wide"}),
    seconds=lambda task: 1.0 + 2e-3 * task.rows * (1 + 0.01 * trees_per_round(task)),
    requires=("scipy", "safetensors"), smoke={"width": 8, "epochs": 6, "batch": 64, "learning_rate": 0.05}, rank=25)
