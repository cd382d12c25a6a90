"""A weighted mean of finished candidates on tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models._blend import FACTS, Blend, compose
from rightfit.records import Family

DEFAULTS: Mapping[str, Any] = {"members": [{"family": "linear", "params": {}}, {"family": "tree", "params": {}}],
                               "weights": [0.5, 0.5]}

SPEC = Family(
    name="blend", modality="tabular", problems=("binary", "multiclass", "multilabel", "regression"), build=Blend,
    facts=FACTS,
    defaults=DEFAULTS, handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear", "noise"}),
    seconds=lambda task: 2.0 + 1e-4 * task.rows, smoke=DEFAULTS, rank=90, compose=compose)
