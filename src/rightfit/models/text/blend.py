"""A weighted mean of finished candidates on texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models._blend import FACTS, Blend, compose
from rightfit.records import Family

DEFAULTS: Mapping[str, Any] = {"members": [{"family": "tfidf_nb", "params": {}}, {"family": "tfidf_svm", "params": {}}],
                               "weights": [0.5, 0.5]}

SPEC = Family(
    name="text_blend", modality="text", problems=("binary", "multiclass", "multilabel", "regression"), build=Blend,
    facts=FACTS, defaults=DEFAULTS, handles=frozenset({"missing", "text", "weights"}),
    seconds=lambda task: 2.0 + 5e-4 * task.rows, smoke=DEFAULTS, rank=90, compose=compose)
