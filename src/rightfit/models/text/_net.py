"""The model of every text network: texts to ids, the training loop, one ONNX graph from ids to predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rightfit.errors import UsageError
from rightfit.models.text._grams import join
from rightfit.models.text._tokens import SAMPLE, reach
from rightfit.models.text._vectorise import Ids
from rightfit.records import Dataset, Problem, Task

PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
NEVER = -30.0  # the logit of a class without training rows
FAR = 1e4  # taken from what a mask hides; finite, so that a text without words is no division by zero
UNKNOWN = 1
HEAPS = 0.6  # a vocabulary grows with about this power of the number of texts (Heaps 1978)


class Vectoriser(Protocol):
    """Texts to ids: 0 is padding; `len` counts the ids, padding among them."""

    def __len__(self) -> int: ...

    def ids(self, texts: Sequence[str | None]) -> list[Any]:
        """One int64 array (tokens,) for each text."""
        ...

    def to_json(self) -> str:
        """Everything that serving needs."""
        ...


Make = Callable[[int, int, Mapping[str, Any]], Any]
"""make(ids, outputs, params) -> a torch module from ids int64 (n, length) to logits (n, outputs)."""


@dataclass
class TextRows:
    """Rows of ids for the training loop. `drop`: the share of ids that training replaces by the unknown one."""

    ids: list[Any]
    y: Any = None
    weight: Any = None
    groups: Any = None
    drop: float = 0.0

    def __post_init__(self) -> None:
        self.lengths = np.array([len(row) for row in self.ids], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        """Ids int64 (m, longest), padded with 0 on the right."""
        import torch

        X = torch.from_numpy(padded([self.ids[at] for at in positions]))
        if training and self.drop > 0:
            lost = (torch.rand(X.shape, generator=generator) < self.drop) & (X > 0)
            X = X.masked_fill(lost, UNKNOWN)
        return (X,)

    def take(self, positions: Any) -> TextRows:
        """The rows at positions (m,)."""
        def pick(values: Any) -> Any:
            return None if values is None else values[positions]

        return TextRows([self.ids[at] for at in positions], pick(self.y), pick(self.weight), pick(self.groups),
                        self.drop)


def padded(rows: Sequence[Any]) -> Any:
    """Ids of several texts as one int64 array (n, longest), 1 column or more.

    >>> padded([np.array([5, 6]), np.array([7])]).tolist()
    [[5, 6], [7, 0]]
    """
    out = np.zeros((len(rows), max((len(row) for row in rows), default=1) or 1), dtype=np.int64)
    for at, row in enumerate(rows):
        out[at, :len(row)] = row
    return out


def masked(X: Any) -> Any:
    """(ids (n, length + 1), mask float32 (n, length + 1, 1)): with a column of padding, so that an empty text works."""
    from torch.nn import functional as f

    X = f.pad(X, (0, 1))
    return X, (X > 0).float()[:, :, None]


def mean(x: Any, mask: Any) -> Any:
    """The mean (n, width) over the words of x (n, length, width) that the mask keeps; 0 for an empty text."""
    return (x * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)


def embedding(ids: int, width: int) -> Any:
    """Word vectors (ids, width) of about unit length, drawn anew; that of padding is 0 and stays so."""
    import torch

    layer = torch.nn.Embedding(ids, width, padding_idx=0)
    with torch.no_grad():
        layer.weight.mul_(width ** -0.5)
    return layer


@dataclass
class Target:
    """What the loop learns for y, and the way back: class codes, labels, or values with mean 0 and scale 1."""

    y: Any
    shift: Any
    scale: Any

    @classmethod
    def of(cls, y: Any, task: Task) -> Target:
        """`shift` (k,) is added to logits: NEVER for classes without rows; values are logits * scale + shift."""
        y = np.asarray(y)
        if not task.classifies:
            values = y.astype(np.float64).reshape(len(y), -1)
            shift, scale = values.mean(axis=0), values.std(axis=0)
            flat = scale <= 1e-12 * np.maximum(1.0, np.abs(shift))
            scaled = np.where(flat, 0.0, (values - shift) / np.where(flat, 1.0, scale))
            return cls(scaled if y.ndim == 2 else scaled[:, 0], shift, np.where(flat, 0.0, scale))
        if y.ndim == 2:
            return cls(y, np.zeros(y.shape[1]), np.ones(y.shape[1]))
        width = max(len(task.classes), 2)
        lost = np.bincount(y.astype(np.int64), minlength=width) == 0
        return cls(y.astype(np.int64), np.where(lost, NEVER, 0.0), np.ones(width))

    @property
    def outputs(self) -> int:
        """The width of the logits."""
        return len(self.shift)


def served(net: Any, target: Target, task: Task) -> Any:
    """The module from ids to what the package predicts: probabilities, or values in their own unit."""
    import torch

    class Served(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """net, then shift and scale, then softmax or sigmoid."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.register_buffer("shift", torch.tensor(target.shift, dtype=torch.float32))
            self.register_buffer("scale", torch.tensor(target.scale, dtype=torch.float32))

        def forward(self, X: Any) -> Any:
            out = self.net(X) * self.scale + self.shift
            if task.problem == "multilabel":
                return torch.sigmoid(out)
            return torch.softmax(out, dim=1) if task.classifies else out

    return Served().eval()


def text_columns(data: Dataset) -> list[str]:
    """The columns that hold texts, in schema order. Raises UsageError when there is none."""
    found = [c.name for c in data.schema.features if c.kind == "text" and c.name in data.X]
    if not found:
        raise UsageError(f"a text model needs a text column; got columns={list(data.X)[:8]}, name one with "
                         "kinds={'COLUMN': 'text'}.")
    return found


