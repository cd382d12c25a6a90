"""What is known without looking at the pictures: how often each class is, or the mean. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import Dataset, Facts, Family, Task

SIZE = 8


class ConstantModel:
    """The same answer (k,) for every picture."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.learned: dict[str, Any] = {}
        self.answer: Any = None
        self.column, self.flat = "", False

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> ConstantModel:
        """Class frequencies, label frequencies or means of the rows, weighted where they have weights."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        columns = [c.name for c in data.schema.features if c.kind == "image"] or list(data.X.columns[:1])
        y = np.asarray(data.y)
        self.column, self.flat = columns[0], not self.task.classifies and y.ndim == 1
        single = self.task.classifies and y.ndim == 1
        table = np.eye(max(len(self.task.classes), 1))[y] if single else y.reshape(len(y), -1).astype(np.float64)
        self.answer = np.average(table, axis=0, weights=data.weight)
        return self

    def predict(self, X: Any) -> Any:
        """The answer for each row, (n, k), or (n,) for a single value."""
        if self.answer is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        out = np.tile(self.answer, (len(X), 1))
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write model.onnx, which repeats the answer; returns the meta of the runtime `image`."""
        if self.answer is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        k = len(self.answer)
        nodes = [helper.make_node("Shape", ["X"], ["shape"]),
                 helper.make_node("Gather", ["shape", "first"], ["n"], axis=0),
                 helper.make_node("Concat", ["n", "one"], ["wanted"], axis=0),
                 helper.make_node("Expand", ["answer", "wanted"], ["Y"])]
        constants = [numpy_helper.from_array(np.array([0], np.int64), "first"),
                     numpy_helper.from_array(np.array([1], np.int64), "one"),
                     numpy_helper.from_array(self.answer.astype(np.float32)[None], "answer")]
        graph = helper.make_graph(
            nodes, "constant", [helper.make_tensor_value_info("X", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", k])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        (Path(folder) / "model.onnx").write_bytes(model.SerializeToString())
        return {"runtime": "image", "column": self.column, "size": SIZE, "outputs": k,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def build(params: Mapping[str, Any], task: Task) -> ConstantModel:
    """An unfitted constant."""
    return ConstantModel(task)


SPEC = Family(
    name="image_baseline", modality="image", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=1950, paper="Brier 1950: the forecast of the base rate, below which there is no skill",
                licence="Apache-2.0", framework="onnx", good_at="showing what every model must beat",
                bad_at="everything else"),
    handles=frozenset({"weights", "imbalance"}), seconds=lambda task: 0.1, rank=99, baseline=True)
