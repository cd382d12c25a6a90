"""A weighted mean of finished candidates on pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models._blend import FACTS, Blend, compose
from rightfit.records import Family

DEFAULTS: Mapping[str, Any] = {"weights": [0.5, 0.5], "members": [{"family": "hog", "params": {}},
                                                                  {"family": "hog", "params": {"head": "linear"}}]}

SPEC = Family(
    name="image_blend", modality="image", problems=("binary", "multiclass", "multilabel", "regression"), build=Blend,
    facts=FACTS, defaults=DEFAULTS, handles=frozenset({"weights"}), seconds=lambda task: 4.0 + 5e-3 * task.rows,
    smoke=DEFAULTS, rank=90, compose=compose)
