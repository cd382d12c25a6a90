"""ONNX graphs on ONNX Runtime, one thread unless more are asked for: exact, small, no training library needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rightfit.errors import PackageError
from rightfit.package.cores import THREADS, Core, _tap
from rightfit.package.onnx_check import check


def load(path: Path) -> Callable[[Any], Any]:
    """The graph's function from X float32 (n, f) to Y (n, k). Raises PackageError for what is unsafe or cannot run.

    The bytes that were checked are the bytes that run; threads are one, so that a served row never waits for a pool,
    unless `rightfit.load` was asked for more.
    """
    content = path.read_bytes()
    check(content, path.name)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS.get(), 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for every status code
        reason = str(error).splitlines()[0][:300]
        raise PackageError(f"an ONNX graph must run on onnxruntime {onnxruntime.__version__}; got file={path.name!r} "
                           f"and {reason!r}, write the package again.") from error
    inputs, outputs = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if inputs != ["X"] or outputs != ["Y"]:
        raise PackageError(f"an ONNX graph must have one input X and one output Y; got inputs={inputs} "
                           f"and outputs={outputs}.")
    run = session.run
    return _tap.tapped(str(path), lambda X: run(["Y"], {"X": X})[0])


SPEC = Core(name="onnx", load=load, requires=("onnxruntime",))
