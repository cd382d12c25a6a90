"""Latency, memory, size and training time before they are measured: layer by layer under this machine's roofline.

    time = sum over operators of max(FLOPs / measured rate of such shapes, bytes / memory bandwidth) + overhead

(Williams, Waterman and Patterson 2009, "Roofline"). What comes out is called a forecast and carries an interval; it
never satisfies a limit.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit.errors import UsageError
from rightfit.records import frozen
from rightfit.resources import roofline
from rightfit.resources.roofline import Roofline

# Half-widths as shares, from benchmarks/forecast.py.
LATENCY = 0.25
MEMORY = 0.15
SIZE = 0.05
TRAINING = 0.30
CACHE_BYTES = 16 * 2**20  # weights beyond this are read from memory at every call
FREE = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant", "ConstantOfShape",
                  "Dropout"))
SAME_AS = {"Sub": "Add", "BiasGelu": "Gelu", "FastGelu": "Gelu", "QuickGelu": "Gelu", "Max": "Add", "Min": "Add",
           "Neg": "Relu", "LeakyRelu": "Relu", "Elu": "Tanh",
           "SkipSimplifiedLayerNormalization": "SkipLayerNormalization",
           "SimplifiedLayerNormalization": "LayerNormalization", "LayerNorm": "LayerNormalization", "Log": "Exp",
           "EmbedLayerNormalization": "SkipLayerNormalization", "AveragePool": "MaxPool", "ReduceSum": "ReduceMean",
           "ReduceMax": "ReduceMean", "GlobalMaxPool": "GlobalAveragePool", "Split": "Slice", "Pad": "Concat",
           "Where": "Add", "Cast": "Relu", "Expand": "Concat", "BatchNormalization": "Mul", "Equal": "Add",
           "LogSoftmax": "Softmax", "Reciprocal": "Div", "Tile": "Concat", "Abs": "Relu", "And": "Add", "Not": "Relu",
           "InstanceNormalization": "LayerNormalization", "GroupNormalization": "LayerNormalization", "Greater": "Add"}
PRODUCTS = frozenset(("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "TransposeMatMul"))
CONVOLUTIONS = frozenset(("Conv", "FusedConv"))
CONVOLVED = ("conv1", "conv", "depthwise", "grouped", "stem")
SPATIAL = ("conv", "depthwise", "grouped", "stem")
COLOURS = 4  # input channels of a network's first convolution, at most
# Bytes of a process for each byte of weights beside the file as it was read: its parse and the packed copy of the
# runtime, which packs convolutions with room for a kernel, the largest of them last. Fitted by least squares on the
# networks of benchmarks/forecast.py that say so; the others there were not looked at.
COPIES, CONVOLVED_COPIES, LARGEST_COPIES = 1.65, 2.4, 2.4
ACTIVATIONS = 2.3  # for each byte of the largest pair of tensors that live at the same time


@frozen
class Forecast:
    """A figure that was not measured, with the interval in which it is expected; `unknown`: share of guessed operators.

    `kind` says so wherever it is shown: a forecast never satisfies a limit.
    """

    value: float
    low: float
    high: float
    unknown: float = 0.0
    kind: str = "forecast"


def _around(value: float, share: float, unknown: float = 0.0) -> Forecast:
    """An interval that is even on the scale of ratios, wider by what is guessed."""
    ratio = (1 + share) * (1 + unknown)
    return Forecast(value=value, low=value / ratio, high=value * ratio, unknown=unknown)


@frozen
class Layer:
    """One operator as the runtime will run it: FLOPs, bytes of its constants, and elements that it reads or writes."""

    operator: str
    kind: str
    sizes: tuple[float, ...]
    flops: float
    weights: float
    elements: float


def layers(content: bytes) -> tuple[list[Layer], float]:
    """(operators after the runtime's fusions, peak bytes of activations) of an ONNX graph, for one row.

    Raises UsageError for what the runtime cannot load or whose shapes are not known.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        _one_row(model)
        with tempfile.TemporaryDirectory(prefix="rightfit-") as folder:
            path = Path(folder) / "graph.onnx"
            roofline.session(model.SerializeToString(), path)
            simplified = onnx.load(str(path))
        shapes = _shapes(simplified)
    except Exception as error:  # both libraries raise classes of their own
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"a forecast needs a graph that the runtime can load; got {reason!r}.") from None
    graph = simplified.graph
    constants = {item.name: _volume(item.dims) * _width(item.data_type) for item in graph.initializer}
    found = [_layer(node, shapes, constants) for node in graph.node]
    live = max((sum(4.0 * _volume(shapes.get(name, ())) for name in (*node.input, *node.output)
                    if name not in constants) for node in graph.node), default=0.0)
    return found, live


