"""A small model of tables with a real encoder and a real ONNX graph, for the tests of packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rightfit.data.encode import Encoder
from rightfit.package.write import write
from rightfit.records import Candidate, Column, Rule, Schema, Task

SCHEMA = Schema(columns=(
    Column(name="size", kind="numeric", low=-3.0, high=3.0), Column(name="age", kind="numeric"),
    Column(name="colour", kind="categorical", categories=("red", "blue")),
    Column(name="y", kind="categorical", role="target")))
CANDIDATE = Candidate(family="toy", params={"strength": 1.0})



def _task(problem: Any, metric: str, classes: tuple[str, ...] = (), **others: Any) -> Task:
    fixed: dict[str, Any] = {"modality": "tabular", "problem": problem, "metric": metric, "classes": classes}
    return Task(**{**fixed, "target": ("y",), **others})


PROBLEMS = {
    "binary": _task("binary", "f1", ("no", "yes")), "multiclass": _task("multiclass", "accuracy", ("a", "b", "c")),
    "multilabel": _task("multilabel", "f1", ("p", "q"), target=("p", "q"), outputs=2),
    "regression": _task("regression", "rmse"),
}
RULES = {"binary": Rule(threshold=(0.3,)), "multilabel": Rule(threshold=(0.4, 0.6))}


def records(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Raw rows: numbers, texts, gaps, an unseen category."""
    rng = np.random.default_rng(seed)
    colours = np.array(["red", "blue", "green", None], dtype=object)[rng.integers(0, 4, n)]
    return [{"size": None if i % 7 == 3 else round(float(rng.normal()), 4), "colour": colours[i],
             "age": int(rng.integers(0, 90))} for i in range(n)]


def graph(weights: Any, bias: Any, end: str | None) -> onnx.ModelProto:
    """Y = end(X @ weights + bias) with gaps as zero, float32; end is an operator or None."""
    f, k = weights.shape
    nodes = [helper.make_node("IsNaN", ["X"], ["gap"]), helper.make_node("Where", ["gap", "zero", "X"], ["full"]),
             helper.make_node("MatMul", ["full", "W"], ["score"]), helper.make_node("Add", ["score", "B"], ["sum"]),
             helper.make_node(end or "Identity", ["sum"], ["Y"])]
    arrays = {"W": weights, "B": bias, "zero": 0.0}
    constants = [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in arrays.items()]
    inside = helper.make_graph(nodes, "toy", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, f])],
                               [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, k])], constants)
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    return model


class Toy:
    """Random weights on real features; `wrong` is added to what the model in memory says, to break parity."""

    def __init__(self, problem: str, wrong: float = 0.0) -> None:
        import pandas as pd

        from rightfit.data.schema import coerce

        self.task, self.wrong = PROBLEMS[problem], wrong
        self.learned: dict[str, Any] = {}
        rows = coerce(pd.DataFrame(records(60), dtype=object), SCHEMA)
        y = np.arange(60) % 2
        self.encoder, matrix = Encoder.fit(rows, y, SCHEMA, self.task, {"scale": "standard", "impute": "median"}, 0)
        rng = np.random.default_rng(1)
        k = max(len(self.task.classes), 1)
        self.weights, self.bias = rng.normal(size=(matrix.shape[1], k)), rng.normal(size=(k,))

    def fit(self, data: Any, *, seed: int, deadline: float) -> Toy:
        return self

    def predict(self, X: Any) -> Any:
        score = np.nan_to_num(self.encoder.frame(X).astype(float)) @ self.weights + self.bias + self.wrong
        if self.task.problem == "regression":
            return score[:, 0] * 10 + 100
        if self.task.problem == "multilabel":
            return 1 / (1 + np.exp(-score))
        return np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)

    def save(self, folder: Path) -> dict[str, Any]:
        (folder / "encoder.json").write_text(self.encoder.to_json(), encoding="utf-8")
        meta: dict[str, Any] = {"runtime": "tabular", "encoder": "encoder.json", "outputs": self.weights.shape[1]}
        if self.task.problem == "multilabel":
            parts = [(self.weights[:, [i]], self.bias[[i]], "Sigmoid") for i in range(2)]
        else:
            parts = [(self.weights, self.bias, None if self.task.problem == "regression" else "Softmax")]
        if self.task.problem == "regression":
            meta |= {"target_mean": 100.0, "target_scale": 10.0}
        meta["cores"] = [{"format": "onnx", "file": f"model{i}.onnx"} for i in range(len(parts))]
        for core, part in zip(meta["cores"], parts, strict=True):
            (folder / core["file"]).write_bytes(graph(*part).SerializeToString())
        return meta


def package(folder: Path, problem: str = "binary", **changes: Any) -> Path:
    """A written package."""
    model = changes.pop("model", None) or Toy(problem)
    write(model, folder, **{"task": PROBLEMS[problem], "schema": SCHEMA, "rule": RULES.get(problem, Rule()),
                            "candidate": CANDIDATE, "sample": records(30), **changes})
    return folder
