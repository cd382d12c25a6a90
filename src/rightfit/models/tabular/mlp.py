"""Multilayer perceptron with dropout and weight decay, trained by torch and served without it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rightfit.models._nn.adamw import AdamW
from rightfit.models.tabular._graph import Graph
from rightfit.models.tabular._parts import Core, Rows, threads, trees_per_round
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# Quantile-scaled columns, AdamW and early stopping as in Gorishniy et al. 2021; sizes as in their tuned median.
DEFAULTS: Mapping[str, Any] = {
    "epochs": 200, "width": 256, "layers": 2, "dropout": 0.15, "weight_decay": 0.01, "learning_rate": 1e-3,
    "batch": 256, "early_stopping": True, "patience": 20,
}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "quantile",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 500}
FEW_ROWS_EPOCHS = 50
DECAY = 0.98  # per epoch, so that the schedule does not depend on how many epochs will follow
CHUNK = 4096


class _Net:
    """Weights (a list of (in, out) matrices and biases) and their training; draws only from its own generator."""

    def __init__(self, sizes: list[int], dropout: float, seed: int) -> None:
        import torch

        self.dropout = dropout
        self.random = torch.Generator().manual_seed(seed)
        self.weights: list[Any] = []
        self.biases: list[Any] = []
        for i, (fan, out) in enumerate(pairwise(sizes)):
            bound = (6.0 / fan) ** 0.5 if i < len(sizes) - 2 else fan ** -0.5
            self.weights.append((torch.rand(fan, out, generator=self.random) * 2 - 1).mul_(bound).requires_grad_())
            self.biases.append(torch.zeros(out).requires_grad_())

    def __call__(self, x: Any, training: bool = False) -> Any:
        import torch

        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            if i < len(self.weights) - 1:
                x = torch.relu(x)
                if training and self.dropout > 0:
                    keep = torch.rand(x.shape, generator=self.random) >= self.dropout
                    x = x * keep / (1.0 - self.dropout)
        return x

    def copy(self) -> list[Any]:
        """All weights and biases, detached."""
        return [tensor.detach().clone() for tensor in (*self.weights, *self.biases)]

    def put(self, tensors: list[Any]) -> None:
        """Weights and biases back from `copy`."""
        half = len(tensors) // 2
        self.weights, self.biases = tensors[:half], tensors[half:]


def _loss(net: _Net, X: Any, y: Any, weight: Any, training: bool) -> Any:
    import torch

    out = net(X, training)
    if y.is_floating_point():
        each = (out[:, 0] - y) ** 2
    else:
        each = torch.nn.functional.cross_entropy(out, y, reduction="none")
    return (each * weight).sum() / weight.sum()


def _tensors(rows: Rows) -> tuple[Any, Any, Any]:
    import torch

    kind = np.int64 if rows.classes else np.float32
    weight = np.ones(len(rows.y)) if rows.weight is None else np.maximum(rows.weight, 1e-9)
    return (torch.from_numpy(np.ascontiguousarray(rows.X)), torch.from_numpy(rows.y.astype(kind)),
            torch.from_numpy(weight.astype(np.float32)))


def _train(rows: Rows, params: Mapping[str, Any], net: _Net) -> int:
    """Train until no better on the inner rows, or late; leaves the best weights in the net, returns the epochs."""
    import torch

    epochs, train, valid = int(params["epochs"]), rows, None
    if rows.inner is not None:
        train, valid = rows.take(rows.inner[0]), _tensors(rows.take(rows.inner[1]))
    elif params["early_stopping"]:
        epochs = min(epochs, FEW_ROWS_EPOCHS)
    X, y, weight = _tensors(train)
    groups = [{"params": net.weights, "weight_decay": params["weight_decay"]},
              {"params": net.biases, "weight_decay": 0.0}]
    steps = AdamW(groups, lr=params["learning_rate"])
    best, kept, at, done = float("inf"), net.copy(), 0, 0
    for epoch in range(1, epochs + 1):
        for group in steps.param_groups:
            group["lr"] = params["learning_rate"] * DECAY ** (epoch - 1)
        for rows_of in torch.split(torch.randperm(len(y), generator=net.random), int(params["batch"])):
            steps.zero_grad()
            _loss(net, X[rows_of], y[rows_of], weight[rows_of], training=True).backward()
            steps.step()
            if time.monotonic() >= rows.deadline:
                break
        done = epoch
        if valid is not None:
            with torch.no_grad():
                value = float(_loss(net, *valid, training=False))
            if value < best:
                best, kept, at = value, net.copy(), epoch
            if epoch - at >= int(params["patience"]):
                break
        if time.monotonic() >= rows.deadline:
            break
    net.put(kept if valid is not None and at else net.copy())
    return at or done


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    import torch

    features = rows.X.shape[1]
    sizes = [features, *[int(params["width"])] * int(params["layers"]), max(rows.classes, 1)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads())
    try:
        net = _Net(sizes, float(params["dropout"]), rows.seed % 2**31)
        epochs = _train(rows, params, net)
    finally:
        torch.set_num_threads(before)

    def predict(X: Any) -> Any:
        with torch.no_grad():
            out = torch.cat([net(part) for part in torch.split(torch.from_numpy(np.ascontiguousarray(X)), CHUNK)])
            return (torch.softmax(out, dim=1) if rows.classes else out).numpy()

    def onnx() -> Any:
        graph = Graph(features, wide=False)
        value, last = graph.x, len(net.weights) - 1
        for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            value = graph("Gemm", value, graph.constant(weight.numpy(), np.float32),
                          graph.constant(bias.numpy(), np.float32))
            value = graph("Relu", value) if i < last else value
        return graph.model(graph("Softmax", value, axis=1) if rows.classes else value, sizes[-1])

    return Core(predict=predict, onnx=onnx, learned={"epochs": epochs})


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted multilayer perceptron."""
    return TabularModel(task, {**DEFAULTS, **params}, _learn, ENCODER)


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
    seconds=lambda task: 3.0 + 5e-4 * task.rows * (1 + task.features / 200) * (
        trees_per_round(task) if task.problem == "multilabel" else 1),
    requires=("torch",), smoke={"epochs": 40, "width": 64, "layers": 1, "learning_rate": 5e-3}, rank=10)
