"""Models of fixed features: an encoder that never learns, its features cached, and a head."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models._nn import head as heads
from rightfit.models._nn import loop
from rightfit.models._nn.device import limited
from rightfit.models._nn.export import to_onnx
from rightfit.models.image import _embed, _graph
from rightfit.models.image._net import ImageModel
from rightfit.records import Dataset, Task

HEAD_SHARE = 0.3  # of the time, kept for the head


class FeatureModel(ImageModel):
    """Families give `_encoder()`, a torch module from pixels (n, size, size, 3) to features (n, d), and `_name()`.

    `_name()` is everything that the features depend on but the pixels: equal names share cached features. params:
    `head` linear, svm, mlp or knn, and what it takes.
    """

    def __init__(self, task: Task, params: Mapping[str, Any]) -> None:
        super().__init__(task, params)
        self._encode: Any = None
        self._module: Any = None

    def _encoder(self) -> Any:
        raise NotImplementedError

    def _name(self) -> str:
        raise NotImplementedError

    def _learn(self, data: Dataset, y: Any, seed: int, deadline: float) -> Any:
        refs = list(data.X[self.column])
        self._encode = self._module = None
        until = deadline if deadline == float("inf") else deadline - HEAD_SHARE * max(deadline - time.monotonic(), 0)
        rows, X = _embed.learnt(self._table(), refs, self.size, self._features, seed, until)
        if not len(rows):
            self.learned = {"l2": self.params.get("l2", "auto")}
            return self._joined(heads.constant(y, data.weight, self._width(), self.task))
        shown = heads.Problem(X=X, y=y[rows], weight=None if data.weight is None else np.asarray(data.weight)[rows],
                              groups=None if data.groups is None else data.groups[rows])
        with limited(), loop.seeded(seed):
            head, learned = heads.fit(str(self.params["head"]), shown, self.params, self.task, seed=seed,
                                      deadline=deadline)
        self.learned = learned
        return self._joined(head)

    def _blank(self) -> Any:
        self._encode = self._module = None
        codes = self.task.classifies and self.task.problem != "multilabel"
        y = np.arange(self.outputs) if codes else np.zeros((2, self.outputs))
        return self._joined(heads.constant(y, None, self._width(), self.task))

    def _joined(self, head: Any) -> Any:
        import torch

        return torch.nn.Sequential(self._body(), head)

    def _body(self) -> Any:
        if self._module is None:
            with loop.seeded(0):
                self._module = self._encoder().eval()
        return self._module

    def _width(self) -> int:
        import torch

        with torch.inference_mode(), limited():
            return int(self._body()(torch.zeros(2, self.size, self.size, 3, dtype=torch.uint8)).shape[1])

    def _features(self, X: Any) -> Any:
        """Features float32 (n, d) of pixels, by the exported encoder, which is several times as fast as torch."""
        import torch

        if self._encode is None:
            with limited():
                self._encode = _graph.runner(to_onnx(self._body(), (torch.zeros(2, *X.shape[1:], dtype=torch.uint8),)))
        return self._encode(X)

    def _table(self) -> str:
        return f"embed-{self._name()}-{self.size}"

    def _answers(self, refs: list[str]) -> Any:
        import torch

        _, X = _embed.embedded(self._table(), refs, np.arange(len(refs)), self.size, self._features, float("inf"))
        with torch.inference_mode(), limited():
            out = self.net[1](torch.from_numpy(X)).numpy()
        values = loop.finish(out, self.task)
        return values if self.task.classifies else values * self.scale + self.mean
