"""Linear support vector machine on TF-IDF of words and characters, its scores made probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular._parts import trees_per_round
from rightfit.models.text import _solve
from rightfit.models.text._model import FEATURES, Learned, TextBag, plain
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {**FEATURES, "C": None}
STRENGTH = _solve.Strength(name="C", start=0.3, step=3.0, low=1e-4, high=100.0)
FITS = 5  # on all rows, that a fit costs with its choice of C and its calibration


def learn(rows: _solve.Sparse, params: Mapping[str, Any]) -> Learned:
    """Weights by LIBLINEAR on as many rows as the deadline allows."""
    rows = _solve.affordable(rows, _solve.margins, STRENGTH.start, FITS if params.get("C") is None else 2)
    return plain(*_solve.learn(rows, _solve.margins, STRENGTH, params))


def build(params: Mapping[str, Any], task: Task) -> TextBag:
    """An unfitted support vector machine."""
    return TextBag(task, {**DEFAULTS, **params}, learn)


SPEC = Family(
    name="tfidf_svm", modality="text", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=1998, paper="Joachims, Text categorization with support vector machines; Fan et al. 2008, "
                                 "LIBLINEAR; probabilities: Platt 1999, Guo et al. 2017",
                licence="BSD-3-Clause", framework="scikit-learn",
                good_at="many classes, few texts of each, any language; quick to train",
                bad_at="word order beyond pairs; probabilities are fitted afterwards"),
    space={"C": Dimension(low=0.01, high=10.0, log=True), "min_df": Dimension(low=1, high=5, whole=True),
           "max_features": Dimension(low=5_000, high=300_000, log=True, whole=True),
           "words": Dimension(low=1, high=3, whole=True), "chars": Dimension(choices=(0, 4, 5, 6)),
           "sublinear": Dimension(choices=(True, False))},
    defaults=DEFAULTS, variants=({"chars": 0}, {"max_features": 20_000}),
    regularisers=("C", "min_df", "max_features"), handles=frozenset({"missing", "text", "weights", "wide"}),
    seconds=lambda task: 0.5 + 2e-4 * task.rows * (1 + 0.05 * trees_per_round(task)),
    requires=("sklearn", "safetensors"), rank=10)
