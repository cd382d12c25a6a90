"""A ready ONNX file of the user's, onnx:FILE?option=value: it is not trained, but judged, measured and served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.data.encode import Encoder
from rightfit.errors import UsageError
from rightfit.models._nn import weights
from rightfit.models.bring import _graph, _source
from rightfit.models.image._net import ImageModel
from rightfit.records import Dataset, Facts, Family, Need, Problem, Task

TRY = 64  # training rows on which its outputs are looked at
OPTIONS = {"tabular": {"columns", "classes", "logits", "output"},
           "image": {"size", "scale", "mean", "std", "classes", "logits", "output"}}
GREY = (0.299, 0.587, 0.114)  # ITU-R 601-2, as Pillow makes grey


class FixedTable:
    """A graph over the numeric columns in schema order, or over those named by the option `columns`."""

    def __init__(self, task: Task, params: Mapping[str, Any]) -> None:
        self.task = task
        name, self.options = _source.split(str(params["source"]))
        self.path = Path(name)
        self.learned: dict[str, Any] = {}
        self.encoder: Encoder | None = None
        self.content, self.flat = b"", False
        self._run: Callable[[Any], Any] | None = None

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> FixedTable:
        """Adapt the graph to the columns; nothing is learned."""
        columns = [str(name) for name in _several(self.options.get("columns"))] or [
            c.name for c in data.schema.features]
        kinds = {c.name: c.kind for c in data.schema.features}
        wrong = [name for name in columns if kinds.get(name) not in ("numeric", "boolean")]
        if wrong:
            raise UsageError(f"an ONNX file for tables must be given numbers; got column={wrong[0]!r} of "
                             f"kind={kinds.get(wrong[0])!r}, name the columns it takes: ?columns=a,b,c.")
        self.encoder, matrix = Encoder.fit(data.X, None, data.schema, self.task, {}, seed)
        self.flat = not self.task.classifies and (data.y is None or np.ndim(data.y) == 1)
        from onnx import TensorProto, helper

        adapted = _graph.Adapted(_graph.read(self.path))
        at = [self.encoder.names.index(name) for name in columns]
        _connect(adapted, at, columns)
        taken = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", self.encoder.width])
        some = matrix[np.unique(np.linspace(0, len(matrix) - 1, min(len(matrix), TRY)).astype(int))]
        self.content = _graph.answering(adapted, adapted.output(self.task, str(self.options.get("output", ""))),
                                        self.task, self.options, lambda content: _graph.runner(content)(some), taken)
        self._run = _graph.runner(self.content)
        return self

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self._run is None or self.encoder is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        if not len(X):
            return np.empty((0,) if self.flat else (0, _source.outputs(self.task)))
        out = self._run(self.encoder.frame(X))
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write encoder.json and model.onnx; returns the meta of the runtime `tabular`."""
        if self.encoder is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        (Path(folder) / "encoder.json").write_text(self.encoder.to_json(), encoding="utf-8")
        (Path(folder) / "model.onnx").write_bytes(self.content)
        return {"runtime": "tabular", "encoder": "encoder.json", "outputs": _source.outputs(self.task),
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _connect(adapted: _graph.Adapted, at: Sequence[int], columns: Sequence[str]) -> None:
    """Lead the columns of X to the graph's input, or to its inputs of one column each by their names."""
    given = _graph.inputs(adapted.model)
    if len(given) == 1:
        dims = _graph.shape(given[0])
        if len(dims) != 2 or dims[1] not in (None, len(columns)):
            raise UsageError(f"{_graph.WHAT} must take rows of as many numbers as there are columns; got "
                             f"shape={dims} for {len(columns)} columns ({', '.join(columns)[:80]}), name those it "
                             "takes: ?columns=a,b,c.")
        pairs = [(given[0], list(at))]
    else:
        names = [i.name.removeprefix("brought_") for i in given]
        lost = [name for name in names if name not in columns]
        if lost or any(_graph.shape(i)[1:] not in ([1], [None]) for i in given):
            raise UsageError(f"{_graph.WHAT} of several inputs must name a column by each; got input="
                             f"{(lost or names)[0]!r} among columns {', '.join(columns)[:80]}.")
        pairs = [(i, [at[list(columns).index(name)]]) for i, name in zip(given, names, strict=True)]
    for value, places in pairs:
        picked = adapted("Gather", "X", adapted.constant(places, np.int64), axis=1)
        adapted("Cast", picked, output=value.name, to=value.type.tensor_type.elem_type)


class FixedImage(ImageModel):
    """A graph over pictures, uint8 or (pixels / scale - mean) / std, channels first or last, of one or three channels.
    """

    def __init__(self, task: Task, params: Mapping[str, Any]) -> None:
        super().__init__(task, params)
        name, self.options = _source.split(str(params["source"]))
        self.path = Path(name)
        self.options = {**weights.described(self.path), **self.options}

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> FixedImage:
        """Adapt the graph to the pixels; nothing is learned."""
        from onnx import TensorProto, helper

        adapted = _graph.Adapted(_graph.read(self.path))
        given = _graph.inputs(adapted.model)
        dims = _graph.shape(given[0]) if len(given) == 1 else []
        first = len(dims) == 4 and dims[1] in (1, 3)
        if len(dims) != 4 or not (first or dims[3] in (1, 3)):
            raise UsageError(f"{_graph.WHAT} for images must take one input (n, 3, h, w) or (n, h, w, 3); got "
                             f"inputs={[_graph.shape(i) for i in given]}.")
        sides = dims[2:] if first else dims[1:3]
        if sides[0] != sides[1]:
            raise UsageError(f"{_graph.WHAT} for images must take squares; got height={sides[0]} and "
                             f"width={sides[1]}.")
        self.params["size"] = sides[0] or int(self.options.get("size") or 0)
        self._look(data)
        self._pixels(adapted, given[0], first, int((dims[1] if first else dims[3]) or 3))
        refs = list(data.X[self.column])
        some = decode.pixels([refs[at] for at in np.unique(np.linspace(0, len(refs) - 1, min(len(refs), TRY)).astype(
            int))], self.size)
        X = some.take(np.arange(len(some)))
        taken = helper.make_tensor_value_info("X", TensorProto.UINT8, ["n", self.size, self.size, 3])
        result = adapted.output(self.task, str(self.options.get("output", "")))
        self._content = _graph.answering(adapted, result, self.task, self.options,
                                         lambda content: _graph.runner(content, 32)(X), taken)
        self.net, self._run = self.path, None
        return self

    def _pixels(self, adapted: _graph.Adapted, value: Any, first: bool, channels: int) -> None:
        from onnx import TensorProto

        kind = value.type.tensor_type.elem_type
        x = "X"
        if kind != TensorProto.UINT8 or channels == 1:
            x = adapted("Cast", x, to=TensorProto.FLOAT)
        if channels == 1:
            x = adapted("MatMul", x, adapted.constant(np.array(GREY)[:, None]))
        if kind != TensorProto.UINT8:
            scale = float(self.options.get("scale", 255))
            mean, std = (np.array(_several(self.options.get(name)) or [fill], np.float64)
                         for name, fill in (("mean", 0.0), ("std", 1.0)))
            if any(len(v) not in (1, channels) for v in (mean, std)) or scale <= 0 or (std <= 0).any():
                raise UsageError(f"mean and std must be one figure or one for each channel, scale and std above 0; got "
                                 f"mean={mean.tolist()}, std={std.tolist()}, scale={scale:g}.")
            x = adapted("Mul", x, adapted.constant(1 / (scale * std)))
            x = adapted("Sub", x, adapted.constant(mean / std))
        x = adapted("Transpose", x, perm=[0, 3, 1, 2]) if first else x
        adapted("Cast", x, output=value.name, to=kind)

    def _size(self, natural: int) -> int:
        return int(self.params["size"]) or natural


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the file's full path and a hash of its content, after it was read. Raises UsageError."""
    name, options = _source.split(str(params["source"]))
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{_graph.WHAT} must exist; got file={name!r}.")
    strange = sorted(set(options) - OPTIONS[task.modality])
    if strange:
        raise UsageError(f"options of {_graph.WHAT} must be among {', '.join(sorted(OPTIONS[task.modality]))}; got "
                         f"option={strange[0]!r}.")
    _graph.read(path)
    rest = str(params["source"])[len(name):]
    return {**params, "source": f"{path.resolve()}{rest}",
            "content": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}


def build(params: Mapping[str, Any], task: Task) -> FixedTable | FixedImage:
    """The file as a model; fitting it adapts what goes in and what comes out, and changes no weight."""
    return FixedImage(task, params) if task.modality == "image" else FixedTable(task, params)


def _family(modality: str) -> Family:
    problems: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
    return Family(
        name=f"onnx_{modality}", modality=modality, problems=problems, build=build,
        facts=Facts(year=2017, paper="Open Neural Network Exchange, https://onnx.ai", licence="the user's",
                    framework="onnx", good_at="a model that is already there, on the same rows as all others",
                    bad_at="its score says nothing when these rows were among those it was trained on"),
        defaults={"source": ""}, seconds=lambda task: 0.5, requires=("onnx",), rank=1, prepare=prepare, scheme="onnx",
        untrained=lambda params, task, data: build(params, task).fit(data, seed=0, deadline=float("inf")))


SPEC = (_family("tabular"), _family("image"))
