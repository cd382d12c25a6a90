"""The model of every tabular family: encode, learn one core per output, put the predictions together, write ONNX."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data.encode import OPTIONS, Encoder
from rightfit.errors import UsageError
from rightfit.models.tabular._graph import Head, join
from rightfit.models.tabular._parts import Learn, Rows, inner_split
from rightfit.records import Dataset, Task


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
        self.flat = y.ndim == 1 and not self.task.classifies
        columns = y[:, None] if y.ndim == 1 else y
        single = self.task.classifies and y.ndim == 1
        width = len(self.task.classes) if single else columns.shape[1]
        self.heads, self.offset = [], np.zeros(width)
        for at in range(columns.shape[1]):
            left = columns.shape[1] - at
            until = deadline if left == 1 else time.monotonic() + max(deadline - time.monotonic(), 0.0) / left
            where = None if single else at
            self._head(data, matrix, columns[:, at], where, seed, until)
        self.learned = _together([head.core.learned for head in self.heads])
        return self

    def _head(self, data: Dataset, matrix: Any, y: Any, column: int | None, seed: int, deadline: float) -> None:
        """Learn one output and enter it: `column` None is a class code, else a label or value of that column."""
        width = len(self.offset)
        if self.task.classifies:
            codes, y = np.unique(y.astype(np.int64), return_inverse=True)
            classes = len(codes)
            back = np.zeros((classes, width))
            if column is None:
                back[np.arange(classes), codes] = 1.0
            else:
                back[:, column] = codes
        else:
            y = y.astype(np.float64)
            mean, scale = float(np.mean(y)), float(np.std(y))
            usable = scale > 1e-12 * max(1.0, abs(mean))
            classes = 0 if usable else 1
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
                    deadline=deadline)
        inner = inner_split(rows, data.groups, data.time) if self.params.get("early_stopping") else None
        rows = Rows(X=matrix, y=y, classes=classes, weight=weight, inner=inner, categorical=self.encoder.categorical,
                    seed=seed, deadline=deadline)
        self.heads.append(Head(core=self.learn(rows, self.params), matrix=back))

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
        (home / "model.onnx").write_bytes(model.SerializeToString())
        return {"runtime": "tabular", "encoder": "encoder.json", "outputs": len(self.offset),
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def _together(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            out[name] = max(out[name], value) if name in out else value
    return out
