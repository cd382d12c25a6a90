"""TabM: one multilayer perceptron that makes many predictions, as good as an ensemble of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular import _net
from rightfit.models.tabular._parts import Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# The paper's architecture with k and width cut to what one core trains in seconds; its learning rate and decay.
DEFAULTS: Mapping[str, Any] = {**_net.DEFAULTS, "width": 128, "layers": 3, "dropout": 0.1, "k": 16,
                               "learning_rate": 2e-3, "weight_decay": 3e-4}


def _make(features: int, outputs: int, rows: Rows, params: Mapping[str, Any]) -> Any:
    import torch
    from tabm import TabM

    net = TabM.make(n_num_features=features, d_out=outputs, k=int(params["k"]), d_block=int(params["width"]),
                    n_blocks=int(params["layers"]), dropout=float(params["dropout"]))
    # Its own forward stacks columns by an operator that ONNX lacks; of numbers alone there is nothing to stack.
    return torch.nn.Sequential(net.ensemble_view, net.backbone, net.output)


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted TabM."""
    return TabularModel(task, {**DEFAULTS, **params}, _net.learner(_make), _net.ENCODER)


SPEC = Family(
    name="tabm", modality="tabular", problems=("binary", "multiclass", "regression"), build=build,
    facts=Facts(year=2025, paper="Gorishniy, Kotelnikov & Babenko, TabM: Advancing Tabular Deep Learning with "
                                 "Parameter-Efficient Ensembling, ICLR 2025",
                licence="Apache-2.0", framework="torch",
                good_at="the best of the plain networks for tables; errs elsewhere than trees, so it blends well",
                bad_at="slower to train than boosters on a CPU; few rows"),
    space={"width": Dimension(low=64, high=256, log=True, whole=True), "layers": Dimension(low=1, high=4, whole=True),
           "dropout": Dimension(low=0.0, high=0.5), "early_stopping": Dimension(choices=(True,)),
           "k": Dimension(choices=(8, 16, 32)),
           "weight_decay": Dimension(low=1e-5, high=0.1, log=True),
           "learning_rate": Dimension(low=3e-4, high=5e-3, log=True)},
    defaults=DEFAULTS, regularisers=("dropout", "weight_decay", "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 15.0 + 1.5e-2 * task.rows * (1 + task.features / 200),
    requires=("torch", "tabm"), smoke={"epochs": 30, "width": 32, "layers": 1, "k": 4, "learning_rate": 1e-2}, rank=11)
