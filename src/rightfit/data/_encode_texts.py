"""What a text column says of the target: a ridge regression on TF-IDF, whose answers join the other features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from rightfit.data import encode_apply as apply
from rightfit.records import Column

FOLDS = 5
FEWEST = 20  # texts with words, below which there is nothing to learn
TERMS = 20_000  # numbers in the package: terms times targets
ROWS = 30_000  # texts that are learned from, so that memory is bounded
STRENGTH = 1.0  # for rows of unit length; of 0.3, 1, 2 and 4 the best on EmoBank by cross-validation: R2 0.306
DIGITS = 5
STEPS = 50


def score(column: Column, values: Any, targets: tuple[Any, list[str]], options: Mapping[str, Any],
          seed: int) -> tuple[dict[str, Any], Any] | None:
    """(block, cross-fitted float64 (n, t)) of one text column, None where its texts are too few or all alike.

    targets: (float64 (n, t), names). No row is scored by a regression that has seen its target. Of more than ROWS
    texts, a part drawn by the seed is learned from.
    """
    texts = [v if isinstance(v, str) else "" for v in values.to_numpy(dtype=object)]
    y, labels = targets
    if not options["text_scores"] or sum(map(bool, texts)) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(texts))
    learnt, others = np.sort(order[:ROWS]), np.sort(order[ROWS:])
    found = [apply.terms(texts[at]) for at in learnt]
    counts = Counter(chain.from_iterable(found))
    most = max(TERMS // max(y.shape[1], 1), 1000)
    kept = sorted((t for t, c in counts.items() if 2 <= c < len(found)), key=lambda t: (-counts[t], t))[:most]
    if not kept:
        return None
    idf = np.log((1 + len(found)) / (1 + np.array([counts[t] for t in kept]))) + 1.0
    X, Y, fold = _matrix(found, kept, idf), y[learnt], np.arange(len(found)) % FOLDS
    rng.shuffle(fold)
    out = np.empty_like(y)
    for k in range(FOLDS):
        weights, bias = _ridge(X[fold != k], Y[fold != k])
        out[learnt[fold == k]] = X[fold == k] @ weights + bias
    weights, bias = _ridge(X, Y)
    named = [f"{column.name} (score)"] if len(labels) == 1 else [f"{column.name} ({label})" for label in labels]
    block = {"kind": "score", "column": column.name, "names": named, "bias": bias.tolist(),
             "center": [0.0] * len(bias), "scale": [1.0] * len(bias),
             "terms": {t: [round(float(v), DIGITS) for v in (i, *w)]
                       for t, i, w in zip(kept, idf, weights, strict=True)}}
    if len(others):  # no regression has seen these
        out[others] = apply.columns(block, values.iloc[others].to_frame())
    if options["scale"] != "none":
        spread = out.std(axis=0)
        block |= {"center": out.mean(axis=0).tolist(), "scale": np.where(spread > 1e-9, spread, 1.0).tolist()}
    return block, (out - block["center"]) / block["scale"]


def _matrix(found: list[set[str]], kept: list[str], idf: Any) -> Any:
    """TF-IDF of presence, rows of unit length: csr float64 (n, f)."""
    from scipy import sparse

    place = {term: at for at, term in enumerate(kept)}
    rows = [sorted(place[term] for term in terms if term in place) for terms in found]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.fromiter(chain.from_iterable(rows), np.int64, indptr[-1])
    X = sparse.csr_array((idf[indices], indices, indptr), shape=(len(rows), len(kept)))
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1.0 / np.where(norms > 0, norms, 1.0)) @ X)


def _ridge(X: Any, y: Any) -> tuple[Any, Any]:
    """Weights (f, t) and bias (t,) of ridge regressions of y (n, t) on sparse rows."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=STRENGTH, solver="sparse_cg", max_iter=STEPS, tol=1e-3).fit(X, y)
    return model.coef_.reshape(y.shape[1], -1).T, np.broadcast_to(model.intercept_, y.shape[1:])
