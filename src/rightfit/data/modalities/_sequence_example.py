"""Origins of made-up series: an easy problem for the conformance suite, and hard rows that every model must survive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.records import Column, Dataset, Problem, Schema, Task

LAGS, HORIZON, PERIOD = 16, 4, 8


def example(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """Histories (n, 16) of seasonal series, each of its own level and phase, and the next four steps; with
    `noise` all is noise about one level."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    steps = np.arange(LAGS + HORIZON)
    level, phase, height = rng.normal(100, 10, (n, 1)), rng.integers(0, PERIOD, (n, 1)), rng.uniform(5, 15, (n, 1))
    if noise:
        level, height = np.full((n, 1), 100.0), np.zeros((n, 1))
    values = level + height * np.sin(2 * np.pi * (steps + phase) / PERIOD) + rng.normal(0, 1, (n, len(steps)))
    frame = pd.DataFrame({f"y[t-{k}]": values[:, LAGS - 1 - k] for k in range(LAGS)})
    y = np.ascontiguousarray(values[:, LAGS:])
    schema = Schema(columns=tuple(Column(name=name, kind="numeric") for name in frame.columns))
    task = Task(modality="sequence", problem=problem, target=tuple(f"y[t+{k + 1}]" for k in range(HORIZON)), metric="",
                outputs=HORIZON, horizon=HORIZON, rows=n, features=LAGS)
    return Dataset(X=frame, y=y, schema=schema), task


def hard() -> Mapping[str, Any]:
    """{what is hard: frame}: nothing known, gaps, a constant, far away."""
    plain = example("forecasting")[0].X.iloc[:3].reset_index(drop=True)
    gaps = plain.copy()
    gaps.iloc[:, ::2] = np.nan
    return {"nothing known": plain * np.nan, "gaps": gaps, "constant": plain * 0 + 7.0, "far away": plain * 1e9}