class TextModel:
    """A network over ids. `vectorise(texts, params)` makes ids, `make` the network, the loop trains it.

    `name`: what the runtime calls the vectoriser. Subclasses change how the network begins and ends (`begin`, `start`,
    `end`).
    """

    name = "ids"

    def __init__(self, task: Task, params: Mapping[str, Any], make: Make) -> None:
        self.task, self.params, self.make = task, dict(params), make
        self.learned: dict[str, Any] = {}
        self.columns: list[str] = []
        self.words: Any = None
        self.net: Any = None
        self.target: Target | None = None
        self.flat = False

    def vectorise(self, texts: Sequence[str]) -> Vectoriser:
        """The ids of words, or of characters, fitted on the training texts, cut where 95 % of these have ended."""
        words = Ids.fit(texts, self.params)
        some = [texts[at] for at in np.linspace(0, len(texts) - 1, min(len(texts), SAMPLE)).astype(int)]
        words.longest = reach([len(row) for row in words.ids(some)], words.longest)
        return words

    def begin(self, outputs: int, seed: int) -> Any:
        """The network before training, drawn from the seed."""
        from rightfit.models._nn.loop import seeded

        with seeded(seed):
            return self.make(len(self.words), outputs, self.params)

    def start(self, rows: TextRows, seed: int, deadline: float) -> None:
        """What comes before the first epoch."""

    def end(self, net: Any) -> Any:
        """The network after training, as it is served."""
        return net

    def prepared(self, data: Dataset, seed: int) -> list[str]:
        """Fit what reads the texts and draw the network; returns the texts."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        self.columns = text_columns(data)
        texts = join(data.X, self.columns)
        self.words = self.vectorise(texts)
        self.target = Target.of(data.y, self.task)
        self.flat = np.ndim(data.y) == 1 and not self.task.classifies
        self.net = self.begin(self.target.outputs, seed)
        return texts

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> TextModel:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        from rightfit.models._nn import loop

        texts = self.prepared(data, seed)
        assert self.target is not None
        if time.monotonic() >= deadline:  # nothing will be learned: do not read half a million texts for it
            texts, data = texts[:64], data.take(np.arange(min(len(data), 64)))
        weight = None if data.weight is None else np.asarray(data.weight, dtype=np.float64)
        rows = TextRows(self.words.ids(texts), self.target.y[:len(texts)], weight, data.groups,
                        float(self.params.get("word_dropout", 0.0)))
        self.start(rows, seed, deadline)
        found = loop.fit(self.net, rows, self.params, self.task, seed=seed, deadline=deadline)
        self.net = self.end(self.net)
        self.learned = {"epochs": found.epochs}
        return self

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        from rightfit.models._nn import loop

        if self.net is None or self.target is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        if not len(X):
            return np.empty((0,) if self.flat else (0, self.target.outputs))
        rows = TextRows(self.words.ids(join(X, self.columns)))
        logits = np.asarray(loop.predict(self.net, rows), dtype=np.float64)
        out = loop.finish(logits * self.target.scale + self.target.shift, self.task)
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write vectoriser.json and model.onnx; returns the meta of the runtime `text`."""
        if self.net is None or self.target is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        return write(folder, served(self.net, self.target, self.task),
                     {"name": self.name, "words": self.words, "columns": self.columns, "outputs": self.target.outputs})


def write(folder: Any, net: Any, how: Mapping[str, Any]) -> dict[str, Any]:
    """Write vectoriser.json and model.onnx; how: name and words (the vectoriser), columns, outputs."""
    import torch

    from rightfit.models._nn.export import to_onnx

    home = Path(folder)
    (home / "vectoriser.json").write_text(how["words"].to_json(), encoding="utf-8")
    example = torch.tensor([[1, 2, 1, 1, 2, 1, 1], [1, 2, 1, 0, 0, 0, 0]])
    (home / "model.onnx").write_bytes(to_onnx(net, (example,)))
    return {"runtime": "text", "columns": list(how["columns"]),
            "vectoriser": {"name": how["name"], "file": "vectoriser.json"}, "outputs": int(how["outputs"]),
            "cores": [{"format": "onnx", "file": "model.onnx"}]}


class _Unmet:
    """A vectoriser whose vocabulary counts as many ids as training on all rows is going to give."""

    def __init__(self, words: Any, size: int) -> None:
        self.words, self.size = words, size

    def __len__(self) -> int:
        return self.size

    def to_json(self) -> str:
        return str(self.words.to_json())

    def ids(self, texts: Sequence[str | None]) -> list[Any]:
        """As the vectoriser itself."""
        return list(self.words.ids(texts))


def untrained(make: Make) -> Callable[[Mapping[str, Any], Task, Dataset], TextModel]:
    """The function that gives a family's network with random weights and the vocabulary it will have about."""
    def build(params: Mapping[str, Any], task: Task, data: Dataset) -> TextModel:
        model = _Sized(task, {**params, "min_df": 1}, make)
        model.prepared(data, 0)
        return model

    return build


class _Sized(TextModel):
    def vectorise(self, texts: Sequence[str]) -> Vectoriser:
        words = super().vectorise(texts)
        grown = len(words) * max(self.task.rows / max(len(texts), 1), 1.0) ** HEAPS
        return _Unmet(words, max(min(int(grown), int(self.params["max_features"]) + 2), len(words)))
