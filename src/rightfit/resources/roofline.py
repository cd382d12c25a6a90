"""What the operators of a network reach on this machine: measured once on small graphs, kept in the user's cache.

A rate depends on the shape, so each kind of operator is measured on a few typical shapes; others lie between them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import frozen
from rightfit.resources import home, measure, micro

FORMAT = 3
LINKS = 4  # of a chain, so that its ends, where layouts change, weigh little
SECONDS = 0.012  # for each shape
# (input channels, output channels, side): typical of networks on pictures of 224 pixels
POINTWISE = ((16, 64, 112), (32, 192, 28), (64, 256, 56), (128, 512, 28), (96, 576, 14), (256, 1024, 14), (160, 960, 7),
             (512, 2048, 7))
SPATIAL = ((8, 8, 112), (32, 32, 112), (64, 64, 56), (128, 128, 28), (256, 256, 14), (512, 512, 7), (512, 512, 28))
DEPTHWISE = ((32, 112, 3), (96, 56, 3), (144, 56, 5), (240, 28, 5), (576, 14, 3), (320, 14, 7), (960, 7, 5),
             (40, 56, 7))
# (channels, channels of a group, side)
GROUPED = ((48, 8, 56), (104, 8, 28), (208, 8, 14), (440, 8, 7), (128, 4, 56), (512, 16, 14), (1024, 32, 7))
# (channels after the first convolution of a picture's three, its side, kernel, stride)
STEM = ((32, 224, 3, 2), (64, 224, 7, 2), (96, 224, 4, 4), (192, 224, 16, 16), (16, 160, 3, 2))
# (rows, inner, columns)
MATMUL = ((1, 512, 512), (1, 1280, 1000), (16, 128, 128), (128, 128, 512), (64, 384, 384), (128, 384, 1536),
          (197, 192, 768), (197, 768, 768), (784, 80, 320), (3136, 40, 160))
# (matrices, rows, inner, columns)
BATCHED = ((2, 64, 64, 64), (12, 128, 32, 128), (3, 197, 64, 197), (12, 128, 128, 64))
EACH = ("Add", "Mul", "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Erf", "Exp", "Sqrt", "Pow", "Div",
        "Gelu", "Softmax", "LayerNormalization", "ReduceMean", "GlobalAveragePool", "MaxPool", "Transpose", "Concat",
        "Slice", "Gather", "SkipLayerNormalization")
ELEMENTS = (64, 56, 56)
ROWS = (1, 256, 256)  # of normalisations, which have a cost for each row
KINDS = ("conv1", "conv", "depthwise", "grouped", "stem", "matmul", "batched")
WHOLE_S = 0.15  # for each network of blocks


@frozen
class Roofline:
    """Measured rates, one thread. `rates`: kind -> ((log sizes...), FLOP/s) pairs; `each`: operator -> seconds for an
    element; `node_s`: seconds for an operator with nothing to do; `bytes_per_s` from memory; `base_mib`: a process
    with the runtime and an empty graph; `scale`: how many times longer operators of a kind take inside a network."""

    rates: Mapping[str, Sequence[tuple[Sequence[float], float]]]
    each: Mapping[str, float]
    node_s: float
    call_s: float
    bytes_per_s: float
    base_mib: float
    scale: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def rate(self, kind: str, sizes: Sequence[float]) -> float:
        """FLOP/s between the measured shapes: weights are inverse squares of the distance in logarithms of sizes.

        >>> line = Roofline(rates={"a": [([0.0], 1e9), ([2.0], 4e9)]}, each={}, node_s=0, call_s=0, bytes_per_s=1,
        ...                 base_mib=0)
        >>> round(line.rate("a", [math.e]) / 1e9, 6)
        2.0
        """
        at = [math.log(max(size, 1.0)) for size in sizes]
        total = weighted = 0.0
        for place, rate in self.rates[kind]:
            weight = 1 / (sum((a - b) ** 2 for a, b in zip(at, place, strict=True)) + 1e-2)
            total += weight
            weighted += weight * math.log(rate)
        return math.exp(weighted / total)


def session(content: bytes, optimised: Path | None = None) -> Any:
    """ONNX Runtime as packages run it: one thread. optimised: where its simplified graph is written instead of run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimised is not None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _seconds(nodes: Sequence[Any], shape: Sequence[int], constants: Mapping[str, Any], last: str) -> float:
    """Seconds of a graph from X of this shape to the name `last`."""
    from onnx import TensorProto, helper, numpy_helper

    inside = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", 20),
                                                     helper.make_opsetid("com.microsoft", 1)])
    model.ir_version = 9
    run = session(model.SerializeToString()).run
    feed = {"X": np.random.default_rng(0).random(tuple(shape), np.float32)}
    return micro.best(lambda: run(None, feed), SECONDS)


