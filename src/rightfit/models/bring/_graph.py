"""ONNX graphs that others have made: read safely, run, and looked into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.errors import UsageError

CHUNK = 4096


def runner(content: bytes, chunk: int = CHUNK) -> Callable[[Any], Any]:
    """X (n, ...) -> Y float64 (n, k) of a graph with input X and output Y, on ONNX Runtime, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for every status code
        raise UsageError(f"an ONNX graph must run on onnxruntime {onnxruntime.__version__}; got "
                         f"{str(error).splitlines()[0][:200]!r}.") from error

    def run(X: Any) -> Any:
        parts = [session.run(["Y"], {"X": X[at:at + chunk]})[0] for at in range(0, max(len(X), 1), chunk)]
        return np.concatenate(parts).astype(np.float64).reshape(len(X), -1)

    return run
