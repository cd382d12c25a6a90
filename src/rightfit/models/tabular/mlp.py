"""Multilayer perceptron with dropout and weight decay, trained by torch and served without it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rightfit.models.tabular import _net
from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Rows, trees_per_round
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# Quantile-scaled columns, AdamW and early stopping as in Gorishniy et al. 2021; sizes as in their tuned median.
DEFAULTS: Mapping[str, Any] = {**_net.DEFAULTS, "width": 256, "layers": 2, "dropout": 0.15, "patience": 20,
                               "schedule": "fading"}
ENCODER: Mapping[str, Any] = {**_net.ENCODER, "tokens": 500}


def _make(features: int, outputs: int, rows: Rows, params: Mapping[str, Any]) -> Any:
    import torch

    sizes = [features, *[int(params["width"])] * int(params["layers"]), outputs]
    parts: list[Any] = []
    for at, (fan, out) in enumerate(pairwise(sizes)):
        layer, last = torch.nn.Linear(fan, out), at == len(sizes) - 2
        bound = fan ** -0.5 if last else (6.0 / fan) ** 0.5  # He et al. 2015
        torch.nn.init.uniform_(layer.weight, -bound, bound)
        torch.nn.init.zeros_(layer.bias)
        parts += [layer] if last else [layer, torch.nn.ReLU(), torch.nn.Dropout(float(params["dropout"]))]
    return torch.nn.Sequential(*parts)


def _write(net: Any, rows: Rows) -> Any:
    """The layers as nodes of ONNX."""
    import torch

    layers = [part for part in net if isinstance(part, torch.nn.Linear)]
    graph = Graph(layers[0].in_features, wide=False)
    value = graph.x
    for layer in layers:
        weight, bias = (part.detach().numpy() for part in (layer.weight, layer.bias))
        value = graph("Gemm", value, graph.constant(np.ascontiguousarray(weight.T), np.float32),
                      graph.constant(bias, np.float32))
        value = graph("Relu", value) if layer is not layers[-1] else value
    return graph.model(graph("Softmax", value, axis=1) if rows.classes else value, layers[-1].out_features)


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted multilayer perceptron."""
    return TabularModel(task, {**DEFAULTS, **params}, _net.learner(_make, write=_write), ENCODER)


SPEC = Family(
    name="mlp", modality="tabular",
    problems=("binary", "multiclass", "multilabel", "regression", "ordinal"),
    build=build,
    facts=Facts(year=1986, paper="Rumelhart, Hinton & Williams; as a strong tabular baseline: Gorishniy et al. 2021, "
                                 "Revisiting Deep Learning Models for Tabular Data; dropout: Srivastava et al. 2014",
                licence="BSD-3-Clause", framework="torch",
                good_at="smooth relations, texts, many rows; differs from trees",
                bad_at="few rows; odd columns; slower to train than boosters on a CPU"),
    space={"width": Dimension(low=64, high=512, log=True, whole=True), "layers": Dimension(low=1, high=4, whole=True),
           "dropout": Dimension(low=0.0, high=0.5), "weight_decay": Dimension(low=1e-5, high=1.0, log=True),
           "learning_rate": Dimension(low=1e-4, high=1e-2, log=True), "early_stopping": Dimension(choices=(True,)),
           "scale": Dimension(choices=("standard", "quantile"))},
    defaults=DEFAULTS, variants=({"dropout": 0.3, "weight_decay": 0.1, "width": 384},),
    regularisers=("dropout", "weight_decay", "early_stopping", "width"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 1.0 + 5e-4 * task.rows * (1 + task.features / 200) * (
        trees_per_round(task) if task.problem == "multilabel" else 1),
    requires=("torch",), smoke={"epochs": 40, "width": 64, "layers": 1, "learning_rate": 5e-3}, rank=10)
