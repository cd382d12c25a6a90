"""Class weights: every class gets the same say, whatever its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.records import Audit, Dataset, Task, Treatment


def plan(audit: Audit, task: Task) -> Mapping[str, Any] | None:
    """Called for when the audit found a class imbalance."""
    return {"power": 1.0} if task.one_label and audit.of("class_imbalance") else None


def apply(data: Dataset, params: Mapping[str, Any], seed: int) -> Dataset:
    """The same rows with weights proportional to (1 / class size) ** power, mean 1 (King and Zeng 2001); given
    weights are kept as factors.
    """
    counts = np.bincount(data.y).astype(float)
    weight = counts[data.y] ** -float(params.get("power", 1.0))
    if data.weight is not None:
        weight = weight * data.weight
    return dataclasses.replace(data, weight=weight / weight.mean())


SPEC = Treatment(name="class_weight", plan=plan, apply=apply, handles="class_imbalance", doc="Weights rows by the "
                                                                                             "rarity of their class.")
