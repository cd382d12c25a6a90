"""The model of every family over bags of n-grams: features, one linear problem, calibration, a package of plain arrays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.models.text._bag import Linear
from rightfit.models.text._solve import Sparse, Weights
from rightfit.models.text._vectorise import Bag, join, text_columns
from rightfit.records import Dataset, Task, frozen

# Word pairs and runs of 2 to 5 characters inside words were best or within 0.3 points of it on a part left out of the
# training rows of ten data sets (benchmarks/texts.py); 1 to 5 gave the same with more features.
FEATURES: Mapping[str, Any] = {"words": 2, "chars": 5, "shortest": 2, "weight": "tfidf", "sublinear": True,
                               "min_df": 2, "max_df": 1.0, "max_features": 100_000, "precision": "float16"}
VECTORISER, WEIGHTS = "vectoriser.json", "linear.safetensors"
NEVER = -60.0  # the score of a class without training rows: its probability is below 1e-20
CHUNK = 2048  # texts whose features are held together while predicting
READING = 0.35  # of the time left may go into reading the texts


@frozen
class Learned:
    """Scores are (x @ weight) @ out + bias, without `out` where it is None. `params`: what a refit should reuse."""

    weight: Any
    bias: Any
    params: Mapping[str, Any]
    out: Any = None


Learn = Callable[[Sparse, Mapping[str, Any]], Learned]


def plain(weights: Weights, params: Mapping[str, Any]) -> Learned:
    """Weights (f, k) and bias (k,) as Learned."""
    return Learned(weight=weights[0], bias=weights[1], params=params)


class TextBag:
    """A bag of n-grams of all text columns under `learn`.

    params: those of `learn`, of `Bag.fit`, and words, chars (the longest runs, 0 for none), shortest (of characters).

    Classes without training rows get the score NEVER; values are standardised for learning and given back their mean
    and scale. Texts that cannot be read before READING of the time is gone are left out, drawn by the seed.
    """

    def __init__(self, task: Task, params: Mapping[str, Any], learn: Learn) -> None:
        self.task, self.params, self.learn = task, dict(params), learn
        self.learned: dict[str, Any] = {}
        self.columns: list[str] = []
        self.bag: Bag | None = None
        self.linear: Linear | None = None
        self.flat = False

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> TextBag:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        self.columns = text_columns(data.schema)
        y = np.asarray(data.y)
        self.flat = y.ndim == 1 and not self.task.classifies
        target = _Target(y, self.task)
        # Rows in the order of a draw, so that those read before time was up are a sample of all.
        order = np.random.default_rng(seed).permutation(len(data))
        left = deadline - time.monotonic()
        stop = deadline - (1 - READING) * max(left, 0.0)
        texts = join(data.X, self.columns)
        self.bag, (indptr, indices, values) = self._read([texts[at] for at in order], target.y[order],
                                                         lambda: time.monotonic() >= stop)
        order = order[:len(indptr) - 1]
        weight = np.ones(len(data)) if data.weight is None else np.maximum(np.asarray(data.weight, np.float64), 1e-9)
        self.linear = self._learn((indptr, indices, values), target, weight[order] / weight[order].mean(), data, order,
                                  (seed, deadline))
        return self

    def _read(self, texts: list[str], y: Any, late: Callable[[], bool]) -> tuple[Bag, Any]:
        words, chars = int(self.params["words"]), int(self.params["chars"])
        if not words and not chars:
            return Bag([]), (np.zeros(len(texts) + 1, np.int64), np.empty(0, np.int32), np.empty(0))
        runs = {"word": [1, words] if words else None,
                "char": [min(int(self.params["shortest"]), chars), chars] if chars else None}
        return Bag.fit(texts, {**self.params, **runs}, y, late)

    def _learn(self, rows: Any, target: _Target, weight: Any, data: Dataset, order: Any,
               when: tuple[int, float]) -> Linear:
        from scipy import sparse

        assert self.bag is not None
        indptr, indices, values = rows
        ends = indptr.astype(np.int32) if indptr[-1] < 2**31 else indptr  # LIBLINEAR takes 32-bit positions only
        X = sparse.csr_array((values, indices, ends), shape=(len(order), self.bag.width))
        y = target.y[order]
        if target.constant(y):
            found = Learned(weight=np.zeros((self.bag.width, y.shape[1])), bias=target.only(y), params={})
        else:
            found = self.learn(Sparse(X=X, y=y, link=target.link, weight=weight, seed=when[0], deadline=when[1],
                                      groups=None if data.groups is None else np.asarray(data.groups)[order],
                                      time=None if data.time is None else np.asarray(data.time)[order]), self.params)
        self.learned = dict(found.params)
        return target.linear(found).stored(self.params.get("precision") == "float16")

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self.bag is None or self.linear is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        texts = join(X, self.columns)
        out = np.concatenate([self.linear(self.bag.bag(texts[at:at + CHUNK])) for at in range(0, len(texts), CHUNK)]
                             or [self.linear(self.bag.bag([]))])
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write the vocabulary as JSON and the weights as safetensors; returns the meta of the runtime `text`."""
        if self.bag is None or self.linear is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        home = Path(folder)
        (home / VECTORISER).write_text(self.bag.to_json(), encoding="utf-8")
        self.linear.save(home / WEIGHTS)
        return {"runtime": "text", "columns": self.columns, "vectoriser": {"name": "bag", "file": VECTORISER},
                "outputs": len(self.linear.bias) + (self.linear.link == "pair"),
                "cores": [{"format": "linear", "file": WEIGHTS}]}


class _Target:
    """The target as a linear problem sees it, and its answers back in the columns of the task."""

    def __init__(self, y: Any, task: Task) -> None:
        self.width = len(task.classes) if task.classifies else (y.shape[1] if y.ndim == 2 else 1)
        self.shift = self.scale = None
        self.seen = np.arange(self.width)
        if not task.classifies:
            y = y.astype(np.float64).reshape(len(y), -1)
            self.link, self.shift, spread = "identity", y.mean(axis=0), y.std(axis=0)
            self.scale = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(self.shift)), spread, 0.0)
            self.y = np.where(self.scale > 0, (y - self.shift) / np.where(self.scale > 0, self.scale, 1.0), 0.0)
        elif y.ndim == 2:
            self.link, self.y = "sigmoid", y.astype(np.float64)
        else:
            self.seen, codes = np.unique(y, return_inverse=True)
            pair = len(self.seen) == self.width == 2
            self.link = "pair" if pair else "softmax"
            self.y = codes.astype(np.float64)[:, None] if pair else np.eye(len(self.seen))[codes]

    def constant(self, y: Any) -> bool:
        """Whether there is nothing to learn in y (n, k)."""
        return bool((y == y[0]).all())

    def only(self, y: Any) -> Any:
        """The scores (k,) of a constant y (n, k)."""
        return np.where(y[0] > 0.5, -NEVER, NEVER) if self.link in ("pair", "sigmoid") else y[0] * 0.0

    def linear(self, found: Learned) -> Linear:
        """What was learned on the classes seen, for all classes of the task."""
        if self.link != "softmax" or len(self.seen) == self.width:
            return Linear(weight=found.weight, bias=found.bias, out=found.out, link=self.link, shift=self.shift,
                          scale=self.scale)
        bias = np.full(self.width, NEVER)
        bias[self.seen] = found.bias
        last = found.weight if found.out is None else found.out
        wide = np.zeros((last.shape[0], self.width), last.dtype)
        wide[:, self.seen] = last
        return Linear(weight=wide if found.out is None else found.weight, bias=bias, link=self.link,
                      out=None if found.out is None else wide)
