"""The model of every Keras network for images: pixels decoded once, a network, one ONNX graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.models._keras import convert, train
from rightfit.models.image._net import ImageModel
from rightfit.models.image._rows import mirrors
from rightfit.records import Dataset, Task

SMALLEST, LARGEST = 32, 128  # keras.applications halve five times; above 128 pixels a CPU trains for hours
PROVE = 4
SHIFT = 8  # crops are moved by up to an eighth of the side

Make = Callable[[int, int], Any]
"""make(size, outputs) -> a Keras model from float32 (n, size, size, 3) in 0..255 to logits (n, outputs)."""


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


class PictureModel(ImageModel):
    """A Keras network for images. `make` builds it; after fitting, what predicts is the ONNX graph that is served.

    params: size (0: by the data), flip (auto, true, false), move, and the recipe of `rightfit.models._keras.train.fit`.
    `sizes`: the least and the largest side where the data choose it.
    """

    def __init__(self, task: Task, params: Mapping[str, Any], make: Make,
                 sizes: tuple[int, int] = (SMALLEST, LARGEST)) -> None:
        super().__init__(task, params)
        self.make, self.sizes = make, sizes
        self._some: Any = None

    def untrained(self, data: Dataset) -> PictureModel:
        """The same model with random weights, to be measured before any training; takes its shapes from `data`."""
        self._look(data)
        if not self.task.classifies:
            self.mean, self.scale = np.zeros(self.task.outputs), np.ones(self.task.outputs)
        self._some = decode.pixels(list(data.X[self.column])[:1], self.size).take([0])
        self._keep(self._built(0)[0])
        return self

    def _size(self, natural: int) -> int:
        return int(self.params.get("size") or 0) or min(max(natural, self.sizes[0]), self.sizes[1])

    def _built(self, seed: int) -> tuple[Any, float]:
        from rightfit.models._keras.backend import keras, seeded

        keras()
        start = time.monotonic()
        with seeded(seed):
            net = self.make(self.size, self.outputs)
        return net, time.monotonic() - start

    def _learn(self, data: Dataset, y: Any, seed: int, deadline: float) -> Any:
        flip = self.params.get("flip", "auto")
        moves = (mirrors(self.task) if flip == "auto" else bool(flip), bool(self.params.get("move")))
        table = decode.pixels(list(data.X[self.column]), self.size)
        rows = Pictures(table, (y, data.weight, data.groups), np.arange(len(y)), moves)
        self._some = rows.batch(np.arange(min(len(rows), PROVE)), None)
        net, seconds = self._built(seed)
        _lean(net, train.targets(y, self.task), self.task)
        fitted = train.fit(net, rows, self.params, self.task, seed=seed, around=(deadline, seconds))
        self.learned = {"epochs": fitted.epochs}
        return net

    def _keep(self, net: Any) -> None:
        shift = None if self.task.classifies else (self.mean, self.scale)
        self.net, self._content, self._run = net, convert.to_onnx(net, self._some, self.task, shift), None


def _lean(net: Any, target: Any, task: Task) -> None:
    """Let the last dense layer start from the shares of the classes, or from the mean: what no step has to learn."""
    last = next((layer for layer in reversed(net.layers) if layer.weights), None)
    if last is None or type(last).__name__ != "Dense" or not last.use_bias or not task.classifies:
        return
    share = np.clip(target.mean(axis=0), 0.5 / (len(target) + 1), 1 - 0.5 / (len(target) + 1))
    bias = np.log(share / (1 - share)) if task.problem == "multilabel" else np.log(share)
    last.kernel.assign(np.asarray(last.kernel) * 0.1)
    last.bias.assign(bias)

