"""Boosting that goes on where a package stopped: new trees on top of its graph, whatever that graph is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data.encode import Encoder
from rightfit.errors import Unavailable
from rightfit.models.tabular._graph import IR, OPSET, _model
from rightfit.models.tabular._parts import Learn, Rows, inner_split
from rightfit.records import Dataset, Task

LEAST = 1e-6  # a probability below it could not be corrected by a few trees
PROBLEMS = ("binary", "multiclass", "regression")


def _function(path: Path) -> Callable[[Any], Any]:
    """A graph's function from X float32 (n, f) to Y (n, k), on one thread as packages run it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(["Y"], {"X": X})[0]


class Onward:
    """Prediction = what the package says, plus trees learned on the gradient that is left: log odds, or values.

    Encodes as the package does, so that rows it was trained on are not needed. package: a folder with encoder.json and
    model.onnx, X float32 (n, f) -> Y (n, k).
    """

    def __init__(self, task: Task, params: Mapping[str, Any], learn: Learn, package: Path) -> None:
        if task.problem not in PROBLEMS or task.outputs != 1 or task.monotone:
            raise Unavailable(f"trees go on from {', '.join(PROBLEMS)} of one target without monotone columns; got "
                              f"problem={task.problem!r}, fit anew.")
        self.task, self.params, self.learn, self.package = task, params, learn, package
        self.encoder = Encoder.from_json((package / "encoder.json").read_text(encoding="utf-8"))
        self.before = _function(package / "model.onnx")
        self.learned: dict[str, Any] = {}
        self.scale = 1.0
        self.core: Any = None

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Onward:
        """Learn from labelled rows, best such that the package has not seen."""
        matrix, y, start = self.encoder.frame(data.X), np.asarray(data.y), None
        so_far, classes = self._so_far(matrix), len(self.task.classes)
        if self.task.classifies:
            y, start = y.astype(np.int64), so_far
        else:
            left = y.astype(float) - so_far[:, 0]
            self.scale = float(np.std(left)) or 1.0
            y = left / self.scale
        weight = None if data.weight is None else np.asarray(data.weight, float)
        weight = None if weight is None else weight / max(float(weight.mean()), 1e-300)
        rows = Rows(X=matrix, y=y, classes=classes, weight=weight, seed=seed, deadline=deadline, start=start,
                    categorical=self.encoder.categorical)
        inner = inner_split(rows, data.groups, data.time) if self.params.get("early_stopping") else None
        self.core = self.learn(dataclasses.replace(rows, inner=inner), self.params)
        self.learned = dict(self.core.learned)
        return self

    def _so_far(self, matrix: Any) -> Any:
        """What the package says as scores: log odds (n, 1), log probabilities (n, k), or values (n, 1)."""
        said = np.asarray(self.before(matrix), float).reshape(len(matrix), -1)
        if not self.task.classifies:
            return said
        logs = np.log(np.clip(said, LEAST, 1.0))
        return logs[:, 1:] - logs[:, :1] if self.task.problem == "binary" else logs

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes, or values (n,)."""
        matrix = self.encoder.frame(X)
        scores = self._so_far(matrix) + self.scale * np.asarray(self.core.predict(matrix), float).reshape(len(X), -1)
        if self.task.problem == "regression":
            return scores[:, 0]
        scores = np.column_stack([-scores / 2, scores / 2]) if self.task.problem == "binary" else scores
        grown = np.exp(scores - scores.max(axis=1, keepdims=True))
        return grown / grown.sum(axis=1, keepdims=True)

    def save(self, folder: Any) -> dict[str, Any]:
        """Write encoder.json and model.onnx, the package's graph with the new trees in it."""
        home = Path(folder)
        (home / "encoder.json").write_text(self.encoder.to_json(), encoding="utf-8")
        (home / "model.onnx").write_bytes(self._graph().SerializeToString())
        width = len(self.task.classes) or 1
        return {"runtime": "tabular", "encoder": "encoder.json", "outputs": width,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}

    def _graph(self) -> Any:
        import onnx
        from onnx import TensorProto, compose, helper, numpy_helper

        nodes, constants, domains = list[Any](), list[Any](), {"": OPSET}
        for prefix, model in (("o", onnx.load(str(self.package / "model.onnx"))), ("n", self.core.onnx())):
            model.ir_version = IR
            part = compose.add_prefix(model, prefix).graph
            for node in part.node:
                node.input[:] = ["X" if name == f"{prefix}X" else name for name in node.input]
            nodes += [*part.node, helper.make_node("Cast", [f"{prefix}Y"], [f"{prefix}_wide"], to=TensorProto.DOUBLE)]
            constants += part.initializer
            domains |= {e.domain: max(e.version, domains.get(e.domain, 0)) for e in model.opset_import}

        def constant(name: str, value: Any, dtype: Any = np.float64) -> str:
            constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
            return name

        def add(operator: str, inputs: list[str], output: str, **more: Any) -> str:
            nodes.append(helper.make_node(operator, inputs, [output], **more))
            return output

        if self.task.problem == "regression":
            more = add("Mul", ["n_wide", constant("scale", self.scale)], "more")
            add("Add", ["o_wide", more], "Y")
        else:
            kept = add("Clip", ["o_wide", constant("least", LEAST), constant("most", 1.0)], "kept")
            scores = add("Log", [kept], "scores")
            turn = np.array([[-0.5, 0.5]]) if self.task.problem == "binary" else np.eye(len(self.task.classes))
            more = add("MatMul", ["n_wide", constant("turn", turn)], "more")
            add("Softmax", [add("Add", [scores, more], "sum")], "Y", axis=1)
        model = _model(nodes, constants, self.encoder.width, len(self.task.classes) or 1, TensorProto.DOUBLE,
                       [helper.make_opsetid(d, v) for d, v in domains.items()])
        onnx.checker.check_model(model)
        return model
