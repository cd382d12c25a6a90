"""The model of every image family: pixels in one size, one graph from pixels to answers, served without torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.errors import UsageError
from rightfit.models._nn import head as heads
from rightfit.models._nn import loop, prune
from rightfit.models._nn.device import limited
from rightfit.models._nn.export import to_onnx
from rightfit.models.image import _embed, _graph
from rightfit.models.image._rows import Pixels, mirrors, strength
from rightfit.records import Dataset, Task

CHUNK = 256
PROBE_SHARE, PROBE_ROWS = 0.4, 20  # of the time at most; rows below which a head from nothing is as good
STEPS, LEAST_BATCH = 12, 8  # few rows are shown in smaller batches, so that an epoch is more than a step or two


class ImageModel:
    """What image families share; they give `_learn`, which returns a torch net from uint8 pixels to logits.

    After a fit, `content` is the ONNX graph from X uint8 (n, size, size, 3) to the final Y (n, k), by which
    predictions are made. Regression targets are standardised for `_learn`.
    """

    def __init__(self, task: Task, params: Mapping[str, Any]) -> None:
        self.task, self.params = task, dict(params)
        self.learned: dict[str, Any] = {}
        self.size, self.column = 0, ""
        self.net: Any = None
        self._content = b""
        self._run: Callable[[Any], Any] | None = None
        self.mean: Any = None
        self.scale: Any = None
        self.flat = False

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> ImageModel:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        self._look(data)
        y = np.asarray(data.y)
        if not self.task.classifies:
            y = y.reshape(len(y), -1)
            self.mean, scale = y.mean(axis=0), y.std(axis=0)
            self.scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(self.mean)), scale, 0.0)
            y = (y - self.mean) / np.where(self.scale > 0, self.scale, 1.0)
        self._keep(self._learn(data, y, seed, deadline))
        return self

    def untrained(self, data: Dataset) -> ImageModel:
        """The same model with random weights, to be measured before any training; takes its shapes from `data`."""
        self._look(data)
        if not self.task.classifies:
            self.mean, self.scale = np.zeros(self.task.outputs), np.ones(self.task.outputs)
        with loop.seeded(0):
            self._keep(self._blank())
        return self

    def _look(self, data: Dataset) -> None:
        columns = [c.name for c in data.schema.features if c.kind == "image"] or list(data.X.columns[:1])
        self.column = columns[0]
        self.flat = not self.task.classifies and data.y is not None and np.ndim(data.y) == 1
        self.size = self._size(decode.natural_size(list(data.X[self.column])))

    @property
    def outputs(self) -> int:
        """How many columns the answer has."""
        return max(len(self.task.classes), 1) if self.task.classifies else max(self.task.outputs, 1)

    def _size(self, natural: int) -> int:
        raise NotImplementedError

    def _learn(self, data: Dataset, y: Any, seed: int, deadline: float) -> Any:
        raise NotImplementedError

    def _blank(self) -> Any:
        raise NotImplementedError

    def _keep(self, net: Any) -> None:
        self.net, self._content, self._run = net, b"", None

    @property
    def content(self) -> bytes:
        """The ONNX graph. Raises UsageError before a fit."""
        if self.net is None:
            raise UsageError("a model must be fitted before it is used; got fitted=False, call fit first.")
        if not self._content:
            import torch

            example = torch.zeros(2, self.size, self.size, 3, dtype=torch.uint8)
            with limited():
                self._content = to_onnx(_graph.answering(self.net, self.task, self.mean, self.scale), (example,))
        return self._content

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self.net is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        refs = list(X[self.column])
        out = self._answers(refs) if refs else np.empty((0, self.outputs))
        return out[:, 0] if self.flat else out

    def _answers(self, refs: list[str]) -> Any:
        self._run = self._run or _graph.runner(self.content)
        table = decode.pixels(refs, self.size)
        parts = [self._run(table.take(np.arange(at, min(at + CHUNK, len(refs))))) for at in range(0, len(refs), CHUNK)]
        return np.concatenate(parts).astype(np.float64)

    def save(self, folder: Any) -> dict[str, Any]:
        """Write model.onnx; returns the meta of the runtime `image`."""
        (Path(folder) / "model.onnx").write_bytes(self.content)
        return {"runtime": "image", "column": self.column, "size": self.size, "outputs": self.outputs,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


Make = Callable[[Mapping[str, Any], int, int], Any]


class NetworkModel(ImageModel):
    """A network trained by the loop: `make(params, side, outputs)` gives a net from pixels to logits.

    params: `size`, the side in pixels that the net sees (0: chosen by `choose`), `augment`, `flip`, `prune`, and the
    loop's recipe. The last bias of the net starts at the class frequencies.
    """

    def __init__(self, task: Task, params: Mapping[str, Any], make: Make, choose: Callable[[int], int]) -> None:
        super().__init__(task, params)
        self.make, self.choose = make, choose
        self.side = 0

    def _size(self, natural: int) -> int:
        self.side = int(self.params.get("size") or 0) or self.choose(natural)
        return min(natural, self.side)

    def _blank(self) -> Any:
        net = self.make({**self.params, "weights": None}, self.side, self.outputs)
        share = float(self.params.get("prune") or 0.0)
        return prune.prune_channels(net, (_graph.example(self.size),), share) if share else net

    def _learn(self, data: Dataset, y: Any, seed: int, deadline: float) -> Any:
        with loop.seeded(seed):
            net = self.make(self.params, self.side, self.outputs)
        _start(net, heads.base_rate(y, data.weight, self.task))
        probed = bool(self.params.get("weights")) and self._probe(net, data, y, seed, deadline)
        if time.monotonic() >= deadline:
            self.learned = {"epochs": 1}
            return net
        flip = self.params.get("flip", "auto")
        rows = Pixels(decode.pixels(list(data.X[self.column]), self.size), np.arange(len(data)), y, data.weight,
                      data.groups, flip=mirrors(self.task) if flip == "auto" else bool(flip),
                      augment=strength(str(self.params.get("augment", "auto")), len(data), int(self.params["epochs"])))
        recipe = {**self.params, "batch": min(int(self.params["batch"]), max(len(data) // STEPS, LEAST_BATCH)),
                  **({"freeze_epochs": 0} if probed else {})}
        found = prune.fitted(net, rows, recipe, self.task, seed=seed, deadline=deadline)
        _silence(net, heads.absent(y, self.task), self.outputs)
        self.learned = {"epochs": found.epochs}
        return net

    def _probe(self, net: Any, data: Dataset, y: Any, seed: int, deadline: float) -> bool:
        """Give the last layer the linear head that suits the features as they are; False where it cannot be had.

        A head from nothing would send the features astray before it is any good (Kumar et al. 2022, Fine-Tuning can
        Distort Pretrained Features). The features are computed once, where training the head alone would do so in
        every epoch.
        """
        import torch

        last = _last(net, self.outputs)
        home = next(((module, name) for module in net.modules() for name, child in module.named_children()
                     if child is last), None) if last is not None else None
        if home is None:
            return False
        until = deadline if deadline == float("inf") else deadline - (1 - PROBE_SHARE) * (deadline - time.monotonic())
        setattr(*home, torch.nn.Identity())
        try:
            with limited():
                encode = _graph.runner(to_onnx(net, (_graph.example(self.size),)))
        finally:
            setattr(*home, last)
        source = f"{self.params.get('network', '')}-{_embed.digest(str(self.params['weights']))}"
        name = f"probe-{source}-{self.side}-{self.size}"
        rows, X = _embed.learnt(name, list(data.X[self.column]), self.size, encode, seed, until)
        if len(rows) < PROBE_ROWS or len(heads.absent(y[rows], self.task)) > len(heads.absent(y, self.task)):
            return False
        shown = heads.Problem(X=X, y=y[rows], weight=None if data.weight is None else np.asarray(data.weight)[rows],
                              groups=None if data.groups is None else data.groups[rows])
        with limited(), loop.seeded(seed):
            head, _ = heads.fit("linear", shown, {}, self.task, seed=seed, deadline=until)
        last.load_state_dict(head.state_dict())
        return True


def _last(net: Any, width: int) -> Any:
    """The last linear layer with so many outputs, or None."""
    import torch

    found = [m for m in net.stages()[-1].modules() if isinstance(m, torch.nn.Linear) and m.out_features == width]
    return found[-1] if found and found[-1].bias is not None else None


def _start(net: Any, base: Any) -> None:
    """The bias of the last linear layer as the answer without looking, its weights small."""
    import torch

    last = _last(net, len(base))
    if last is not None:
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.copy_(torch.as_tensor(base, dtype=torch.float32))


def _silence(net: Any, codes: list[int], width: int) -> None:
    last = _last(net, width)
    if last is not None:
        heads.silence(last, codes)
