"""Three small networks made of the blocks that networks are made of, to hold a roofline against what it must add up to.

An operator alone finds its weights in the cache; in a network it finds what the one before left there. What that costs
is measured on whole graphs: residual blocks of 3 x 3 convolutions, inverted residuals of depthwise ones, transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

TOKENS, WIDTH, HEADS, DEPTH = 128, 256, 4, 4
RESIDUAL = ((64, 56), (128, 28), (256, 14), (512, 7))  # (channels, side), two blocks each
INVERTED = ((16, 112, 3), (24, 56, 3), (40, 28, 5), (80, 14, 3), (112, 14, 5), (160, 7, 5))  # (channels, side, kernel)


class Graph:
    """Nodes and constants, added one after the other; each method gives the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.random = np.random.default_rng(0)

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """An operator."""
        from onnx import helper

        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, value: Any) -> str:
        """A tensor that does not change."""
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def drawn(self, *shape: int) -> str:
        """Random float32 weights that keep values of about the same size."""
        scale = (2.0 / max(np.prod(shape[1:]) if len(shape) > 2 else shape[0], 1)) ** 0.5
        return self.constant(self.random.normal(0, scale, shape).astype(np.float32))

    def convolution(self, x: str, before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1) -> str:
        """A convolution with a bias that keeps the side, or halves it."""
        weight = self.drawn(after, before // groups, kernel, kernel)
        return self.add("Conv", [x, weight, self.constant(np.zeros(after, np.float32))], kernel_shape=[kernel] * 2,
                        pads=[kernel // 2] * 4, strides=[stride] * 2, group=groups)

    def product(self, x: str, before: int, after: int) -> str:
        """A product with weights, and a bias."""
        return self.add("Add", [self.add("MatMul", [x, self.drawn(before, after)]), self.drawn(after)])

    def normalised(self, x: str, width: int) -> str:
        """Layer normalisation."""
        return self.add("LayerNormalization", [x, self.constant(np.ones(width, np.float32)),
                                               self.constant(np.zeros(width, np.float32))])


def residual(graph: Graph) -> str:
    """As in a ResNet-18: two 3 x 3 convolutions and a sum."""
    x, before = "X", RESIDUAL[0][0]
    for channels, side in RESIDUAL:
        for _ in range(2):
            stride = 1 if channels == before or side == RESIDUAL[0][1] else 2
            y = graph.add("Relu", [graph.convolution(x, before, channels, 3, stride=stride)])
            y = graph.convolution(y, channels, channels, 3)
            keep = x if channels == before else graph.convolution(x, before, channels, 1, stride=stride)
            x, before = graph.add("Relu", [graph.add("Add", [y, keep])]), channels
    return x


def inverted(graph: Graph) -> str:
    """As in a MobileNet: wider by 1 x 1, depthwise, narrower by 1 x 1, two blocks of each size."""
    x, before, last = "X", INVERTED[0][0], INVERTED[0][1]
    for channels, side, kernel in INVERTED:
        for _ in range(2):
            wide, stride = 4 * before, last // side
            y = graph.add("Relu", [graph.convolution(x, before, wide, 1)])
            y = graph.add("Relu", [graph.convolution(y, wide, wide, kernel, stride=stride, groups=wide)])
            y = graph.convolution(y, wide, channels, 1)
            x = graph.add("Add", [y, x]) if channels == before and stride == 1 else y
            before, last = channels, side
    return x


def transformer(graph: Graph) -> str:
    """As in a small BERT: attention and two products in each block, normalised."""
    x, each = "X", WIDTH // HEADS
    apart, whole = (graph.constant(np.array(s)) for s in ([1, TOKENS, HEADS, each], [1, TOKENS, WIDTH]))
    scale = graph.constant(np.float32(each**-0.5))
    for _ in range(DEPTH):
        q, k, v = (graph.add("Transpose", [graph.add("Reshape", [graph.product(x, WIDTH, WIDTH), apart])],
                             perm=[0, 2, 3, 1] if one == 1 else [0, 2, 1, 3]) for one in range(3))
        weight = graph.add("Softmax", [graph.add("Mul", [graph.add("MatMul", [q, k]), scale])])
        y = graph.add("Transpose", [graph.add("MatMul", [weight, v])], perm=[0, 2, 1, 3])
        x = graph.normalised(graph.add("Add", [x, graph.product(graph.add("Reshape", [y, whole]), WIDTH, WIDTH)]),
                             WIDTH)
        y = graph.product(graph.add("Gelu", [graph.product(x, WIDTH, 4 * WIDTH)]), 4 * WIDTH, WIDTH)
        x = graph.normalised(graph.add("Add", [x, y]), WIDTH)
    return x


# The kinds of operators that each of them stands for, its input's shape, and how it is made.
NETWORKS: Mapping[str, tuple[tuple[str, ...], tuple[int, ...], Callable[[Graph], str]]] = {
    "residual": (("conv",), (1, RESIDUAL[0][0], *[RESIDUAL[0][1]] * 2), residual),
    "inverted": (("conv1", "depthwise", "grouped"), (1, INVERTED[0][0], *[INVERTED[0][1]] * 2), inverted),
    "transformer": (("matmul", "batched"), (1, TOKENS, WIDTH), transformer)}


def content(name: str) -> bytes:
    """One of NETWORKS as an ONNX graph from X."""
    from onnx import TensorProto, helper, numpy_helper

    _, shape, make = NETWORKS[name]
    graph = Graph()
    last = make(graph)
    inside = helper.make_graph(
        graph.nodes, name, [helper.make_tensor_value_info("X", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in graph.constants.items()])
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    return bytes(model.SerializeToString())
