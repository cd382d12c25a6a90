"""Baseline of texts: the share of each class, or the mean or median of the target, whatever the words say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.text._model import Learned, TextBag
from rightfit.models.text._solve import Sparse
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {"center": "mean"}
LEAST = 1e-9


def learn(rows: Sparse, params: Mapping[str, Any]) -> Learned:
    """The scores whose link is the shares of the classes, or the centre of the values."""
    if rows.link == "identity" and params["center"] == "median":
        bias = np.median(rows.y, axis=0)
    else:
        bias = np.average(rows.y, axis=0, weights=rows.weight)
    if rows.link != "identity":
        share = np.clip(bias, LEAST, 1 - LEAST)
        bias = np.log(share) if rows.link == "softmax" else np.log(share / (1 - share))
    return Learned(weight=np.zeros((rows.X.shape[1], rows.y.shape[1])), bias=bias, params={})


def build(params: Mapping[str, Any], task: Task) -> TextBag:
    """An unfitted baseline."""
    return TextBag(task, {**DEFAULTS, **params, "words": 0, "chars": 0}, learn)


SPEC = Family(
    name="text_baseline", modality="text", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=1993,
                paper="after Holte, Very simple classification rules perform well on most commonly used datasets",
                licence="Apache-2.0", framework="numpy",
                good_at="costs nothing, cannot over-fit, says what a score is worth", bad_at="reads no word"),
    space={"center": Dimension(choices=("mean", "median"))}, defaults=DEFAULTS, variants=({"center": "median"},),
    handles=frozenset({"missing", "text", "weights", "wide"}), seconds=lambda task: 0.05, rank=100, baseline=True)
