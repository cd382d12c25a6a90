"""Estimates without labels cover what is realised where only covariates shift; labels are joined by id or refused."""

import numpy as np
import pandas as pd
import pytest

from rightfit.delivery.monitor.estimate import CBPE, DLE, Reference, estimated, join, realised
from rightfit.errors import DataError, UsageError
from rightfit.metrics import base
from rightfit.records import Rule, Task

BINARY = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"))
VALUES = Task(modality="tabular", problem="regression", target=("y",), metric="mae")


def classified(rng, n, shift=0.0, turn=1.0):
    x = rng.normal(shift, 1, n)
    p = 1 / (1 + np.exp(-1.5 * x))
    y = (rng.random(n) < 1 / (1 + np.exp(-1.5 * turn * x))).astype(int)
    return y, np.column_stack([1 - p, p])


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"])
def test_cbpe_covers_under_covariate_shift_and_not_under_concept_drift(metric):
    covered = lost = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y, pred = classified(rng, 1500)
        reference = Reference(task=BINARY, y=y, pred=pred)
        for turn in (1.0, 0.2):
            y, pred = classified(rng, 600, shift=0.7, turn=turn)
            found = estimated(metric, pred, reference, seed=seed)
            real = realised(metric, y, pred, BINARY, codes=base.labels(pred, BINARY, Rule())).value
            assert found.low <= found.value <= found.high and found.assumption == CBPE
            if turn == 1.0:
                covered += found.low <= real <= found.high
            else:
                lost += not found.low <= real <= found.high
    assert covered >= 18 and lost >= 18 and "no concept drift" in CBPE


def losses(rng, n, shift=0.0, noise=1.0):
    X = pd.DataFrame({"a": rng.normal(shift, 1, n), "kind": rng.choice(["u", "v"], n)})
    pred = 2 * X["a"].to_numpy()
    return X, pred, pred + noise * np.exp(0.4 * X["a"].to_numpy()) * rng.normal(size=n)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_dle_covers_under_covariate_shift_and_not_under_concept_drift(metric):
    covered = lost = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, pred, y = losses(rng, 1500)
        reference = Reference(task=VALUES, y=y, pred=pred, X=X)
        for noise in (1.0, 2.0):
            X, pred, y = losses(rng, 500, shift=0.5, noise=noise)
            found = estimated(metric, pred, reference, X=X)
            inside = found.low <= realised(metric, y, pred, VALUES).value <= found.high
            covered, lost = covered + (noise == 1.0 and inside), lost + (noise == 2.0 and not inside)
    assert covered >= 18 and lost >= 18 and found.assumption == DLE and "no concept drift" in DLE


def test_what_cannot_be_estimated_is_said():
    y, pred = classified(np.random.default_rng(0), 100)
    with pytest.raises(DataError, match="reference rows=10"):
        estimated("accuracy", pred, Reference(task=BINARY, y=y[:10], pred=pred[:10]))
    with pytest.raises(DataError, match="window rows=0"):
        estimated("accuracy", pred[:0], Reference(task=BINARY, y=y, pred=pred))
    with pytest.raises(UsageError, match="r2"):
        estimated("r2", pred[:, 0], Reference(task=VALUES, y=y, pred=pred[:, 0]))
    with pytest.raises(UsageError, match="features"):
        estimated("mae", pred[:, 0], Reference(task=VALUES, y=y, pred=pred[:, 0]))
    with pytest.raises(DataError, match="not finite=1"):
        estimated("accuracy", np.vstack([pred[:-1], [0.5, np.nan]]), Reference(task=BINARY, y=y, pred=pred))


def test_labels_are_joined_by_id_or_refused():
    said = pd.DataFrame({"id": [1, 2, 3], "p": [0.1, 0.9, 0.5], "t": ["2026-01-01", "2026-01-02", "2026-01-03"]})
    labels = pd.DataFrame({"id": [3, 1], "y": [1, 0], "t": ["2026-02-01", "2026-02-01"]})
    found = join(said, labels, "id", time="t")
    assert found["id"].tolist() == [1, 3] and found["y"].tolist() == [0, 1]
    for one, other, told in ((said, labels.assign(id=[3, 9]), "unknown id=9"),
                             (said, labels.assign(id=[3, 3]), "once in the labels"),
                             (said.assign(id=[1, 1, 2]), labels, "once in the predictions"),
                             (said.iloc[:0], labels, "predictions rows=0"),
                             (said, labels.iloc[:0], "labels rows=0"),
                             (said.iloc[::-1], labels, "backwards"),
                             (said, labels.assign(t="2025-01-01"), "older than its prediction"),
                             (said.drop(columns="id"), labels, "must hold column='id'"),
                             (said, labels.assign(id=[3.0, np.nan]), "must have an id")):
        with pytest.raises(DataError, match=told):
            join(one, other, "id", time="t")
