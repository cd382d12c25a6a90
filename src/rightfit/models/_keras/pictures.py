"""The model of every Keras network for images: pixels decoded once, a network, one ONNX graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.errors import DataError, UsageError
from rightfit.models._keras import convert, train
from rightfit.records import Dataset, Task

SMALLEST, LARGEST = 32, 128  # keras.applications halve five times; above 128 pixels a CPU trains for hours
PROVE = 4
SHIFT = 8  # crops are moved by up to an eighth of the side

Make = Callable[[int, int], Any]
"""make(size, outputs) -> a Keras model from float32 (n, size, size, 3) in 0..255 to logits (n, outputs)."""


def references(X: Any, column: str) -> list[str]:
    """The images of n rows. Raises DataError where one is missing."""
    refs: list[str] = X[column].tolist()
    if any(not isinstance(ref, str) for ref in refs):
        row = next(i for i, ref in enumerate(refs) if not isinstance(ref, str))
        raise DataError(f"every row must hold an image; got {column}=None in row={row}, give one or leave it out.")
    return refs


class Pictures:
    """Rows for the loop: uint8 (n, size, size, 3) read batch by batch from the cache of pixels."""

    def __init__(self, table: Any, labels: tuple[Any, Any, Any], at: Any, moves: tuple[bool, bool]) -> None:
        self.table, self.at, self.moves = table, at, moves
        self.labels = labels
        self.y, self.weight, self.groups = (None if one is None else np.asarray(one)[at] for one in labels)

    def __len__(self) -> int:
        return len(self.at)

    def take(self, positions: Any) -> Pictures:
        """The rows at positions (m,)."""
        return Pictures(self.table, self.labels, self.at[positions], self.moves)

    def batch(self, positions: Any, random: np.random.Generator | None) -> Any:
        """uint8 (m, size, size, 3); with `random` mirrored and moved, where that was asked for."""
        pixels = self.table.take(self.at[positions])
        if random is None or not any(self.moves):
            return pixels
        mirrored, moved = self.moves
        if mirrored:
            turn = random.random(len(pixels)) < 0.5
            pixels[turn] = pixels[turn, :, ::-1]
        if moved:
            far = max(pixels.shape[1] // SHIFT, 1)
            wide = np.pad(pixels, ((0, 0), (far, far), (far, far), (0, 0)), mode="reflect")
            side = pixels.shape[1]
            for row, (top, left) in enumerate(random.integers(0, 2 * far + 1, (len(pixels), 2))):
                pixels[row] = wide[row, top:top + side, left:left + side]
        return pixels


class PictureModel:
    """A Keras network for images. `make` builds it; after fitting, what predicts is the ONNX graph that is served.

    params: size (0: by the data), mirror, move, and the recipe of `rightfit.models._keras.train.fit`. `learned` is the
    epochs and the size.
    """

    def __init__(self, task: Task, params: Mapping[str, Any], make: Make) -> None:
        self.task, self.params, self.make = task, params, make
        self.learned: dict[str, Any] = {}
        self.column, self.size, self.flat = "", 0, False
        self.content = b""
        self._run: Callable[[Any], Any] | None = None

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> PictureModel:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        if data.y is None or not len(data):
            raise UsageError(f"training rows must be labelled; got rows={len(data)}, labelled={data.y is not None}.")
        refs = self._look(data)
        y, mean, scale = np.asarray(data.y), np.zeros(1), np.ones(1)
        if not self.task.classifies:
            wide = y.astype(np.float64).reshape(len(y), -1)
            mean, scale = wide.mean(axis=0), wide.std(axis=0)
            scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(mean)), scale, 0.0)
            y = ((wide - mean) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
            y = y[:, 0] if self.flat else y
        rows = Pictures(decode.pixels(refs, self.size), (y, data.weight, data.groups), np.arange(len(y)),
                        (bool(self.params.get("mirror")), bool(self.params.get("move"))))
        net, seconds = self._built(seed)
        _lean(net, train.targets(y, self.task), self.task)
        fitted = train.fit(net, rows, self.params, self.task, seed=seed, around=(deadline, seconds))
        self._keep(net, rows, (mean, scale))
        self.learned = {"epochs": fitted.epochs, "size": self.size}
        return self

    def untrained(self, data: Dataset) -> PictureModel:
        """As fitted on the rows, but with the weights that it starts from."""
        refs = self._look(data)
        net, _ = self._built(0)
        rows = Pictures(decode.pixels(refs[:PROVE], self.size), (None, None, None), np.arange(min(len(refs), PROVE)),
                        (False, False))
        self._keep(net, rows, (np.zeros(1), np.ones(1)))
        return self

    def _look(self, data: Dataset) -> list[str]:
        self.column = data.schema.features[0].name
        refs = references(data.X, self.column)
        asked = int(self.params.get("size") or 0)
        self.size = asked or min(max(decode.natural_size(refs), SMALLEST), LARGEST)
        self.flat = not self.task.classifies and (data.y is None or np.ndim(data.y) == 1)
        return refs

    def _built(self, seed: int) -> tuple[Any, float]:
        from rightfit.models._keras.backend import keras, seeded

        keras()
        start = time.monotonic()
        outputs = max(len(self.task.classes), 2) if self.task.problem in ("binary", "multiclass") else (
            len(self.task.classes) if self.task.classifies else self.task.outputs)
        with seeded(seed):
            net = self.make(self.size, outputs)
        return net, time.monotonic() - start

    def _keep(self, net: Any, rows: Pictures, shift: tuple[Any, Any]) -> None:
        some = rows.batch(np.arange(min(len(rows), PROVE)), None)
        self.content = convert.to_onnx(net, some, self.task, shift)
        self._run = convert.function(self.content)

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        if self._run is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        table = decode.pixels(references(X, self.column), self.size)
        parts = [self._run(table.take(np.arange(at, min(at + convert.CHUNK, len(table)))))
                 for at in range(0, len(table), convert.CHUNK)]
        out = np.concatenate(parts) if parts else np.empty((0, max(len(self.task.classes), self.task.outputs)))
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write model.onnx; returns the meta of the runtime `image`. All that follows the pixels is in the graph."""
        if not self.content:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        (Path(folder) / "model.onnx").write_bytes(self.content)
        outputs = len(self.task.classes) if self.task.classifies else self.task.outputs
        return {"runtime": "image", "column": self.column, "size": self.size, "outputs": outputs,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}


def _lean(net: Any, target: Any, task: Task) -> None:
    """Let the last dense layer start from the shares of the classes, or from the mean: what no step has to learn."""
    last = next((layer for layer in reversed(net.layers) if layer.weights), None)
    if last is None or type(last).__name__ != "Dense" or not last.use_bias or not task.classifies:
        return
    share = np.clip(target.mean(axis=0), 0.5 / (len(target) + 1), 1 - 0.5 / (len(target) + 1))
    bias = np.log(share / (1 - share)) if task.problem == "multilabel" else np.log(share)
    last.kernel.assign(np.asarray(last.kernel) * 0.1)
    last.bias.assign(bias)

