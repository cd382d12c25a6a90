"""Long short-term memory and gated recurrent units, reading in both directions, trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.errors import UsageError
from rightfit.models.text import _net
from rightfit.records import Dimension, Facts, Family, Task

# One layer in both directions under a maximum over time, as Conneau et al. 2017, smaller for a CPU.
DEFAULTS: Mapping[str, Any] = {
    "cell": "lstm", "unit": "word", "min_df": 2, "max_features": 20_000, "max_length": 256, "embedding": 128,
    "width": 128, "layers": 1, "dropout": 0.4, "word_dropout": 0.1, "weight_decay": 0.05, "learning_rate": 3e-3,
    "batch": 64, "epochs": 10, "early_stopping": True, "patience": 4, "label_smoothing": 0.05, "clip": 1.0,
}
CELLS = ("lstm", "gru")


def make(ids: int, outputs: int, params: Mapping[str, Any]) -> Any:
    """A torch module from ids int64 (n, length) to logits (n, outputs); what stands behind a text changes nothing.

    The way back reads each text from its own last word: the words before the padding are turned round. Raises
    UsageError for a cell that is neither lstm nor gru.
    """
    import torch

    if params["cell"] not in CELLS:
        raise UsageError(f"cell must be one of {', '.join(CELLS)}; got cell={params['cell']!r}.")
    kind = torch.nn.LSTM if params["cell"] == "lstm" else torch.nn.GRU
    width, size = int(params["embedding"]), int(params["width"])

    class Recurrent(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Embedding, recurrent layers in both directions, maximum and mean over the words, dropout, linear."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = _net.embedding(ids, width)
            fans = [width, *[2 * size] * (int(params["layers"]) - 1)]
            self.on = torch.nn.ModuleList(kind(fan, size, batch_first=True) for fan in fans)
            self.back = torch.nn.ModuleList(kind(fan, size, batch_first=True) for fan in fans)
            self.drop = torch.nn.Dropout(float(params["dropout"]))
            self.head = torch.nn.Linear(4 * size, outputs)

        def forward(self, X: Any) -> Any:
            X, mask = _net.masked(X)
            at = torch.arange(X.shape[1], device=X.device)[None]
            last = mask.sum(dim=1).to(at.dtype) - 1
            turn = torch.where(at <= last, last - at, at)[:, :, None]
            x = self.drop(self.embed(X)) * mask
            start = torch.zeros_like(x[:, 0, :1]).expand(-1, size)[None]
            begin = (start, start) if params["cell"] == "lstm" else start
            for on, back in zip(self.on, self.back, strict=True):
                turned = torch.gather(x, 1, turn.expand(-1, -1, x.shape[2]))
                y, z = on(x, begin)[0], back(turned, begin)[0]
                x = torch.cat([y, torch.gather(z, 1, turn.expand(-1, -1, size))], dim=2) * mask
            largest = (x + (mask - 1) * _net.FAR).amax(dim=1)
            return self.head(self.drop(torch.cat([largest, _net.mean(x, mask)], dim=1)))

    return Recurrent()


def build(params: Mapping[str, Any], task: Task) -> _net.TextModel:
    """An unfitted recurrent network."""
    return _net.TextModel(task, {**DEFAULTS, **params}, make)


def _untrained(params: Mapping[str, Any], task: Task, data: Any) -> _net.TextModel:
    return _net.untrained(make)({**DEFAULTS, **params}, task, data)


SPEC = Family(
    name="lstm", modality="text", problems=_net.PROBLEMS, build=build,
    facts=Facts(year=1997, paper="Hochreiter & Schmidhuber 1997, Long Short-Term Memory; in both directions: Graves & "
                                 "Schmidhuber 2005; cell=gru: Cho et al. 2014; maximum over time: Conneau et al. 2017",
                licence="BSD-3-Clause", framework="torch", good_at="order of words, negation, medium lengths",
                bad_at="few texts: its word vectors are learned from them alone; long texts are slow, word after word",
                pretrained="none: word vectors are learned from scratch"),
    space={"cell": Dimension(choices=CELLS), "embedding": Dimension(low=64, high=256, log=True, whole=True),
           "width": Dimension(low=64, high=256, log=True, whole=True), "layers": Dimension(low=1, high=2, whole=True),
           "dropout": Dimension(low=0.1, high=0.6), "word_dropout": Dimension(low=0.0, high=0.3),
           "weight_decay": Dimension(low=1e-3, high=0.3, log=True),
           "learning_rate": Dimension(low=5e-4, high=6e-3, log=True), "unit": Dimension(choices=("word", "char"))},
    defaults=DEFAULTS, variants=({"cell": "gru"},), regularisers=("dropout", "word_dropout", "weight_decay"),
    handles=frozenset({"weights", "text", "nonlinear"}),
    seconds=lambda task: 4.0 + 1e-2 * task.rows, requires=("torch",),
    smoke={"min_df": 1, "max_features": 2000, "embedding": 32, "width": 32, "epochs": 8, "batch": 16,
           "learning_rate": 1e-2, "label_smoothing": 0.0},
    untrained=_untrained, rank=40, rung=0.25, haste=0.5, paced=True)
