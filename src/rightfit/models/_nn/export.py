"""A torch module to one ONNX graph: input X, output Y, any batch size."""

from __future__ import annotations

import io
import threading
import warnings
from typing import Any

from rightfit.errors import UsageError

OPSET = 17
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_one_at_a_time = threading.Lock()  # the exporter keeps state in globals; members of a blend are fitted in threads


def to_onnx(net: Any, example: tuple[Any, ...], opset: int = OPSET) -> bytes:
    """The module in eval mode as ONNX: net(X) -> Y, with a dynamic batch, and a dynamic length for ids int64 (n, L).

    example: a tuple of one CPU tensor of 2 rows or more. The tracing exporter is used because it takes half a second
    where the other takes five. Raises UsageError when the graph needs more than the standard operators.
    """
    import onnx
    import torch

    net = net.cpu().eval()
    axes = {0: "n", 1: "length"} if example[0].ndim == 2 and not example[0].is_floating_point() else {0: "n"}
    file: Any = io.BytesIO()
    with _one_at_a_time, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, example, file, input_names=["X"], output_names=["Y"], opset_version=opset,
                          dynamic_axes={"X": axes, "Y": {0: "n"}}, dynamo=False)
    content: bytes = file.getvalue()
    model = onnx.load_from_string(content)
    strange = {node.domain for node in model.graph.node} - set(DOMAINS)
    if strange or model.functions:
        raise UsageError(f"an exported network must use the standard operators only; got domain={min(strange)!r}."
                         if strange else "an exported network must be one plain graph; got functions in it.")
    return content
