"""data/treatments: each changes the rows to learn from as it says, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rightfit.records import Audit, Column, Dataset, Finding, Schema, Task, Treatment
from rightfit.registry import plugins

TREATMENTS: dict[str, Treatment] = plugins("rightfit.data.treatments")
SCHEMA = Schema(columns=(Column(name="a", kind="numeric"),))


def dataset(y: Any, **more: Any) -> Dataset:
    return Dataset(X=pd.DataFrame({"a": np.arange(len(y), dtype=float)}), y=np.asarray(y), schema=SCHEMA, **more)


def plans(problem: Any, *codes: str, rows: int = 100) -> set[str]:
    found = Audit(rows=rows, columns=1, findings=tuple(Finding(code=c, severity="info") for c in codes))
    task = Task(modality="tabular", problem=problem, target=("y",), metric="f1")
    return {name for name, t in TREATMENTS.items() if t.plan(found, task) is not None}


def test_findings_call_for_treatments() -> None:
    assert plans("binary") == plans("regression") == set()
    assert plans("binary", "class_imbalance") == {"class_weight", "oversample"}
    assert plans("multiclass", "class_imbalance", rows=10**6) == {"class_weight"}
    assert plans("regression", "target_outliers") == {"clip_target"}
    assert plans("regression", "class_imbalance") == plans("binary", "target_outliers") == set()


def test_class_weight_gives_every_class_the_same_say() -> None:
    data = dataset([0] * 90 + [1] * 9 + [2])
    weight = TREATMENTS["class_weight"].apply(data, {"power": 1.0}, 0).weight
    says = [weight[data.y == c].sum() for c in range(3)]
    assert says == pytest.approx([100 / 3] * 3) and weight.mean() == pytest.approx(1.0)
    half = TREATMENTS["class_weight"].apply(data, {"power": 0.5}, 0).weight
    assert half[-1] / half[0] == pytest.approx(90**0.5)
    given = dataset([0, 0, 1, 1], weight=np.array([1.0, 3.0, 1.0, 3.0]))
    assert TREATMENTS["class_weight"].apply(given, {}, 0).weight == pytest.approx([0.5, 1.5, 0.5, 1.5])


def test_oversample_repeats_only_rare_rows() -> None:
    data = dataset([0] * 90 + [1] * 9 + [2], groups=np.arange(100))
    more = TREATMENTS["oversample"].apply(data, {"share": 0.5}, 3)
    assert np.bincount(more.y).tolist() == [90, 45, 45]
    assert set(more.X["a"]) == set(data.X["a"]) and (more.groups == more.X["a"]).all()
    assert (np.digitize(more.X["a"], [89.5, 98.5]) == more.y).all()
    again, other = (TREATMENTS["oversample"].apply(data, {"share": 0.5}, seed) for seed in (3, 4))
    assert (again.X["a"] == more.X["a"]).all() and not (other.X["a"] == more.X["a"]).all()
    even = dataset([0, 1] * 10)
    assert TREATMENTS["oversample"].apply(even, {"share": 0.5}, 0) is even
    single = dataset([1] * 5)
    assert TREATMENTS["oversample"].apply(single, {}, 0) is single


def test_clip_target_pulls_in_the_ends_only() -> None:
    y = np.r_[np.linspace(0, 1, 998), 1e6, -1e6]
    data = dataset(y)
    clipped = TREATMENTS["clip_target"].apply(data, {"low": 0.005, "high": 0.995}, 0).y
    assert clipped.min() >= 0 and clipped.max() <= 1 and (clipped[10:980] == y[10:980]).all()
    assert data.y[-1] == -1e6
    two = TREATMENTS["clip_target"].apply(dataset(np.c_[y, 2 * y]), {}, 0).y
    assert two.shape == (1000, 2) and two[:, 1].max() <= 2
