"""TFLite: the graph for phones and microcontrollers, by onnx2tf, compared with the original on the package's sample."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.delivery.export import Target
from rightfit.delivery.export._card import card
from rightfit.errors import DataError, Unavailable, UsageError
from rightfit.package import LoadedModel, load, write
from rightfit.package.cores import _tap

NEEDED = ("onnx2tf", "tensorflow")
TOLERANCE = 1e-3
PROVEN = 32
PICTURES = "calibration_image_sample_data_20x128x128x3_float32.npy"
"""What onnx2tf tries a graph of pictures on; it would fetch them if they did not lie where it works."""


def _only_graph(model: LoadedModel, package: Path) -> Path:
    """The one ONNX graph of standard operators. Raises UsageError for a model that is none."""
    import onnx

    graphs = sorted(package.rglob("*.onnx"))
    family = model.info["candidate"]["family"]
    if len(graphs) != 1:
        raise UsageError(f"a TFLite export needs a model that is one ONNX graph; got family={family!r} with "
                         f"graphs={len(graphs)}, export it to onnx, mlflow or docker.")
    found = onnx.load(str(graphs[0]))
    foreign = sorted({node.op_type for node in found.graph.node if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise UsageError(f"a TFLite export needs a network or a linear model, because TFLite has no operator for "
                         f"others; got family={family!r} with operators={foreign}, export it to onnx or docker.")
    return graphs[0]


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Nothing reaches the terminal meanwhile: TensorFlow writes there from C++, past sys.stdout and sys.stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = [os.dup(number) for number in (1, 2)]
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            for number in (1, 2):
                os.dup2(nowhere.fileno(), number)
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
    finally:
        for number, one in zip((1, 2), kept, strict=True):
            os.dup2(one, number)
            os.close(one)


def _single(graph: Path, folder: Path) -> Path:
    """A copy with float32 wherever the graph has float64, which TFLite cannot multiply; what it costs, parity tells.

    onnx2tf writes into the file it is given, so that it must never be the package's own.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    found = onnx.load(str(graph))
    for value in found.graph.initializer:
        if value.data_type == TensorProto.DOUBLE:
            value.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(value).astype(np.float32), value.name))
    for node in found.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
            elif attribute.HasField("t") and attribute.t.data_type == TensorProto.DOUBLE:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
    for info in [*found.graph.input, *found.graph.output]:
        if info.type.tensor_type.elem_type == TensorProto.DOUBLE:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    del found.graph.value_info[:]
    onnx.save(found, str(folder / "single.onnx"))
    return folder / "single.onnx"


def _convert(graph: Path, folder: Path) -> Path:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Unavailable(f"a TFLite export needs onnx2tf and TensorFlow; got no {missing[0]}, install them with "
                          "`pip install onnx2tf tensorflow` in an environment of their own.")
    single = _single(graph, folder)
    pictures = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
    np.save(folder / PICTURES, pictures)
    try:
        with _hushed(), contextlib.chdir(folder):
            import_module("onnx2tf").convert(
                input_onnx_file_path=str(single), output_folder_path=str(folder), batch_size=1,
                non_verbose=True, keep_shape_absolutely_input_names=["X"])
    except (Exception, SystemExit) as error:  # onnx2tf raises and exits as it likes
        said = " ".join(str(error).split())[:200]
        raise DataError(f"a graph must be convertible by onnx2tf; got {type(error).__name__} {said!r}, export it to "
                        "onnx.") from None
    found = sorted(folder.glob("*_float32.tflite"))
    if not found:
        raise DataError("a graph must be convertible by onnx2tf; got no float32 model from it, export it to onnx.")
    return found[0]


def _heard(package: Path) -> Any:
    """What the graph is given for the package's own sample, one row at a time: (n, ...)."""
    with _tap.listening() as heard:
        model = load(package)
        for record in model.sample[:PROVEN]:
            model.predict_one(record)
    return np.concatenate(next(iter(heard.values())))


def parity(tflite: Path, graph: Path, X: Any) -> float:
    """The greatest difference of both graphs' outputs over rows X, relative to the greatest output (at least 1)."""
    import onnxruntime

    interpreter = import_module("tensorflow").lite.Interpreter(model_path=str(tflite))
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    session = onnxruntime.InferenceSession(graph.read_bytes(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for row in X:
        expected = session.run(["Y"], {"X": row[None]})[0]
        interpreter.set_tensor(entry["index"], row[None].astype(entry["dtype"]))
        interpreter.invoke()
        found = interpreter.get_tensor(exit_["index"])
        worst = max(worst, float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max()))))
    return worst


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    graph = _only_graph(model, package)
    with tempfile.TemporaryDirectory() as place:
        made = _convert(graph, Path(place))
        with _hushed():
            apart = parity(made, graph, _heard(package))
        if not apart <= TOLERANCE:
            raise DataError(f"a TFLite model must say what the graph says, within {TOLERANCE:g}; got difference="
                            f"{apart:.3g} on the package's sample, export it to onnx.")
        shutil.copyfile(made, folder / "model.tflite")
    write.install(package, folder / "package")
    (folder / "README.md").write_text(
        card(model) + f"\n`model.tflite` takes X, one row, and gives Y; it differs from the ONNX graph by at most "
        f"{apart:.2g} on the package's sample. X is made from a row by `package/encoder.json` (for tables) or as "
        "`package/package.json` says under runtime.\n", encoding="utf-8")


SPEC = Target(name="tflite", write=_write, doc="the graph for phones, by onnx2tf, compared with the original")
