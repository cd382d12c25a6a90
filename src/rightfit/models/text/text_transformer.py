"""A small Transformer encoder (Vaswani et al. 2017), trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.errors import UsageError
from rightfit.models.text import _net
from rightfit.records import Dimension, Facts, Family, Task

# Norms before the blocks, which trains without long warm-up (Xiong et al. 2020); two layers of 128 for few texts.
DEFAULTS: Mapping[str, Any] = {
    "unit": "word", "min_df": 2, "max_features": 20_000, "max_length": 256, "width": 128, "heads": 4, "layers": 2,
    "dropout": 0.3, "word_dropout": 0.1, "weight_decay": 0.05, "learning_rate": 1e-3, "batch": 64, "epochs": 15,
    "early_stopping": True, "patience": 5, "label_smoothing": 0.05, "clip": 1.0,
}


def _positions(length: int, width: int) -> Any:
    """Sines and cosines (length, width) of the positions, as Vaswani et al."""
    import torch

    rates = torch.exp(torch.arange(0, width, 2) * (-9.21 / width))  # 1 .. 1 / 10,000
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


def make(ids: int, outputs: int, params: Mapping[str, Any]) -> Any:
    """A torch module from ids int64 (n, length) to logits (n, outputs); what stands behind a text changes nothing.

    Raises UsageError when the heads do not divide the width.
    """
    import torch

    width, heads, drop = int(params["width"]), int(params["heads"]), float(params["dropout"])
    if width % heads:
        raise UsageError(f"heads must divide the width; got width={width}, heads={heads}.")

    class Block(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Attention among the words, then two layers on each; both are added to what came in."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
            self.ask, self.give = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
            self.each = torch.nn.Sequential(torch.nn.Linear(width, 4 * width), torch.nn.GELU(), torch.nn.Dropout(drop),
                                            torch.nn.Linear(4 * width, width))
            self.drop = torch.nn.Dropout(drop)

        def forward(self, x: Any, away: Any) -> Any:
            n, length, _ = x.shape
            q, k, v = self.ask(self.first(x)).reshape(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            share = torch.softmax((q @ k.transpose(2, 3)) * (width // heads) ** -0.5 + away, dim=3)
            x = x + self.drop(self.give((share @ v).transpose(1, 2).reshape(n, length, width)))
            return x + self.drop(self.each(self.second(x)))

    class Transformer(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Embedding and positions, blocks, mean over the words, dropout, linear."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = _net.embedding(ids, width)
            self.positions: Any
            self.register_buffer("positions", _positions(int(params["max_length"]) + 1, width), persistent=False)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(int(params["layers"])))
            self.norm, self.drop = torch.nn.LayerNorm(width), torch.nn.Dropout(drop)
            self.head = torch.nn.Linear(2 * width, outputs)

        def forward(self, X: Any) -> Any:
            X, mask = _net.masked(X)
            away = (mask.transpose(1, 2)[:, None] - 1) * _net.FAR
            x = self.drop(self.embed(X) * width ** 0.5 + self.positions[:X.shape[1]])
            for block in self.blocks:
                x = block(x, away)
            x = self.norm(x) * mask
            largest = (x + (mask - 1) * _net.FAR).amax(dim=1)
            return self.head(self.drop(torch.cat([largest, _net.mean(x, mask)], dim=1)))

    return Transformer()


def build(params: Mapping[str, Any], task: Task) -> _net.TextModel:
    """An unfitted Transformer."""
    return _net.TextModel(task, {**DEFAULTS, **params}, make)


def _untrained(params: Mapping[str, Any], task: Task, data: Any) -> _net.TextModel:
    return _net.untrained(make)({**DEFAULTS, **params}, task, data)


SPEC = Family(
    name="text_transformer", modality="text", problems=_net.PROBLEMS, build=build,
    facts=Facts(year=2017, paper="Vaswani et al. 2017, Attention Is All You Need; norms first: Xiong et al. 2020",
                licence="BSD-3-Clause", framework="torch", good_at="relations between distant words; many texts",
                bad_at="few texts: nothing in it is pretrained; length costs its square",
                pretrained="none: trained from scratch, see the families bert and frozen_encoder"),
    space={"width": Dimension(choices=(64, 128, 192, 256)), "layers": Dimension(low=1, high=4, whole=True),
           "dropout": Dimension(low=0.0, high=0.5), "word_dropout": Dimension(low=0.0, high=0.3),
           "weight_decay": Dimension(low=1e-3, high=0.3, log=True),
           "learning_rate": Dimension(low=2e-4, high=3e-3, log=True), "unit": Dimension(choices=("word", "char"))},
    defaults=DEFAULTS, variants=({"layers": 1, "dropout": 0.5},),
    regularisers=("dropout", "word_dropout", "weight_decay"),
    handles=frozenset({"weights", "text", "nonlinear"}),
    seconds=lambda task: 4.0 + 1.2e-2 * task.rows, requires=("torch",),
    smoke={"min_df": 1, "max_features": 2000, "width": 32, "heads": 2, "layers": 1, "dropout": 0.1, "epochs": 8,
           "batch": 16, "learning_rate": 5e-3, "label_smoothing": 0.0},
    untrained=_untrained, rank=45, rung=0.25, haste=0.5, paced=True)
