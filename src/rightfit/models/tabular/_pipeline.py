"""The model of every tabular family: encode, learn one core per output, put the predictions together, write ONNX."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data.encode import OPTIONS, Encoder
from rightfit.errors import UsageError
from rightfit.metrics.counts import power_of
from rightfit.models.tabular._graph import Head, join, rising, shares
from rightfit.models.tabular._parts import Learn, Rows, inner_split
from rightfit.records import Dataset, Task, frozen


@frozen
class Goal:
    """What one core learns: y (n,), the column it enters (None: one column per class), and further fields of `Rows`."""

    y: Any
    column: int | None
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _goals(task: Task, y: Any) -> list[Goal]:
    """One core per label, output or level; of k ordered classes k - 1, each of being above (Frank and Hall 2001)."""
    if task.problem == "ordinal":
        return [Goal(y=(y >= place).astype(np.int64), column=place) for place in range(1, len(task.classes))]
    if task.problem == "quantile":
        return [Goal(y=y, column=at, more={"loss": "quantile", "level": level})
                for at, level in enumerate(task.quantiles)]
    if task.problem == "ranking":
        return [Goal(y=y[:, 0], column=0, more={"loss": "rank", "query": y[:, 1].astype(np.int64)})]
    if task.problem == "count":
        power = power_of(task.metric)
        return [Goal(y=y, column=0, more={"loss": "poisson" if power == 1 else "tweedie", "power": min(power, 1.99)})]
    if y.ndim == 1:
        return [Goal(y=y, column=None if task.classifies else 0)]
    return [Goal(y=y[:, at], column=at) for at in range(y.shape[1])]


class TabularModel:
    """Prediction = offset + sum over cores of core(encoded rows) @ matrix; one core per label or output.

    The matrices put the classes that the training rows had into the columns of task.classes, and give values back their
    mean and scale. `learned` is that of the core when there is one, else the largest of each figure.

    params: those of the family, and options of `Encoder` where the family's own choice is overruled.
    """

    def __init__(self, task: Task, params: Mapping[str, Any], learn: Learn, encoder: Mapping[str, Any]) -> None:
        self.task = task
        self.options = {**encoder, **{k: v for k, v in params.items() if k in OPTIONS}}
        self.params = {k: v for k, v in params.items() if k not in OPTIONS}
        self.learn = learn
        self.learned: dict[str, Any] = {}
        self.encoder: Encoder | None = None
        self.heads: list[Head] = []
        self.offset: Any = None
        self.flat = False

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> TabularModel:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        self.encoder, matrix = Encoder.fit(data.X, data.y, data.schema, self.task, self.options, seed)
        y = np.asarray(data.y)
        goals = _goals(self.task, y)
        width = len(self.task.classes) if self.task.one_label else len(goals)
        self.flat = (width == 1 and y.ndim == 1) or self.task.problem == "ranking"
        self.heads, self.offset = [], np.zeros(width)
        if self.task.problem == "ordinal":
            self.offset[0] = 1.0
        for at, goal in enumerate(goals):
            left = len(goals) - at
            until = deadline if left == 1 else time.monotonic() + max(deadline - time.monotonic(), 0.0) / left
            self._head(data, matrix, goal, seed, until)
        self.learned = _together([head.core.learned for head in self.heads])
        return self

    def _head(self, data: Dataset, matrix: Any, goal: Goal, seed: int, deadline: float) -> None:
        """Learn one goal and enter it."""
        width, y, column = len(self.offset), goal.y, goal.column
        if self.task.classifies:
            codes, y = np.unique(y.astype(np.int64), return_inverse=True)
            classes = len(codes)
            back = np.zeros((classes, width))
            if column is None:
                back[np.arange(classes), codes] = 1.0
            else:
                back[:, column] = codes
            if column and self.task.problem == "ordinal":
                back[:, column - 1] -= codes
        else:
            y = y.astype(np.float64)
            mean, scale = float(np.mean(y)), float(np.std(y))
            usable = scale > 1e-12 * max(1.0, abs(mean))
            classes = 0 if usable else 1
            if usable and goal.more.get("loss", "quantile") != "quantile":
                mean, scale = 0.0, 1.0
            back = np.zeros((1, width))
            back[0, column] = scale if usable else mean
            if usable:
                self.offset[column] = mean
                y = (y - mean) / scale
        if classes == 1:
            self.offset += back[0]
            return
        weight = None if data.weight is None else np.asarray(data.weight, dtype=np.float64)
        if weight is not None:
            weight = weight / max(float(weight.mean()), 1e-300)
        assert self.encoder is not None
        rows = Rows(X=matrix, y=y, classes=classes, weight=weight, categorical=self.encoder.categorical, seed=seed,
                    deadline=deadline, monotone=self._signs(), **goal.more)
        groups = rows.query if data.groups is None else data.groups
        inner = inner_split(rows, groups, data.time) if self.params.get("early_stopping") else None
        rows = dataclasses.replace(rows, inner=inner)
        self.heads.append(Head(core=self.learn(rows, self.params), matrix=back))

    def _signs(self) -> tuple[int, ...]:
        """The monotone sign of each encoded column: of the values themselves, not of whether they are missing."""
        if not self.task.monotone or self.encoder is None:
            return ()
        named = zip(self.encoder.names, self.encoder.sources, strict=True)
        return tuple(self.task.monotone.get(source, 0) if name == source else 0 for name, source in named)

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self.encoder is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        out = self.predict_matrix(self.encoder.frame(X))
        return out[:, 0] if self.flat else out

    def predict_matrix(self, matrix: Any) -> Any:
        """Predictions float64 (n, k) from encoded rows float32 (n, f)."""
        out = np.tile(self.offset, (len(matrix), 1))
        if not len(matrix):
            return out
        for head in self.heads:
            out += np.asarray(head.core.predict(matrix), dtype=np.float64) @ head.matrix
        if self.task.problem == "quantile":
            out.sort(axis=1)
        elif self.task.problem == "ordinal":
            out = np.maximum(out, 0.0)
            out /= out.sum(axis=1, keepdims=True)
        return out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write encoder.json and model.onnx; returns the meta of the runtime `tabular`.

        The graph maps X float32 (n, f) to the final prediction Y (n, outputs); nothing is left for the runtime to add.
        """
        if self.encoder is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        home = Path(folder)
        (home / "encoder.json").write_text(self.encoder.to_json(), encoding="utf-8")
        model = join(self.heads, self.offset, self.encoder.width)
        ending = {"quantile": rising, "ordinal": shares}.get(self.task.problem)
        model = ending(model) if ending else model
        (home / "model.onnx").write_bytes(model.SerializeToString())
        return {"runtime": "tabular", "encoder": "encoder.json", "outputs": len(self.offset),
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def _together(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            out[name] = max(out[name], value) if name in out else value
    return out
