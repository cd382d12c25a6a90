"""FT-Transformer: every feature a token, a few layers of attention over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular import _net
from rightfit.models.tabular._parts import Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dimension, Facts, Family, Task

# The architecture and defaults of the paper's package for two blocks, narrower for the sake of one core.
DEFAULTS: Mapping[str, Any] = {**_net.DEFAULTS, "layers": 2, "width": 64, "dropout": 0.1, "learning_rate": 1e-3,
                               "weight_decay": 1e-5, "epochs": 100, "patience": 12}
HEADS = 4
MOST = 120  # features, above which attention over them costs more than it brings


def _make(features: int, outputs: int, rows: Rows, params: Mapping[str, Any]) -> Any:
    import torch

    width, dropout = max(int(params["width"]) // HEADS * HEADS, HEADS), float(params["dropout"])
    bound = width ** -0.5

    def drawn(*shape: int) -> Any:
        return torch.nn.Parameter((2 * torch.rand(*shape) - 1) * bound)

    class Block(torch.nn.Module):
        """Attention, then a gated layer, each beside what came in; the first block does not normalise its input."""

        def __init__(self, first: bool) -> None:
            super().__init__()
            hidden = int(width * 4 / 3)
            self.before = torch.nn.Identity() if first else torch.nn.LayerNorm(width)
            self.asks, self.keys, self.values, self.out = (torch.nn.Linear(width, width) for _ in range(4))
            self.norm, self.wide = torch.nn.LayerNorm(width), torch.nn.Linear(width, 2 * hidden)
            self.narrow, self.drop = torch.nn.Linear(hidden, width), torch.nn.Dropout(dropout)
            self.drop_wide = torch.nn.Dropout(dropout / 2)

        def heads(self, x: Any) -> Any:
            return x.view(x.shape[0], -1, HEADS, width // HEADS).transpose(1, 2)

        def forward(self, x: Any, only_first: bool) -> Any:
            seen = self.before(x)
            mine = seen[:, :1] if only_first else seen
            weights = self.heads(self.asks(mine)) @ self.heads(self.keys(seen)).transpose(2, 3)
            weights = self.drop((weights * (width // HEADS) ** -0.5).softmax(-1))
            mixed = (weights @ self.heads(self.values(seen))).transpose(1, 2).flatten(2)
            x = (x[:, :1] if only_first else x) + self.out(mixed)
            left, gate = self.wide(self.norm(x)).chunk(2, dim=-1)
            return x + self.narrow(self.drop_wide(left * torch.relu(gate)))

    class Transformer(torch.nn.Module):
        """Each feature is its value times a vector plus a vector; the answer is read from one more token."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias, self.answer = drawn(features, width), drawn(features, width), drawn(1, 1, width)
            self.blocks = torch.nn.ModuleList(Block(at == 0) for at in range(int(params["layers"])))
            self.head = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.ReLU(),
                                            torch.nn.Linear(width, outputs))

        def forward(self, x: Any) -> Any:
            tokens = x[:, :, None] * self.weight + self.bias
            tokens = torch.cat([self.answer + 0 * tokens[:, :1], tokens], 1)
            for at, block in enumerate(self.blocks):
                tokens = block(tokens, at == len(self.blocks) - 1)
            return self.head(tokens[:, 0])

    return Transformer()


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted FT-Transformer."""
    return TabularModel(task, {**DEFAULTS, **params}, _net.learner(_make), {**_net.ENCODER, "tokens": MOST})


SPEC = Family(
    name="ft_transformer", modality="tabular", problems=("binary", "multiclass", "regression"), build=build,
    facts=Facts(year=2021, paper="Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021",
                licence="BSD-3-Clause", framework="torch", good_at="interactions of features; differs from trees",
                bad_at="by far the slowest to train on a CPU; many columns"),
    space={"width": Dimension(choices=(32, 64, 96, 128)), "layers": Dimension(low=1, high=3, whole=True),
           "dropout": Dimension(low=0.0, high=0.4), "early_stopping": Dimension(choices=(True,)),
           "weight_decay": Dimension(low=1e-6, high=1e-3, log=True),
           "learning_rate": Dimension(low=1e-4, high=3e-3, log=True)},
    defaults=DEFAULTS, regularisers=("dropout", "weight_decay", "early_stopping"),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 10.0 + 1e-3 * task.rows * (5 + task.features),
    requires=("torch",),
    smoke={"epochs": 40, "width": 16, "layers": 1, "learning_rate": 1e-2, "batch": 32}, rank=40)
