"""Naive Bayes on TF-IDF of words and characters, and the linear model whose features it weighs (NBSVM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.models.tabular._parts import trees_per_round
from rightfit.models.text import _solve
from rightfit.models.text._model import FEATURES, Learned, TextBag, plain
from rightfit.records import Dimension, Facts, Family, Task

DEFAULTS: Mapping[str, Any] = {**FEATURES, "event": "nbsvm", "alpha": None, "C": None, "smoothing": 1.0,
                               "interpolation": 1.0}
ALPHA = _solve.Strength(name="alpha", start=0.1, step=3.0, low=1e-3, high=30.0)
STRENGTH = _solve.Strength(name="C", start=1.0, step=4.0, low=1e-3, high=1e3)
EVENTS = ("multinomial", "complement", "nbsvm")


def _sums(rows: _solve.Sparse, y: Any) -> Any:
    """Sums of the features over the rows of each column of y (n, m): float64 (f, m)."""
    return np.asarray(rows.X.T @ (y * rows.weight[:, None]))


def _shares(sums: Any, alpha: float) -> Any:
    """Smoothed log shares of the features, each column summing to 1 before the log."""
    smooth = sums + alpha
    return np.log(smooth / smooth.sum(axis=0))


def bayes(rows: _solve.Sparse, alpha: float, event: str) -> _solve.Weights:
    """Multinomial (McCallum & Nigam 1998) or complement (Rennie et al. 2003) naive Bayes, in closed form.

    Of two classes and of labels the score is the difference of yes and no.
    """
    sides = rows.y if rows.link == "softmax" else np.concatenate([rows.y, 1 - rows.y], axis=1)
    found = _sums(rows, sides)
    total = (sides * rows.weight[:, None]).sum(axis=0)
    if rows.link == "softmax":
        if event == "multinomial":
            return _shares(found, alpha), np.log(np.maximum(total, 1e-9) / total.sum())
        return -_shares(found.sum(axis=1, keepdims=True) - found, alpha), np.zeros(found.shape[1])
    k = rows.y.shape[1]
    yes, no = _shares(found[:, :k], alpha), _shares(found[:, k:], alpha)
    prior = np.log(np.maximum(total[:k], 1e-9) / np.maximum(total[k:], 1e-9))
    return yes - no, prior if event == "multinomial" else prior * 0.0


def _ratios(rows: _solve.Sparse, smoothing: float) -> Any:
    """Log-count ratios of each column against the rest, float64 (f, k): Wang & Manning 2012, on TF-IDF."""
    return _shares(_sums(rows, rows.y), smoothing) - _shares(_sums(rows, 1 - rows.y), smoothing)


def weighed(rows: _solve.Sparse, C: float, params: Mapping[str, Any]) -> _solve.Weights:
    """One linear model against the rest for each column, on features times their log-count ratios.

    `interpolation` 1 takes the weights as they are learned; less moves them towards their mean size, that is towards
    naive Bayes. Columns that the deadline leaves no time for are plain naive Bayes.
    """
    from dataclasses import replace

    from scipy import sparse

    ratios = _ratios(rows, float(params["smoothing"]))
    share = float(params["interpolation"])
    W, bias = ratios.copy(), np.zeros(rows.y.shape[1])
    for at in range(rows.y.shape[1]):
        if at and rows.left <= 0:
            break
        own = sparse.csr_array(rows.X @ sparse.diags_array(ratios[:, at]))
        one = replace(rows, X=own, y=rows.y[:, at:at + 1], link="pair")
        found, intercept = _solve.margins(one, C, None)
        if share < 1:
            found = share * found + (1 - share) * float(np.abs(found).mean())
        W[:, at], bias[at] = ratios[:, at] * found[:, 0], intercept[0]
    return W, bias


def learn(rows: _solve.Sparse, params: Mapping[str, Any]) -> Learned:
    """Weights of the event model asked for."""
    event = params["event"]
    if event == "nbsvm":
        def fit(part: _solve.Sparse, C: float, start: _solve.Weights | None) -> _solve.Weights:
            return weighed(part, C, params)

        rows = _solve.affordable(rows, fit, STRENGTH.start, 5 if params.get("C") is None else 2)
        return plain(*_solve.learn(rows, fit, STRENGTH, params))
    return plain(*_solve.learn(rows, lambda part, alpha, start: bayes(part, alpha, event), ALPHA, params))


def build(params: Mapping[str, Any], task: Task) -> TextBag:
    """An unfitted naive Bayes model."""
    return TextBag(task, {**DEFAULTS, **params}, learn)


SPEC = Family(
    name="tfidf_nb", modality="text", problems=("binary", "multiclass", "multilabel"), build=build,
    facts=Facts(year=2012, paper="Wang & Manning, Baselines and Bigrams: Simple, Good Sentiment and Topic "
                                 "Classification; Rennie et al. 2003, Tackling the Poor Assumptions of Naive Bayes "
                                 "Text Classifiers",
                licence="BSD-3-Clause", framework="scikit-learn",
                good_at="few texts, snippets, sentiment; without NBSVM, learns in one pass",
                bad_at="words that go together are counted twice by plain naive Bayes"),
    space={"event": Dimension(choices=EVENTS), "C": Dimension(low=0.01, high=30.0, log=True),
           "alpha": Dimension(low=0.01, high=3.0, log=True), "smoothing": Dimension(low=0.1, high=3.0, log=True),
           "interpolation": Dimension(low=0.1, high=1.0), "min_df": Dimension(low=1, high=5, whole=True),
           "chars": Dimension(choices=(0, 4, 5, 6))},
    defaults=DEFAULTS, variants=({"event": "multinomial"}, {"event": "complement"}, {"weight": "binary", "chars": 0}),
    regularisers=("C", "alpha", "smoothing", "min_df"), handles=frozenset({"missing", "text", "weights", "wide"}),
    seconds=lambda task: 0.5 + 2e-4 * task.rows * (1 + 0.15 * trees_per_round(task)),
    requires=("sklearn", "safetensors"), rank=15)
