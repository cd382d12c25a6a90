"""Weights in 8 bits: stored so, and put back to 32 when the model is loaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.tuning.compress._graph import Net, attributes, scaled


def store(net: Net) -> int:
    """Every large float weight that is left as int8 with float scales; returns how many.

    Tables that rows are looked up in keep their 8 bits while they serve; other weights are multiplied out once, when
    ONNX Runtime folds constants on loading, so that they cost no time.
    """
    first: list[Any] = []
    nodes: list[Any] = []
    done: dict[str, str] = {}
    tables: dict[str, tuple[str, str]] = {}
    for node in net.graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type == "Gather" and net.large(name) and attributes(node).get("axis", 0) == 0:
            if name not in tables:
                values, scale = scaled(net.array(name), (0,))
                tables[name] = net.constant(values), net.constant(scale)
            nodes += _lookup(net, node, *tables[name])
            continue
        for place, name in enumerate(node.input):
            if name not in done and name not in tables and net.large(name) and len(net.constants[name].dims) > 1:
                small, scales = rounded(node, place, net.array(name))
                done[name] = net.add("Cast", net.constant(small), to=1)
                for scale in scales:
                    done[name] = net.add("Mul", done[name], net.constant(scale))
                first += net.taken()
        nodes.append(node)
    for node in nodes:
        node.input[:] = [done.get(name, name) for name in node.input]
    net.put([*first, *nodes])
    return len(done) + len(tables)


def rounded(node: Any, place: int, values: Any) -> tuple[Any, list[Any]]:
    """(int8 values, float32 scales whose product with them is nearly `values`), as `store` keeps a weight.

    One scale for each output channel, and one for each input channel, the root of its largest weight: inputs that are
    large have small weights, which would fall between the steps of the others (as in Lin et al. 2024, AWQ).
    """
    keep = channels(node, place, values.ndim)
    axis = _incoming(node, place, values)
    if axis is None:
        small, scale = scaled(values, keep)
        return small, [scale]
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.sqrt(np.abs(values).max(axis=others, keepdims=True))
    largest = np.maximum(largest, max(1e-3 * float(largest.max()), 1e-12)).astype(np.float32)
    small, scale = scaled(values / largest, keep)
    return small, [scale, largest]


def restored(node: Any, place: int, values: Any) -> Any:
    """The values as they come back."""
    small, scales = rounded(node, place, values)
    out = small.astype(np.float32)
    for scale in scales:
        out = out * scale
    return out


def _lookup(net: Net, node: Any, values: str, scale: str) -> list[Any]:
    """The rows of an embedding from its 8 bits, each with its scale: exact to half a step of its own range."""
    rows = net.add("Cast", net.add("Gather", values, node.input[1], axis=0), to=1)
    net.add("Mul", rows, net.add("Gather", scale, node.input[1], axis=0), out=node.output[0])
    return net.taken()


def channels(node: Any, place: int, rank: int) -> tuple[int, ...]:
    """The axes of a weight along which scales differ: the output channels where they are known."""
    if node.op_type == "ConvTranspose":
        return (1,)
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return tuple(range(rank - 1))
    if node.op_type == "MatMul" and place == 1:
        return tuple(axis for axis in range(rank) if axis != rank - 2)
    if node.op_type == "Gemm" and place == 1 and not attributes(node).get("transB", 0):
        return (1,)
    return (0,)


def _incoming(node: Any, place: int, values: Any) -> int | None:
    """The axis of a layer's input channels, where there are several of them to one output."""
    if place != 1 or values.ndim < 2:
        return None
    if node.op_type == "Conv":
        return 1 if values.shape[1] > 1 else None
    if node.op_type == "Gemm":
        return 1 if attributes(node).get("transB", 0) else 0
    return 0 if node.op_type == "MatMul" and values.ndim == 2 else None
