"""A ready ONNX file over tokens, onnx:FILE?tokenizer=tokenizer.json: it is not trained, but judged and served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.models.bring import _graph, _source
from rightfit.models.text._grams import join, text_columns
from rightfit.models.text._net import padded
from rightfit.models.text._tokens import LONGEST, Tokens
from rightfit.records import Dataset, Facts, Family, Need, Problem, Task

TRY = 64  # training rows on which its outputs are looked at
CHUNK = 32  # texts of about one length that are run together
OPTIONS = frozenset({"tokenizer", "max_length", "padding", "classes", "logits", "output"})
FED = {"input_ids", "attention_mask", "token_type_ids"}
PADS = ("[PAD]", "<pad>", "<|pad|>")


class FixedText:
    """A graph over input_ids, with attention_mask and token_type_ids where it has them, as transformers exports it."""

    def __init__(self, task: Task, params: Mapping[str, Any]) -> None:
        self.task = task
        name, self.options = _source.split(str(params["source"]))
        self.path = Path(name)
        self.learned: dict[str, Any] = {}
        self.columns: list[str] = []
        self.content, self.flat = b"", False
        self.words: Tokens | None = None
        self._run: Callable[[Any], Any] | None = None

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> FixedText:
        """Adapt the graph to the package's ids; nothing is learned."""
        from onnx import TensorProto, helper

        self.columns = text_columns(data.schema)
        self.words = _words(tokenizer(self.path, self.options), int(self.options.get("max_length", LONGEST)))
        self.flat = not self.task.classifies and (data.y is None or np.ndim(data.y) == 1)
        adapted = _graph.Adapted(_graph.read(self.path))
        _connect(adapted, int(self.options.get("padding", _padding(self.words))))
        some = np.unique(np.linspace(0, len(data) - 1, min(len(data), TRY)).astype(int))
        X = padded(self.words.ids(join(data.X.iloc[some], self.columns)))
        taken = helper.make_tensor_value_info("X", TensorProto.INT64, ["n", "length"])
        self.content = _graph.answering(adapted, adapted.output(self.task, str(self.options.get("output", ""))),
                                        self.task, self.options, lambda content: _graph.runner(content, CHUNK)(X),
                                        taken)
        self._run = _graph.runner(self.content)
        return self

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self._run is None or self.words is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        out = np.empty((len(X), _source.outputs(self.task)))
        ids = self.words.ids(join(X, self.columns))
        order = np.argsort([len(row) for row in ids], kind="stable")
        for start in range(0, len(order), CHUNK):
            here = order[start:start + CHUNK]
            out[here] = self._run(padded([ids[at] for at in here]))
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write vectoriser.json and model.onnx; returns the meta of the runtime `text`."""
        if self.words is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        (Path(folder) / "vectoriser.json").write_text(self.words.to_json(), encoding="utf-8")
        (Path(folder) / "model.onnx").write_bytes(self.content)
        return {"runtime": "text", "columns": self.columns, "vectoriser": {"name": "tokens", "file": "vectoriser.json"},
                "outputs": _source.outputs(self.task), "cores": [{"format": "onnx", "file": "model.onnx"}]}


def tokenizer(path: Path, options: Mapping[str, Any]) -> Path:
    """The tokenizer.json that the option names, or that lies beside the file. Raises UsageError where there is none."""
    found = Path(str(options.get("tokenizer", path.with_name("tokenizer.json")))).expanduser()
    if not found.is_file():
        raise UsageError(f"{_graph.WHAT} for texts needs its tokenizer.json; got file={str(found)!r}, which is not "
                         "there, put it beside the file or name it: ?tokenizer=FILE.")
    return found


def _words(path: Path, longest: int) -> Tokens:
    try:
        return Tokens(path.read_text(encoding="utf-8"), longest)
    except Exception as error:  # the tokenizers library raises plain Exception for every kind of damage
        raise UsageError(f"{_graph.WHAT} for texts needs a readable tokenizer.json; got file={str(path)!r} "
                         f"({' '.join(str(error).split())[:120]}).") from error


def _padding(words: Tokens) -> int:
    """The id of padding by its usual names, 0 where there is none."""
    import tokenizers

    known = tokenizers.Tokenizer.from_str(words.definition)
    return next((at for at in map(known.token_to_id, PADS) if at is not None), 0)


def _connect(adapted: _graph.Adapted, padding: int) -> None:
    """Lead ids, of which 0 is padding and the others are one too large, to the graph's inputs."""
    given = {value.name.removeprefix("brought_"): value for value in _graph.inputs(adapted.model)}
    if "input_ids" not in given or set(given) - FED:
        raise UsageError(f"{_graph.WHAT} for texts must take input_ids, and may take attention_mask and "
                         f"token_type_ids; got inputs={', '.join(given)}.")
    zero, one = adapted.constant(0, np.int64), adapted.constant(1, np.int64)
    there = adapted("Greater", "X", zero)
    feeds = {"input_ids": adapted("Where", there, adapted("Sub", "X", one), adapted.constant(padding, np.int64)),
             "attention_mask": adapted("Cast", there, to=7), "token_type_ids": adapted("Mul", "X", zero)}
    for name, value in given.items():
        adapted("Cast", feeds[name], output=value.name, to=value.type.tensor_type.elem_type)


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with full paths and a hash of the content, after both files were read. Raises UsageError."""
    name, options = _source.split(str(params["source"]))
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{_graph.WHAT} must exist; got file={name!r}.")
    strange = sorted(set(options) - OPTIONS)
    if strange:
        raise UsageError(f"options of {_graph.WHAT} for texts must be among {', '.join(sorted(OPTIONS))}; got "
                         f"option={strange[0]!r}.")
    words = tokenizer(path, options)
    _words(words, LONGEST)
    _connect(_graph.Adapted(_graph.read(path)), 0)
    rest = str(params["source"])[len(name):]
    return {**params, "source": f"{path.resolve()}{rest}",
            "content": hashlib.sha256(path.read_bytes() + words.read_bytes()).hexdigest()[:16]}


def build(params: Mapping[str, Any], task: Task) -> FixedText:
    """The file as a model; fitting it adapts what goes in and what comes out, and changes no weight."""
    return FixedText(task, params)


_PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
SPEC = Family(
    name="onnx_text", modality="text", problems=_PROBLEMS, build=build,
    facts=Facts(year=2017, paper="Open Neural Network Exchange, https://onnx.ai", licence="the user's",
                framework="onnx", good_at="a model that is already there, on the same rows as all others",
                bad_at="its score says nothing when these rows were among those it was trained on"),
    defaults={"source": ""}, seconds=lambda task: 1.0, requires=("onnx", "tokenizers"), rank=1, prepare=prepare,
    scheme="onnx", untrained=lambda params, task, data: build(params, task).fit(data, seed=0, deadline=float("inf")))
