"""Logistic and ridge regression on TF-IDF of words and characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.tabular._parts import trees_per_round
from rightfit.models.text import _solve
from rightfit.models.text._model import FEATURES, Learned, TextBag, plain
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {**FEATURES, "C": None}
STRENGTH = {link: _solve.Strength(name="C", start=start, step=4.0, low=1e-3, high=1e3)
            for link, start in (("softmax", 16.0), ("pair", 4.0), ("sigmoid", 16.0), ("identity", 0.5))}


def learn(rows: _solve.Sparse, params: Mapping[str, Any]) -> Learned:
    """Weights by L-BFGS, which can be stopped at any step."""
    return plain(*_solve.learn(rows, _solve.least, STRENGTH[rows.link], params))


def build(params: Mapping[str, Any], task: Task) -> TextBag:
    """An unfitted linear model."""
    return TextBag(task, {**DEFAULTS, **params}, learn)


SPEC = Family(
    name="tfidf_linear", modality="text", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=1972, paper="Sparck Jones, A statistical interpretation of term specificity; Genkin, Lewis & "
                                 "Madigan 2007, Large-scale Bayesian logistic regression for text categorization",
                licence="Apache-2.0", framework="scipy",
                good_at="telling words; honest probabilities; any language; a tenth of a millisecond a text",
                bad_at="word order beyond pairs, meaning of words that were never seen"),
    space={"C": Dimension(low=0.05, high=200.0, log=True), "min_df": Dimension(low=1, high=5, whole=True),
           "max_features": Dimension(low=5_000, high=300_000, log=True, whole=True),
           "words": Dimension(low=1, high=3, whole=True), "chars": Dimension(choices=(0, 4, 5, 6)),
           "sublinear": Dimension(choices=(True, False))},
    defaults=DEFAULTS, variants=({"chars": 0}, {"max_features": 20_000}),
    regularisers=("C", "min_df", "max_features"), handles=frozenset({"missing", "text", "weights", "wide"}),
    seconds=lambda task: 0.5 + 2e-4 * task.rows * (1 + 0.15 * trees_per_round(task)),
    requires=("scipy", "safetensors"), rank=20)
