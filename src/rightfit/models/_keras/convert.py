"""From a trained Keras network to ONNX bytes, proven on rows."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import Unavailable, UsageError
from rightfit.models._keras import graph
from rightfit.models._nn.loop import finish
from rightfit.models.image._graph import runner
from rightfit.records import Task

PARITY = 1e-4


def network(net: Any, writer: graph.Writer, x: str) -> str:
    """Write the net's nodes after tensor x; layers that `graph` does not know are left to tf2onnx.

    Raises Unavailable when neither can.
    """
    before = len(writer.nodes), len(writer.constants)
    try:
        return graph.write(net, writer, x)
    except graph.Unknown as reason:
        del writer.nodes[before[0]:], writer.constants[before[1]:]
        return _by_tf2onnx(net, writer, x, reason)


def _by_tf2onnx(net: Any, writer: graph.Writer, x: str, reason: Exception) -> str:
    from rightfit.models._keras.backend import keras

    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(place) / "net.onnx"
        try:
            import onnx

            net.export(str(file), format="onnx", verbose=False, opset_version=graph.OPSET,
                       input_signature=[keras().InputSpec(shape=tuple(net.input_shape), dtype="float32", name="X")])
            found = onnx.load(str(file)).graph
        except Exception as error:  # the converter raises whatever it stumbles over, ImportError among it
            raise Unavailable(f"a Keras network must be convertible to ONNX; got error={str(error)[:120]!r}, after: "
                              f"{reason}") from error
    if len(found.input) != 1 or len(found.output) != 1:
        raise Unavailable(f"a Keras network must have one input and one output in ONNX; got "
                          f"inputs={[i.name for i in found.input]}, the converter lost a constant.")
    names = {found.input[0].name: x}

    def renamed(name: str) -> str:
        return names.setdefault(name, f"t_{name}") if name else ""

    for constant in found.initializer:
        constant.name = renamed(constant.name)
        writer.constants.append(constant)
    for node in found.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        node.name = ""
        writer.nodes.append(node)
    return renamed(found.output[0].name)


def to_onnx(net: Any, some: Any, task: Task, shift: tuple[Any, Any] | None = None) -> bytes:
    """The graph X -> Y of a net that gives logits, with what turns them into predictions inside.

    some: rows to prove it on, as X is served: uint8 pictures (m, h, w, 3), or float32 (m, f). shift: mean and scale
    (k,) of standardised targets. Raises Unavailable when the net cannot be converted, UsageError when the graph and
    Keras differ.
    """
    writer = graph.Writer()
    x = "X" if some.dtype == np.float32 else writer("Cast", "X", to=1)
    logits = network(net, writer, x)
    told = np.asarray(net(some.astype(np.float32), training=False), dtype=np.float64)
    if task.classifies:
        y = writer("Sigmoid", logits) if task.problem == "multilabel" else writer("Softmax", logits, axis=-1)
    else:
        mean, scale = shift if shift is not None else (np.zeros(1), np.ones(1))
        y = writer("Add", writer("Mul", logits, writer.constant(scale)), writer.constant(mean))
        told = told * scale + mean
    content = writer.model(y, some.shape[1:], told.shape[1], some.dtype)
    told = finish(told, task)
    away = float(np.abs(told - runner(content)(some)).max(initial=0.0) / max(1.0, float(np.abs(told).max(initial=0))))
    if not away <= PARITY:
        raise UsageError(f"the ONNX graph must compute what Keras computes; got difference={away:.3g}, the network's "
                         f"layers are {', '.join(sorted({type(one).__name__ for one in net.layers}))}.")
    return content
