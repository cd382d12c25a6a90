"""ONNX graphs with one input X float32 (n, f) and one output Y (n, k): written, tidied and put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rightfit.records import frozen

OPSET = 15  # the newest that every converter in use writes
ML_OPSET = 3
IR = 8
LARGEST = 80.0  # exp of it is a float32


@frozen
class Head:
    """How one core enters the prediction: Y += core(X) @ matrix, matrix float64 (core outputs, k)."""

    core: Any
    matrix: Any


class Graph:
    """Writes a graph node by node in float64, or float32 if not `wide`; `graph("MatMul", a, b)` names the result.

    >>> graph = Graph(2)
    >>> model = graph.model(graph("MatMul", graph.x, graph.constant([[1.0], [2.0]])), 1)
    >>> [node.op_type for node in model.graph.node]
    ['Cast', 'MatMul', 'Identity']
    """

    def __init__(self, features: int, wide: bool = True) -> None:
        from onnx import TensorProto

        self.features, self.wide = features, wide
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.x = self("Cast", "X", to=TensorProto.DOUBLE) if wide else "X"

    def constant(self, values: Any, dtype: Any = np.float64) -> str:
        """Add an array; returns its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(values, dtype=dtype)), name))
        return name

    def __call__(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        from onnx import helper

        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, result: str, width: int) -> Any:
        """The finished model, with `result` as its output Y (n, width)."""
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Identity", [result], ["Y"]))
        kind = TensorProto.DOUBLE if self.wide else TensorProto.FLOAT
        return _model(self.nodes, self.constants, self.features, width, kind, [helper.make_opsetid("", OPSET)])


def _model(nodes: Sequence[Any], constants: Sequence[Any], features: int, width: int, kind: int, opsets: Any) -> Any:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        list(nodes), "rightfit", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("Y", kind, [None, width])], list(constants))
    model = helper.make_model(graph, opset_imports=opsets, producer_name="rightfit")
    model.ir_version = IR
    return model


def tidy(model: Any, output: str | None = None) -> Any:
    """A converter's model with only the nodes that its values or probabilities need, ZipMap taken off.

    output: the name to keep; by default the last one, where converters put the probabilities.
    """
    keep = output or model.graph.output[-1].name
    made_by = {name: node for node in model.graph.node for name in node.output}
    node = made_by[keep]
    if node.op_type == "ZipMap":
        keep = node.input[0]
    needed: list[Any] = []
    seen: set[int] = set()
    open_names = [keep]
    while open_names:
        node = made_by.get(open_names.pop())
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            needed.append(node)
            open_names += node.input
    nodes = [node for node in model.graph.node if id(node) in seen]
    used = {name for node in nodes for name in node.input}
    constants = [c for c in model.graph.initializer if c.name in used]
    start = model.graph.input[0].name
    for node in nodes:
        node.input[:] = ["X" if name == start else name for name in node.input]
        node.output[:] = ["Y" if name == keep else name for name in node.output]
    features = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return _model(nodes, constants, features, 0, 1, list(model.opset_import))


