"""Convolutions over words and the largest answer of each filter (Kim 2014), trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.text import _net
from rightfit.records import Dimension, Facts, Family, Task

# Kim 2014 and Zhang & Wallace 2017: widths 3, 4, 5, 100-ish filters each, dropout .5 before the output.
DEFAULTS: Mapping[str, Any] = {
    "unit": "word", "min_df": 2, "max_features": 20_000, "max_length": 256, "embedding": 128, "filters": 128,
    "widths": [1, 3, 4, 5], "dropout": 0.5, "word_dropout": 0.1, "weight_decay": 0.05, "learning_rate": 2e-3,
    "batch": 64, "epochs": 15, "early_stopping": True, "patience": 5, "label_smoothing": 0.05, "clip": 1.0,
}


def make(ids: int, outputs: int, params: Mapping[str, Any]) -> Any:
    """A torch module from ids int64 (n, length) to logits (n, outputs); what stands behind a text changes nothing."""
    import torch
    from torch.nn import functional as f

    width, widths = int(params["embedding"]), [int(w) for w in params["widths"]]

    class TextCNN(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Embedding, convolutions of several widths, maximum over the words, dropout, linear."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = _net.embedding(ids, width)
            self.convolutions = torch.nn.ModuleList(
                torch.nn.Conv1d(width, int(params["filters"]), w) for w in widths)
            self.before, self.after = torch.nn.Dropout(0.2 * float(params["dropout"])), torch.nn.Dropout(
                float(params["dropout"]))
            self.head = torch.nn.Linear(int(params["filters"]) * len(widths), outputs)

        def forward(self, X: Any) -> Any:
            X, mask = _net.masked(X)
            mask = mask.transpose(1, 2)
            words = self.before(self.embed(X)).transpose(1, 2) * mask
            # Zeros stand on both sides of a text, as many as the filter is wide; relu makes 0 the least value.
            found = [(torch.relu(layer(f.pad(words, ((w - 1) // 2, w // 2)))) * mask).amax(dim=2)
                     for layer, w in zip(self.convolutions, widths, strict=True)]
            return self.head(self.after(torch.cat(found, dim=1)))

    return TextCNN()


def build(params: Mapping[str, Any], task: Task) -> _net.TextModel:
    """An unfitted TextCNN."""
    return _net.TextModel(task, {**DEFAULTS, **params}, make)


def _untrained(params: Mapping[str, Any], task: Task, data: Any) -> _net.TextModel:
    return _net.untrained(make)({**DEFAULTS, **params}, task, data)


SPEC = Family(
    name="textcnn", modality="text", problems=_net.PROBLEMS, build=build,
    facts=Facts(year=2014, paper="Kim 2014, Convolutional Neural Networks for Sentence Classification; settings: Zhang "
                                 "& Wallace 2017", licence="BSD-3-Clause", framework="torch",
                good_at="phrases that tell the class wherever they stand; quick to serve",
                bad_at="few texts: its word vectors are learned from them alone; relations over long distances",
                pretrained="none: word vectors are learned from scratch"),
    space={"embedding": Dimension(low=64, high=256, log=True, whole=True),
           "filters": Dimension(low=64, high=256, log=True, whole=True),
           "dropout": Dimension(low=0.1, high=0.7), "word_dropout": Dimension(low=0.0, high=0.3),
           "weight_decay": Dimension(low=1e-3, high=0.3, log=True),
           "learning_rate": Dimension(low=5e-4, high=5e-3, log=True), "unit": Dimension(choices=("word", "char"))},
    defaults=DEFAULTS, variants=({"unit": "char", "widths": [3, 4, 5, 7]},),
    regularisers=("dropout", "word_dropout", "weight_decay"),
    handles=frozenset({"weights", "text", "nonlinear"}),
    seconds=lambda task: 3.0 + 6e-3 * task.rows, requires=("torch",),
    smoke={"min_df": 1, "max_features": 2000, "embedding": 32, "filters": 32, "epochs": 8, "batch": 16,
           "learning_rate": 5e-3, "label_smoothing": 0.0},
    untrained=_untrained, rank=35, rung=0.25, haste=0.5, paced=True)
