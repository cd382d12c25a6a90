"""RealMLP: a multilayer perceptron with the settings that a large study found to work by default."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular import _net
from rightfit.models.tabular._parts import Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# Table A.1 of the paper (RealMLP-TD): three layers of 256, periodic embeddings of 16 frequencies to 3 + 1 values,
# learned feature scales at six times the rate, label smoothing 0.1, learning rate in four waves; epochs cut for a CPU.
DEFAULTS: Mapping[str, Any] = {**_net.DEFAULTS, "width": 256, "layers": 3, "dropout": 0.15, "frequency": 0.1,
                               "learning_rate": 0.04, "weight_decay": 0.0, "epochs": 64, "patience": 64,
                               "smoothing": 0.1, "schedule": "waves"}
VALUES_RATE = 0.2  # the paper's learning rate for regression; for classes it is that of DEFAULTS
ENCODER: Mapping[str, Any] = {**_net.ENCODER, "scale": "robust"}
FREQUENCIES, EMBEDDED = 16, 3
SCALE_RATE, BIAS_RATE, EMBEDDING_RATE = 6.0, 0.1, 0.1


def _make(features: int, outputs: int, rows: Rows, params: Mapping[str, Any]) -> Any:
    import torch

    binary = torch.from_numpy(_two_valued(rows.X))

    def parameter(values: Any, rate: float) -> Any:
        made: Any = torch.nn.Parameter(values)
        made._rate = rate * (VALUES_RATE / 0.04 if not rows.classes else 1.0)
        return made

    class Linear(torch.nn.Module):
        """In the neural tangent parametrisation: weights of unit variance, divided by the root of their number."""

        def __init__(self, fan: int, out: int, last: bool) -> None:
            super().__init__()
            self.weight = parameter(torch.zeros(fan, out) if last else torch.randn(fan, out), 1.0)
            self.bias = parameter(torch.zeros(out) if last else torch.randn(out), BIAS_RATE)
            self.share = fan ** -0.5

        def forward(self, x: Any) -> Any:
            return self.share * (x @ self.weight) + self.bias

    class Real(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            plain, smooth = torch.nonzero(binary)[:, 0], torch.nonzero(~binary)[:, 0]
            self.register_buffer("plain", plain)
            self.register_buffer("smooth", smooth)
            curved = len(smooth)
            self.first = parameter(float(params["frequency"]) * torch.randn(curved, FREQUENCIES), EMBEDDING_RATE)
            self.phase = parameter(math.pi * (2 * torch.rand(curved, FREQUENCIES) - 1), EMBEDDING_RATE)
            bound = FREQUENCIES ** -0.5
            self.second = parameter((2 * torch.rand(curved, FREQUENCIES, EMBEDDED) - 1) * bound, EMBEDDING_RATE)
            self.third = parameter((2 * torch.rand(curved, EMBEDDED) - 1) * bound, EMBEDDING_RATE)
            wide = len(plain) + curved * (EMBEDDED + 1)
            self.scale = parameter(torch.ones(wide), SCALE_RATE)
            sizes = [wide, *[int(params["width"])] * int(params["layers"]), outputs]
            self.layers = torch.nn.ModuleList(Linear(a, b, at == len(sizes) - 2)
                                              for at, (a, b) in enumerate(itertools.pairwise(sizes)))
            self.act = torch.nn.SELU() if rows.classes else torch.nn.Mish()
            self.drop = torch.nn.Dropout(float(params["dropout"]))

        def forward(self, x: Any) -> Any:
            x = x / (1 + (x / 3) ** 2) ** 0.5  # smooth clipping to -3..3
            curved = x[:, self.smooth]
            waves = torch.cos(2 * math.pi * (curved[:, :, None] * self.first + self.phase))
            bent = (waves[:, :, :, None] * self.second).sum(2) + self.third
            x = torch.cat([x[:, self.plain], curved, bent.flatten(1)], 1) * self.scale
            for layer in self.layers[:-1]:
                x = self.drop(self.act(layer(x)))
            return self.layers[-1](x)

    return Real()


def _two_valued(X: Any) -> Any:
    """Which columns are indicators, bool (f,): they are not embedded."""
    return np.array([len(np.unique(column[:2000])) <= 2 for column in X.T], dtype=bool)


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted RealMLP."""
    return TabularModel(task, {**DEFAULTS, **params}, _net.learner(_make, betas=(0.9, 0.95)), ENCODER)


SPEC = Family(
    name="realmlp", modality="tabular", problems=("binary", "multiclass", "regression"), build=build,
    facts=Facts(year=2024, paper="Holzmüller, Grinsztajn & Steinwart, Better by Default: Strong Pre-Tuned MLPs and "
                                 "Boosted Trees on Tabular Data, NeurIPS 2024",
                licence="Apache-2.0", framework="torch",
                good_at="the strongest defaults of the networks for tables; blends well with boosters",
                bad_at="slower to train than boosters on a CPU; few rows"),
    space={"width": Dimension(low=128, high=512, log=True, whole=True), "layers": Dimension(low=2, high=4, whole=True),
           "dropout": Dimension(low=0.0, high=0.5), "early_stopping": Dimension(choices=(True,)),
           "frequency": Dimension(low=0.05, high=1.0, log=True),
           "learning_rate": Dimension(low=0.02, high=0.07, log=True), "smoothing": Dimension(choices=(0.0, 0.1))},
    defaults=DEFAULTS, variants=({"copies": 4},), regularisers=("dropout", "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 1.0 + 4e-3 * task.rows * (1 + task.features / 100),
    requires=("torch",), smoke={"epochs": 30, "width": 32, "layers": 2}, rank=9)