def _weights(*shape: int) -> Any:
    return np.random.default_rng(1).normal(0, 0.05, shape).astype(np.float32)


def _convolutions(channels: Sequence[int], side: int, kernel: int, each: int = 0) -> tuple[float, float]:
    """(FLOPs, seconds) of a chain of convolutions, each followed by a rectifier, as in networks; each: channels of a
    group, 0 for all of them."""
    from onnx import helper

    nodes, constants, flops, name = [], dict[str, Any](), 0.0, "X"
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        inner = each or before
        constants[f"W{i}"], constants[f"B{i}"] = _weights(after, inner, kernel, kernel), _weights(after)
        nodes += [helper.make_node("Conv", [name, f"W{i}", f"B{i}"], [f"c{i}"], kernel_shape=[kernel] * 2,
                                   pads=[kernel // 2] * 4, group=before // inner),
                  helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        name = f"r{i}"
        flops += 2.0 * after * inner * kernel**2 * side**2
    return flops, _seconds(nodes, (1, channels[0], side, side), constants, name)


def _stem(after: int, side: int, kernel: int, stride: int) -> tuple[float, float]:
    """(FLOPs, seconds) of the first convolution of a network, of three channels, followed by a rectifier."""
    from onnx import helper

    nodes = [helper.make_node("Conv", ["X", "W", "B"], ["c"], kernel_shape=[kernel] * 2, strides=[stride] * 2,
                              pads=[(kernel - stride + 1) // 2] * 4), helper.make_node("Relu", ["c"], ["r"])]
    flops = 2.0 * after * 3 * kernel**2 * (side / stride) ** 2
    return flops, _seconds(nodes, (1, 3, side, side), {"W": _weights(after, 3, kernel, kernel), "B": _weights(after)},
                           "r")


def _products(rows: int, inner: int, columns: int) -> tuple[float, float]:
    from onnx import helper

    nodes = [helper.make_node("MatMul", ["X", "A"], ["a"]), helper.make_node("MatMul", ["a", "B"], ["b"])]
    constants = {"A": _weights(inner, columns), "B": _weights(columns, inner)}
    return 4.0 * rows * inner * columns, _seconds(nodes, (1, rows, inner), constants, "b")


def _batched(count: int, rows: int, inner: int, columns: int) -> tuple[float, float]:
    from onnx import helper

    second = {"Y0": _weights(1, count, inner, columns)}
    # The second factor must not be a constant, or the runtime would pack it beforehand.
    nodes = [helper.make_node("ReduceMean", ["X"], ["m"], keepdims=1),
             helper.make_node("Add", ["Y0", "m"], ["y"]), helper.make_node("MatMul", ["X", "y"], ["a"])]
    both = _seconds(nodes, (1, count, rows, inner), second, "a")
    alone = _seconds(nodes[:2], (1, count, rows, inner), second, "y")
    return 2.0 * count * rows * inner * columns, max(both - alone, 0.1 * both)


def _each(name: str, nothing: float) -> float:
    """Seconds for an element of an operator."""
    from onnx import helper

    c, h, w = ELEMENTS
    constants: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    inputs, size = ["X"], c * h * w
    if name in ("Add", "Mul", "Div", "Concat"):
        inputs = ["X", "X"]
    if name.endswith("LayerNormalization"):
        c, h, w = ROWS
        size, inputs, constants = c * h * w, ["X", "s"], {"s": np.ones(w, np.float32)}
    if name == "SkipLayerNormalization":  # the runtime's own, which it makes of a sum and a normalisation
        inputs, attributes = ["X", "X", "s", "b", "b"], {"domain": "com.microsoft"}
        constants["b"] = np.zeros(w, np.float32)
        return max(_seconds([helper.make_node(name, inputs, ["Y"], **attributes)], (1, h, w), constants, "Y")
                   - nothing, 1e-12) / size
    if name == "Concat":
        attributes["axis"], size = 1, 2 * size
    elif name == "Pow":
        inputs, constants = ["X", "p"], {"p": np.float32(2.0)}
    elif name == "Clip":
        inputs, constants = ["X", "lo", "hi"], {"lo": np.float32(0.0), "hi": np.float32(6.0)}
    elif name == "MaxPool":
        attributes = {"kernel_shape": [3, 3], "pads": [1] * 4}
    elif name == "Transpose":
        attributes = {"perm": [0, 2, 3, 1]}
    elif name == "Slice":
        inputs = ["X", "a", "b", "c"]
        constants = {"a": np.array([1]), "b": np.array([c]), "c": np.array([1])}
    elif name == "Gather":
        inputs, constants, attributes = ["X", "i"], {"i": np.arange(c)[::-1].copy()}, {"axis": 1}
    node = helper.make_node(name, inputs, ["Y"], **attributes)
    return max(_seconds([node], (1, c, h, w), constants, "Y") - nothing, 1e-12) / size


def calibrate() -> dict[str, Any]:
    """Measure every rate in this process, which must be fresh and have one thread; about 2.5 s."""
    from onnx import helper

    def chain(links: int) -> float:
        """Links that the runtime can neither fuse nor drop."""
        names = ["X", *(f"t{i}" for i in range(links))]
        nodes = [helper.make_node("Sin", [a], [b]) for a, b in itertools.pairwise(names)]
        return _seconds(nodes, (1, 8), {}, names[-1])

    call = chain(1)
    base = measure.peak_memory_mib()
    node = max((chain(33) - call) / 32, 1e-8)
    rates: dict[str, list[tuple[list[float], float]]] = {kind: [] for kind in KINDS}

    def add(kind: str, sizes: Sequence[float], found: tuple[float, float], overhead: float) -> None:
        flops, seconds = found
        rates[kind].append(([math.log(s) for s in sizes], flops / max(seconds - overhead, 0.1 * seconds)))

    for a, b, side in POINTWISE:
        add("conv1", (a * b, side * side), _convolutions([a, b] * (LINKS // 2) + [a], side, 1), call + LINKS * node)
    for a, b, side in SPATIAL:
        add("conv", (a * b, side * side), _convolutions([a, b, a], side, 3), call + 2 * node)
    for c, side, kernel in DEPTHWISE:
        add("depthwise", (c, side * side, kernel * kernel), _convolutions([c] * (LINKS + 1), side, kernel, 1),
            call + LINKS * node)
    for c, each, side in GROUPED:
        add("grouped", (c, each, side * side), _convolutions([c] * (LINKS + 1), side, 3, each), call + LINKS * node)
    for after, side, kernel, stride in STEM:
        add("stem", (after, (side / stride) ** 2, kernel * kernel), _stem(after, side, kernel, stride), call + node)
    for rows, inner, columns in MATMUL:
        add("matmul", (rows, inner * columns), _products(rows, inner, columns), call + node)
    for count, rows, inner, columns in BATCHED:
        add("batched", (count, rows, inner * columns), _batched(count, rows, inner, columns), 0.0)
    found = {"format": FORMAT, "rates": rates, "each": {name: _each(name, call) for name in EACH}, "node_s": node,
             "call_s": call, "bytes_per_s": micro.here(0.03)["memory_gb_per_s"] * 1e9, "base_mib": base}
    return found


def read(found: Mapping[str, Any]) -> Roofline:
    """What `calibrate` found, as a record."""
    return Roofline(rates=found["rates"], each=found["each"], node_s=found["node_s"], call_s=found["call_s"],
                    bytes_per_s=found["bytes_per_s"], base_mib=found["base_mib"], scale=found.get("scale", {}))


def _file() -> Path:
    """Where the calibration of this machine and runtime lies."""
    from rightfit import resources

    box, versions = resources.machine(), resources.versions()
    return home.place("roofline", [FORMAT, box["cpu"], box["flags"], box["architecture"], versions.get("onnxruntime")])


def here(fresh: bool = False) -> Roofline:
    """This machine's roofline: from the cache, or measured now in a fresh process (about 3 s) and kept.

    Raises UsageError when the runtime does not run.
    """
    path = _file()
    try:
        found = None if fresh else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not found or found.get("format") != FORMAT:
        done = measure.fresh("rightfit.resources.calibrate")
        try:
            found = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            raise UsageError(f"a forecast needs onnx and onnxruntime to run here; got exit={done.returncode} and "
                             f"{done.stderr.strip()[-200:]!r}, install them.") from None
        home.keep(path, found)
    return read(found)
