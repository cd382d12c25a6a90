"""Matrix products in 8 bits, each row of activations scaled by its own largest value as it comes.

ONNX's DynamicQuantizeLinear takes one range over a whole batch, so that a row's prediction would depend on the rows
beside it. One range a row costs a few operators more, is more accurate, and leaves rows independent (as in
LLM.int8, Dettmers et al. 2022, and ZeroQuant, Yao et al. 2022). Convolutions stay in 32 bits: ConvInteger was measured
3.5 to 8 times slower than them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import Candidate, Compression, Dataset, Family, Task
from rightfit.tuning.compress import _bias, _graph, _inputs
from rightfit.tuning.compress._graph import Net, attributes
from rightfit.tuning.compress._weights8 import restored, store

POSITIVE = frozenset(("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt"))
TINY = 1e-20  # so that a row of zeros is divided by something


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """One variant for every network."""
    return ({},) if _graph.neural(family) else ()


class _Rows:
    """Activations as uint8 with one float scale a row; what several products read is prepared once."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.made: dict[str, tuple[str, str, str, float]] = {}
        self.positive = {out for node in net.graph.node if node.op_type in POSITIVE for out in node.output}

    def __call__(self, name: str) -> tuple[str, str, str, float]:
        """(uint8 values, zero point, largest absolute value (..., 1), steps that it is worth)."""
        if name not in self.made:
            net, signed = self.net, name not in self.positive
            steps = 127.0 if signed else 255.0
            inside = net.add("Abs", name) if signed else name
            if net.opset >= 18:
                peak = net.add("ReduceMax", inside, net.constant(np.array([-1], np.int64)), keepdims=1)
            else:
                peak = net.add("ReduceMax", inside, axes=[-1], keepdims=1)
            peak = net.add("Add", peak, net.constant(np.float32(TINY)))
            times = net.add("Mul", name, net.add("Div", net.constant(np.float32(steps)), peak))
            # Cast cuts off; half a step more makes it round, and what is cast is never negative.
            lifted = net.add("Add", times, net.constant(np.float32(128.5 if signed else 0.5)))
            small = net.add("Cast", lifted, to=2)
            self.made[name] = small, net.constant(np.uint8(128 if signed else 0)), peak, steps
        return self.made[name]


def _product(net: Net, rows: _Rows, node: Any, most: int) -> None:
    """The nodes of one matrix product in 8 bits."""
    given = attributes(node)
    weight = net.array(node.input[1])
    weight = weight.T if given.get("transB", 0) else weight
    values, scale = _graph.scaled(weight * np.float32(given.get("alpha", 1.0)), (1,), most)
    small, zero, peak, steps = rows(node.input[0])
    whole = net.add("Cast", net.add("MatMulInteger", small, net.constant(values), zero), to=1)
    scale = (scale[0] / np.float32(steps)).astype(np.float32)
    biased = len(node.input) > 2 and bool(node.input[2])
    done = net.add("Mul", net.add("Mul", whole, peak), net.constant(scale), **({} if biased else {
        "out": node.output[0]}))
    if biased:
        bias = node.input[2]
        if given.get("beta", 1.0) != 1.0:
            bias = net.add("Mul", bias, net.constant(np.float32(given["beta"])))
        net.add("Add", done, bias, out=node.output[0])


def _fits(net: Net, node: Any) -> bool:
    if node.op_type not in ("MatMul", "Gemm") or not net.large(node.input[1]) or node.input[0] in net.constants:
        return False
    return len(net.constants[node.input[1]].dims) == 2 and not attributes(node).get("transA", 0)


def _back(net: Net, node: Any, name: str, most: int) -> Any:
    """A weight as it will count, None where it stays."""
    if not net.large(name):
        return None
    if not _fits(net, node):
        return restored(node, 1, net.array(name))
    small, scale = _graph.scaled(net.array(name), (0,) if attributes(node).get("transB", 0) else (1,), most)
    return small * scale


def apply(folder: Path, meta: Mapping[str, Any], rows: Dataset, task: Task, params: Mapping[str, Any],
          seed: int) -> dict[str, Any]:
    """Compute products with constant weights in 8 bits and store every other large weight in 8 bits too.

    Weights: symmetric, one scale for each output; 7 bits where the machine would saturate. Biases take back what
    rounding shifts on up to 64 of the rows. Raises UsageError where no
    product can be turned: nothing would be faster.
    """
    _graph.files(folder, meta, SPEC.name)
    most, heard = _graph.eight_bits(), _inputs.some(folder, meta, rows, seed)

    def change(model: Any, path: Path) -> tuple[Any, int]:
        net = Net(_graph.simplified(model))
        _bias.correct(net, heard.get(str(path), ()), lambda node, name: _back(net, node, name, most))
        quantised, nodes, count = _Rows(net), list[Any](), 0
        for node in net.graph.node:
            if _fits(net, node):
                _product(net, quantised, node, most)
                nodes += net.taken()
                count += 1
            else:
                nodes.append(node)
        net.put(nodes)
        if count:
            store(net)
        return net.model, count

    try:
        _graph.rewritten(folder, meta, SPEC.name, change)
    except UsageError as error:
        raise UsageError(f"{SPEC.name} needs matrix products with constant weights: {error}") from None
    return {**meta, "tolerance": _graph.STEPPED}


SPEC = Compression(name="int8_dynamic", plan=plan, apply=apply, requires=("onnx", "onnxruntime"),
                   doc="Computes matrix products in 8 bits, each row scaled by itself; convolutions stay in 32.")