def _one_row(model: Any) -> None:
    """Symbolic dimensions become 1: one row is what latency is promised for."""
    for item in (*model.graph.input, *model.graph.output):
        for dimension in item.type.tensor_type.shape.dim:
            if not dimension.HasField("dim_value") or dimension.dim_value <= 0:
                dimension.dim_value = 1


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a simplified graph, by running it once on zeros.

    What the runtime has fused has no shape that could be inferred.
    """
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import helper

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    there = {item.name for item in shown.graph.output}
    names = [name for node in shown.graph.node for name in node.output if name and name not in there]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    run = ort.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {item.name: np.zeros([d.dim_value for d in item.type.tensor_type.shape.dim],
                                helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type))
            for item in shown.graph.input}
    wanted = [item.name for item in run.get_outputs()]
    found = {name: tuple(np.shape(value)) for name, value in zip(wanted, run.run(wanted, feed), strict=True)}
    return {**found, **{name: tuple(np.shape(value)) for name, value in feed.items()},
            **{item.name: tuple(item.dims) for item in shown.graph.initializer}}


def _factor(node: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """(inner, columns) of the second matrix of a product."""
    turned = any(a.name == "transB" and a.i for a in node.attribute)
    return (shape[-1], shape[-2]) if turned else (shape[-2], shape[-1])


def _volume(shape: Sequence[int]) -> float:
    return float(math.prod(shape)) if shape else 1.0


def _width(kind: int) -> int:
    """Bytes of one element of an ONNX data type."""
    from onnx import helper

    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _layer(node: Any, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, float]) -> Layer:
    weights = sum(constants.get(name, 0.0) for name in node.input)
    out = _volume(shapes.get(node.output[0], shapes.get(node.input[0], ()) if node.input else ()))
    read = max((_volume(shapes.get(name, ())) for name in node.input if name not in constants), default=0.0)
    plain: dict[str, Any] = {"operator": node.op_type, "weights": weights, "elements": max(out, read)}
    if node.op_type in CONVOLUTIONS:
        after, each, *kernel = shapes.get(node.input[1], (1, 1, 1))
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        area, side = math.prod(kernel), out / after
        flops = 2.0 * out * each * area
        if each <= COLOURS and groups == 1:
            return Layer(kind="stem", sizes=(float(after), side, float(area)), flops=flops, **plain)
        if groups > 1 and each == 1:
            return Layer(kind="depthwise", sizes=(float(after), side, float(area)), flops=flops, **plain)
        if groups > 1 and area > 1:
            return Layer(kind="grouped", sizes=(float(after), float(each), side), flops=flops, **plain)
        return Layer(kind="conv" if area > 1 else "conv1", sizes=(float(after * each), side), flops=flops, **plain)
    if node.op_type in PRODUCTS:
        second = shapes.get(node.input[1], ())
        inner, columns = _factor(node, second) if len(second) > 1 else (max(second or (1,)), 1)
        flops = 2.0 * out * inner
        if node.input[1] in constants:
            return Layer(kind="matmul", sizes=(out / columns, float(inner * columns)), flops=flops, **plain)
        rows = (shapes.get(node.output[0], (1, 1))[-2:] or (1,))[0]
        sizes = (max(out / columns / rows, 1.0), float(rows), float(inner * columns))
        return Layer(kind="batched", sizes=sizes, flops=flops, **plain)
    return Layer(kind="", sizes=(), flops=0.0, **plain)


def seconds(found: Sequence[Layer], line: Roofline) -> tuple[float, float]:
    """(seconds of one call, share of it that was guessed) of operators under a roofline.

    >>> line = Roofline(rates={}, each={"Add": 1e-9}, node_s=1e-6, call_s=0.0, bytes_per_s=1e10, base_mib=0.0)
    >>> round(seconds([Layer(operator="Add", kind="", sizes=(), flops=0, weights=0, elements=1000)], line)[0], 9)
    2e-06
    """
    heavy = sum(layer.weights for layer in found) > CACHE_BYTES
    total, guessed = line.call_s, 0.0
    around = line.scale.get("conv1" if any(layer.kind in CONVOLVED for layer in found) else "matmul", 1.0)
    for layer in found:
        spent = line.node_s
        if layer.kind:
            moved = layer.weights / line.bytes_per_s if heavy else 0.0
            spent += max(layer.flops / line.rate(layer.kind, layer.sizes) * line.scale.get(layer.kind, 1.0), moved)
        elif layer.operator not in FREE:
            name = SAME_AS.get(layer.operator, layer.operator)
            part = layer.elements * line.each.get(name, max(line.each.values())) * around
            guessed += 0.0 if name in line.each else part
            spent += part
        total += spent
    return total, guessed / total if total else 0.0


def latency_ms(content: bytes, line: Roofline | None = None) -> Forecast:
    """Median milliseconds of one row through an ONNX graph on one thread of this machine. Raises UsageError."""
    found, _ = layers(content)
    spent, unknown = seconds(found, line or roofline.here())
    return _around(spent * 1e3, LATENCY, unknown)


def memory_mib(content: bytes, line: Roofline | None = None) -> Forecast:
    """Peak memory in MiB of a process that loads the graph and runs one row. Raises UsageError."""
    found, live = layers(content)
    spatial = [layer.weights for layer in found if layer.kind in SPATIAL]
    others = sum(layer.weights for layer in found if layer.kind not in SPATIAL)
    held = (COPIES * others + CONVOLVED_COPIES * sum(spatial) + LARGEST_COPIES * max(spatial, default=0.0)
            + ACTIVATIONS * live + len(content))
    return _around((line or roofline.here()).base_mib + held / 2**20, MEMORY)


def size_mib(parameters: float, bytes_each: float = 4.0) -> Forecast:
    """Size in MiB of a model file from its number of parameters, 0 or more; graphs and names add about a hundredth.

    >>> round(size_mib(1_000_000).value, 2)
    3.86
    """
    if not parameters >= 0:
        raise UsageError(f"parameters must be 0 or more; got parameters={parameters!r}.")
    return _around(parameters * bytes_each / 2**20 * 1.005 + 0.03, SIZE)


def training_s(steps_s: Sequence[float], steps: int, *, setup_s: float = 0.0) -> Forecast:
    """Seconds of training from a few timed steps: their median x the number of steps, and what comes once before.

    steps_s: seconds of single steps after a warm-up, 1 or more, all above 0. The interval is at least 30 % wide, and
    wider where the steps disagree. Raises UsageError.

    >>> training_s([0.1, 0.1, 0.1], 100).value
    10.0
    """
    if not steps_s or min(steps_s) <= 0 or steps < 0:
        raise UsageError(f"training time needs steps that took time; got steps_s={list(steps_s)[:3]!r}, steps={steps}.")
    ordered = sorted(steps_s)
    middle = ordered[len(ordered) // 2]
    spread = (ordered[-1] - ordered[0]) / middle / 2 if len(ordered) > 1 else 0.0
    return _around(setup_s + middle * steps, max(TRAINING, spread))
