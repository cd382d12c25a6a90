"""Clipping the target: the farthest target values of the training rows are pulled in, so that few rows do not rule
the fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.records import Audit, Dataset, Task, Treatment


def plan(audit: Audit, task: Task) -> Mapping[str, Any] | None:
    """Called for when the audit found target outliers in a regression."""
    return {"low": 0.005, "high": 0.995} if task.problem == "regression" and audit.of("target_outliers") else None


def apply(data: Dataset, params: Mapping[str, Any], seed: int) -> Dataset:
    """The same rows with y winsorised at its low and high quantile (Tukey 1962); predictions need no undoing."""
    low, high = np.quantile(data.y, [float(params.get("low", 0.005)), float(params.get("high", 0.995))], axis=0)
    return dataclasses.replace(data, y=np.clip(data.y, low, high))


SPEC = Treatment(name="clip_target", plan=plan, apply=apply, handles="target_outliers", doc="Winsorises the training "
                                                                                            "target.")