def join(heads: Sequence[Head], offset: Any, features: int) -> Any:
    """One model for all heads: Y = offset + sum of core(X) @ matrix, in float64; a single plain head stays as it is."""
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    k = len(offset)
    nodes: list[Any] = []
    constants: list[Any] = [numpy_helper.from_array(np.asarray(offset, dtype=np.float64)[None, :], "offset")]
    domains: dict[str, int] = {"": OPSET}
    terms: list[str] = []
    for position, head in enumerate(heads):
        model = head.core.onnx()
        for entry in model.opset_import:
            domains[entry.domain] = max(domains.get(entry.domain, 0), entry.version)
        if len(heads) == 1 and np.array_equal(head.matrix, np.eye(k)) and not np.any(offset):
            return _finish(model.graph.node, model.graph.initializer, features, k, model)
        prefix = f"m{position}_"
        part = compose.add_prefix(model, prefix).graph
        for node in part.node:
            node.input[:] = ["X" if name == f"{prefix}X" else name for name in node.input]
        nodes += part.node
        constants += part.initializer
        matrix = f"matrix{position}"
        constants.append(numpy_helper.from_array(np.asarray(head.matrix, dtype=np.float64), matrix))
        nodes.append(helper.make_node("Cast", [f"{prefix}Y"], [f"{prefix}wide"], to=TensorProto.DOUBLE))
        nodes.append(helper.make_node("MatMul", [f"{prefix}wide", matrix], [f"{prefix}term"]))
        terms.append(f"{prefix}term")
    if not terms:
        terms = _nothing(nodes, constants, k)
    total = terms[0]
    if len(terms) > 1:
        nodes.append(helper.make_node("Sum", terms, ["total"]))
        total = "total"
    nodes.append(helper.make_node("Add", [total, "offset"], ["Y"]))
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = _model(nodes, constants, features, k, TensorProto.DOUBLE, opsets)
    onnx.checker.check_model(model)
    return model


def exponent(model: Any) -> Any:
    """exp of the only output, within what float32 holds."""
    return _extended(model, lambda add, y: add("Exp", add("Clip", y, -LARGEST, LARGEST)))


def rising(model: Any) -> Any:
    """The outputs of a row sorted: quantiles that crossed are put in order (Chernozhukov et al. 2010)."""
    width = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    return model if width < 2 else _extended(
        model, lambda add, y: add("TopK", y, [width], outputs=2, axis=1, largest=0, sorted=1))


def shares(model: Any) -> Any:
    """The outputs of a row without what is negative, divided by their sum."""
    def divided(add: Any, y: str) -> str:
        kept = add("Max", y, 0.0)
        return str(add("Div", kept, add("ReduceSum", kept, [1], keepdims=1)))

    return _extended(model, divided)


def _extended(model: Any, write: Any) -> Any:
    """The model with `write(add, y)` of its output Y in place of it; numbers become constants of its kind."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    kind = graph.output[0].type.tensor_type.elem_type
    wide = np.float64 if kind == TensorProto.DOUBLE else np.float32
    for node in graph.node:
        node.output[:] = ["before" if name == "Y" else name for name in node.output]
        node.input[:] = ["before" if name == "Y" else name for name in node.input]

    def add(operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> str:
        names = [f"end{len(graph.node)}_{i}" for i in range(outputs)]
        known = []
        for value in inputs:
            if not isinstance(value, str):
                array = np.asarray(value, np.int64 if isinstance(value, list) else wide)
                value = f"number{len(graph.initializer)}"
                graph.initializer.append(numpy_helper.from_array(array, value))
            known.append(value)
        graph.node.append(helper.make_node(operator, known, names, **attributes))
        return names[0]

    last = write(add, "before")
    graph.node.append(helper.make_node("Identity", [last], ["Y"]))
    return model


def _nothing(nodes: list[Any], constants: list[Any], k: int) -> list[str]:
    """Zeros (n, k) that only depend on the number of rows."""
    from onnx import helper, numpy_helper

    constants += [numpy_helper.from_array(np.array([0], dtype=np.int64), "first"),
                  numpy_helper.from_array(np.array([k], dtype=np.int64), "width")]
    nodes += [helper.make_node("Shape", ["X"], ["shape"]), helper.make_node("Gather", ["shape", "first"], ["rows"]),
              helper.make_node("Concat", ["rows", "width"], ["size"], axis=0),
              helper.make_node("ConstantOfShape", ["size"], ["zeros"],
                               value=numpy_helper.from_array(np.zeros(1, dtype=np.float64)))]
    return ["zeros"]


def _finish(nodes: Any, constants: Any, features: int, k: int, model: Any) -> Any:
    kind = model.graph.output[0].type.tensor_type.elem_type
    return _model(nodes, constants, features, k, kind, list(model.opset_import))
