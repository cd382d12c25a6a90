"""Triton: a model repository with the whole model (raw columns in) and, where it is one ONNX graph, the bare graph."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from rightfit.delivery.export import Target, _needs
from rightfit.delivery.export._card import card
from rightfit.package import LoadedModel, write

ROWS = 64
TYPES = {"tensor(float)": "TYPE_FP32", "tensor(double)": "TYPE_FP64", "tensor(int64)": "TYPE_INT64",
         "tensor(int32)": "TYPE_INT32", "tensor(uint8)": "TYPE_UINT8", "tensor(float16)": "TYPE_FP16"}
_MODEL = """# Raw columns in, label and probabilities out, as `rightfit.load(...).predict_one` gives them.
from rightfit.delivery.export._triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
"""
_USE = """
## Run it

`models/{name}` runs in Triton's Python backend, which must have what `requirements.txt` lists, and the rightfit of the
wheel beside it (`pip install -r requirements.txt && pip install --no-deps rightfit-*.whl` in the container):

```bash
tritonserver --model-repository models
```

Numbers are FP64, NaN when unknown; other columns are BYTES, empty when unknown. `models/{name}_graph`, where it is
there, is the ONNX graph alone, X to Y: X is what the package makes of a row, so use it only from code that does that.
"""


def tensor(name: str, kind: str, dims: list[int]) -> str:
    """One input or output of a config.pbtxt.

    >>> tensor("age", "TYPE_FP64", [1])
    '{ name: "age" data_type: TYPE_FP64 dims: [ 1 ] }'
    """
    sizes = ", ".join(map(str, dims))
    return f"{{ name: {json.dumps(name, ensure_ascii=False)} data_type: {kind} dims: [ {sizes} ] }}"


def config(name: str, how: str, inputs: list[str], outputs: list[str], rows: int = ROWS) -> str:
    """A config.pbtxt."""
    lines = [f'name: "{name}"', how, f"max_batch_size: {rows}"]
    for word, tensors in (("input", inputs), ("output", outputs)):
        lines += [f"{word} [", ",\n".join(f"  {one}" for one in tensors), "]"]
    return "\n".join([*lines, *(["dynamic_batching { }"] if rows else []), ""])


def _whole(model: LoadedModel, name: str) -> str:
    task = model.task
    inputs = [tensor(c.name, "TYPE_FP64" if c.kind == "numeric" else "TYPE_STRING", [1]) for c in model.schema.features]
    outputs = [tensor("label", "TYPE_STRING", [1]), tensor("probabilities", "TYPE_FP64", [len(task.classes)])] \
        if task.classifies else [tensor("value", "TYPE_FP64", [task.outputs])]
    return config(name, 'backend: "python"', inputs, outputs)


def _graph(path: Path, name: str) -> str:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    batched = all(not isinstance(one.shape[0], int) for one in [*session.get_inputs(), *session.get_outputs()])
    inputs, outputs = ([tensor(one.name, TYPES[one.type], [n if isinstance(n, int) else -1
                                                           for n in (one.shape[1:] if batched else one.shape)])
                        for one in side] for side in (session.get_inputs(), session.get_outputs()))
    return config(name, 'platform: "onnxruntime_onnx"', inputs, outputs, rows=ROWS if batched else 0)


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    name = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(model.task.target)) or "model"
    whole = folder / "models" / name
    (whole / "1").mkdir(parents=True)
    write.install(package, whole / "1" / "package")
    (whole / "1" / "model.py").write_text(_MODEL, encoding="utf-8")
    (whole / "config.pbtxt").write_text(_whole(model, name), encoding="utf-8")
    graphs = sorted(package.rglob("*.onnx"))
    if len(graphs) == 1:
        bare = folder / "models" / f"{name}_graph"
        (bare / "1").mkdir(parents=True)
        shutil.copyfile(graphs[0], bare / "1" / "model.onnx")
        (bare / "config.pbtxt").write_text(_graph(graphs[0], f"{name}_graph"), encoding="utf-8")
    _needs.wheel(folder)
    (folder / "requirements.txt").write_text("\n".join(_needs.model(model)) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(model) + _USE.format(name=name), encoding="utf-8")


SPEC = Target(name="triton", write=_write, doc="a model repository for the Python and ONNX Runtime backends")
