"""Chapter 3: metrics equal scikit-learn where it is defined, and are quiet where it is not."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import metrics
from rightfit.errors import UnknownName, UsageError
from rightfit.metrics.base import inputs
from rightfit.records import Rule, Task
from rightfit.registry import plugins


def task(problem="binary", k=2, **more):
    return Task(modality="tabular", problem=problem, target=("y",), metric="f1",
                classes=() if problem in ("regression", "forecasting") else tuple(f"c{i}" for i in range(k)), **more)


def table(seed, n, k, coarse):
    """Labels with every class present, probabilities (some tied when coarse), integer weights."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n)])
    p = rng.dirichlet(np.ones(k), n + k) + 0.4 * np.eye(k)[y] * rng.random((n + k, 1))
    if coarse:
        p = np.round(p, 1) + 0.01
    return y, p / p.sum(1, keepdims=True), rng.integers(1, 4, n + k).astype(float)


tables = st.builds(table, st.integers(0, 10**6), st.integers(5, 60), st.integers(2, 5), st.booleans())


@settings(max_examples=60, deadline=None)
@given(tables)
def test_probability_metrics_equal_sklearn(case):
    y, p, w = case
    k = p.shape[1]
    t = task("binary" if k == 2 else "multiclass", k)
    side = p[:, 1] if k == 2 else p
    for weight in (None, w):
        more = {"sample_weight": weight}
        expected = {
            "log_loss": sk.log_loss(y, p, **more),
            "roc_auc": sk.roc_auc_score(y, side, multi_class="ovr", **more),
            "brier": sk.brier_score_loss(y, side, **more) if k == 2 else ((p - np.eye(k)[y]) ** 2).sum(1) @ (
                np.ones(len(y)) if weight is None else w) / (len(y) if weight is None else w.sum()),
            "average_precision": sk.average_precision_score(y if k == 2 else np.eye(k)[y], side, **more),
        }
        for name, value in expected.items():
            assert metrics.score(name, y, p, t, weight=weight) == pytest.approx(value, abs=1e-9), name


@settings(max_examples=60, deadline=None)
@given(tables)
def test_label_metrics_equal_sklearn(case):
    y, p, w = case
    k = p.shape[1]
    t = task("binary" if k == 2 else "multiclass", k)
    c = metrics.labels(p, t)
    for weight in (None, w):
        more = {"sample_weight": weight}
        plain = {"average": "binary" if k == 2 else "macro", "zero_division": 0, **more}
        expected = {
            "accuracy": sk.accuracy_score(y, c, **more),
            "balanced_accuracy": sk.balanced_accuracy_score(y, c, **more),
            "precision": sk.precision_score(y, c, **plain),
            "recall": sk.recall_score(y, c, **plain),
            "f1": sk.f1_score(y, c, **plain),
            "f0.5": sk.fbeta_score(y, c, beta=0.5, **plain),
            "f2": sk.fbeta_score(y, c, beta=2, **plain),
            "mcc": sk.matthews_corrcoef(y, c, **more),
            "kappa": sk.cohen_kappa_score(y, c, **more),
            "kappa_quadratic": sk.cohen_kappa_score(y, c, weights="quadratic", **more),
            **{f"f1_{a}": sk.f1_score(y, c, average=a, **more) for a in ("macro", "weighted", "micro")},
            **{f"precision_{a}": sk.precision_score(y, c, average=a, zero_division=0, **more)
               for a in ("macro", "weighted", "micro")},
            **{f"recall_{a}": sk.recall_score(y, c, average=a, **more) for a in ("macro", "weighted", "micro")},
        }
        if k == 2:
            expected["specificity"] = sk.recall_score(y, c, pos_label=0, **more)
        for name, value in expected.items():
            assert metrics.score(name, y, p, t, weight=weight) == pytest.approx(value, abs=1e-9), name


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 50), st.integers(1, 3))
def test_regression_metrics_equal_sklearn(seed, n, outputs):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(3, 2, (n, outputs)), rng.normal(3, 2, (n, outputs))
    w = rng.integers(1, 4, n).astype(float)
    if outputs == 1:
        y, p = y[:, 0], p[:, 0]
    t = task("regression", outputs=outputs)
    for weight in (None, w):
        more = {"sample_weight": weight}
        expected = {"rmse": sk.root_mean_squared_error(y, p, **more), "mae": sk.mean_absolute_error(y, p, **more),
                    "mse": sk.mean_squared_error(y, p, **more), "r2": sk.r2_score(y, p, **more),
                    "mape": sk.mean_absolute_percentage_error(y, p, **more),
                    "pinball_0.9": sk.mean_pinball_loss(y, p, alpha=0.9, **more)}
        for name, value in expected.items():
            assert metrics.score(name, y, p, t, weight=weight) == pytest.approx(value, rel=1e-9), name
    assert metrics.score("medae", y, p, t) == pytest.approx(sk.median_absolute_error(y, p))
    assert metrics.score("rmsle", abs(y), abs(p), t) == pytest.approx(
        np.mean([sk.root_mean_squared_log_error(abs(a), abs(b))
                 for a, b in zip(y.reshape(n, -1).T, p.reshape(n, -1).T, strict=True)]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 40))
def test_multilabel_metrics_equal_sklearn(seed, n):
    rng = np.random.default_rng(seed)
    y = np.vstack([np.ones(3), np.zeros(3), rng.random((n, 3)) < 0.4]).astype(np.int8)
    p = np.clip(0.4 * y + 0.6 * rng.random(y.shape), 0, 1)
    t = task("multilabel", 3)
    rule = Rule(threshold=(0.3, 0.5, 0.6))
    c = metrics.labels(p, t, rule)
    expected = {"accuracy": sk.accuracy_score(y, c), "hamming": sk.hamming_loss(y, c),
                "f1_macro": sk.f1_score(y, c, average="macro"), "f1": sk.f1_score(y, c, average="macro"),
                "f1_micro": sk.f1_score(y, c, average="micro"),
                "f1_samples": sk.f1_score(y, c, average="samples", zero_division=1),
                "roc_auc": sk.roc_auc_score(y, p), "average_precision": sk.average_precision_score(y, p)}
    for name, value in expected.items():
        assert metrics.score(name, y, p, t, rule) == pytest.approx(value), name


def cases():
    for name, metric in plugins("rightfit.metrics").items():
        for problem in metric.problems:
            yield pytest.param(name, problem, id=f"{name}-{problem}")


def example(problem, n=40, seed=0):
    rng = np.random.default_rng(seed)
    if problem in ("binary", "multiclass", "ordinal"):
        k = 2 if problem == "binary" else 4
        y, p, _ = table(seed, n, k, True)
        return y, p, task(problem, k, cost=tuple(map(tuple, 1.0 * rng.random((k, k)))))
    if problem == "multilabel":
        return (rng.random((n, 3)) < 0.5).astype(np.int8), rng.random((n, 3)), task(problem, 3)
    if problem == "quantile":
        levels = dataclasses.replace(task(problem, outputs=2), quantiles=(0.1, 0.9))
        return rng.random(n), np.sort(rng.random((n, 2)), axis=1), levels
    if problem == "ranking":
        return np.column_stack([rng.integers(0, 3, n), np.arange(n) // 5]).astype(float), rng.random(n), task(problem)
    return rng.random((n, 2)), rng.random((n, 2)), task(problem, outputs=2)


@pytest.mark.parametrize(("name", "problem"), list(cases()))
def test_many_weightings_equal_repeated_rows(name, problem):
    if problem == "ranking":
        return  # queries are drawn whole: tests/test_problems.py
    y, p, t = example(problem)
    metric = metrics.find(name, problem)
    w = np.random.default_rng(1).integers(0, 3, (5, len(y))).astype(float)
    given_ = inputs(metric, p, t)
    fast = metric.many(y, given_, t)(w)
    for row, value in zip(w.astype(int), fast, strict=True):
        rows = np.repeat(np.arange(len(y)), row)
        assert value == pytest.approx(metrics.score(metric, y[rows], p[rows], t), abs=1e-9)
        assert value == pytest.approx(metrics.score(metric, y, p, t, weight=row.astype(float)), abs=1e-9)


@pytest.mark.parametrize(("name", "problem"), list(cases()))
def test_range_direction_and_one_class(name, problem):
    y, p, t = example(problem)
    metric = metrics.find(name)
    value = metrics.score(metric, y, p, t)
    assert metric.low <= value <= metric.high and metric.doc
    assert metrics.utility(metric, value) == (value if metric.greater_is_better else -value)
    one_label = problem in ("binary", "multiclass", "ordinal")
    perfect = np.eye(p.shape[1])[y] if one_label else y[:, 0] if problem == "ranking" else y
    best = metrics.score(metric, y, perfect, t)
    if name not in ("cost", "quantile_calibration"):
        assert best >= value if metric.greater_is_better else best <= value
    for one in (0, 1):
        same = np.full_like(y, one)
        metrics.score(metric, same, p, t)
        metrics.score(metric, same[:1], p[:1], t)
    assert np.isnan(metrics.score(metric, y[:0], p[:0], t))
    assert np.isnan(metrics.score(metric, y, np.full_like(p, np.nan), t))


def test_absent_class_is_left_out_or_undefined():
    t = task("multiclass", 3)
    y, p = np.array([0, 0, 1, 1]), np.array([[.8, .1, .1], [.1, .8, .1], [.1, .8, .1], [.1, .1, .8]])
    assert metrics.score("recall", y, p, t) == 0.5
    assert metrics.score("precision", y, p, t) == pytest.approx((1 + 0.5 + 0) / 3)
    assert metrics.score("roc_auc", y, p, t) == pytest.approx(
        (sk.roc_auc_score(y == 0, p[:, 0]) + sk.roc_auc_score(y == 1, p[:, 1])) / 2)
    b = task()
    for name in ("recall", "f1", "precision", "roc_auc", "average_precision", "mcc"):
        assert np.isnan(metrics.score(name, np.zeros(3, int), np.tile([0.9, 0.1], (3, 1)), b)), name
    assert metrics.score("precision", np.array([0, 1]), np.tile([0.9, 0.1], (2, 1)), b) == 0
    assert np.isnan(metrics.score("r2", np.ones(3), np.arange(3.0), task("regression")))


def test_top_k_ece_and_cost_by_hand():
    t = task("multiclass", 4)
    p = np.array([[.4, .3, .2, .1]] * 4)
    assert metrics.score("top_3", np.arange(4), p, t) == 0.75
    assert metrics.score("top_5", np.arange(4), p, t) == 1
    b = task(cost=((0.0, 1.0), (50.0, 0.0)))
    p = np.array([[.3, .7]] * 4)
    assert metrics.score("ece", np.array([0, 1, 1, 1]), p, b) == pytest.approx(0.05)
    assert metrics.score("cost", np.array([0, 1, 1, 0]), np.array([[.9, .1], [.9, .1], [.1, .9], [.1, .9]]), b) == 12.75
    with pytest.raises(UsageError, match="prices of errors"):
        metrics.score("cost", np.array([0]), p[:1], task())


def test_labels():
    p = np.array([[.2, .5, .3], [.6, .3, .1]])
    assert metrics.labels(p, task("multiclass", 3)).tolist() == [1, 0]
    dear = ((0., 0., 0.), (0., 0., 0.), (9., 9., 0.))
    assert metrics.labels(p, task("multiclass", 3), Rule(cost=dear)).tolist() == [2, 2]
    assert metrics.labels(p[:, :2], task(), Rule(threshold=(0.5,))).tolist() == [1, 0]
    assert metrics.labels(p, task("multilabel", 3), Rule(threshold=(.5, .5, .2))).tolist() == [[0, 1, 1], [1, 0, 0]]
    with pytest.raises(UsageError, match="regression"):
        metrics.labels(p, task("regression"))


def test_find_says_what_is_close_and_what_fits():
    assert metrics.find("AUC") is metrics.find("roc_auc") is metrics.find("roc-auc", "binary")
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        metrics.find("acuracy")
    with pytest.raises(UsageError, match=r"regression problem.*rmse"):
        metrics.find("f1", "regression")
    with pytest.raises(UsageError, match="binary problem"):
        metrics.score(metrics.find("rmse"), np.array([0, 1]), np.eye(2), task())
    with pytest.raises(UsageError, match="same rows; got y=3, predictions=2"):
        metrics.score("f1", np.array([0, 1, 1]), np.eye(2), task())
    assert {"rmse", "mae"} <= set(metrics.names("regression")) and "f1" not in metrics.names("regression")


def test_user_metrics(tmp_path, monkeypatch):
    (tmp_path / "mine_metrics.py").write_text("""
def hit_rate(y_true, y_pred):
    return (y_true == y_pred).mean()
def quality_loss(y_true, y_pred, weight=None):
    import numpy as np
    return np.average(abs(y_true - y_pred), weights=weight)
quality_loss.needs = "proba"
def broken(y_true, y_pred):
    return y_true
broken.needs = "label"
def odd(y_true, y_pred):
    return 1.0
odd.needs = "magic"
""")
    monkeypatch.chdir(tmp_path)
    y, p = np.array([0, 1, 1]), np.array([[.6, .4], [.7, .3], [.1, .9]])
    hits = metrics.find("mine_metrics:hit_rate")
    assert hits.greater_is_better and hits.needs == "label"
    assert metrics.score(hits, y, p, task()) == pytest.approx(2 / 3)
    assert metrics.score(hits, y, p, task(), weight=np.array([1., 2., 0.])) == pytest.approx(1 / 3)
    with pytest.raises(UsageError, match="third parameter"):
        metrics.score(hits, y, p, task(), weight=np.array([.5, 2., 0.]))
    loss = metrics.find("mine_metrics.py:quality_loss", "binary")
    assert not loss.greater_is_better
    assert metrics.score(loss, y, p, task()) == pytest.approx((.4 + .7 + .1) / 3)
    assert metrics.score(loss, y, p, task(), weight=np.array([.5, 0, .5])) == pytest.approx(.25)
    for bad, words in (("broken", "one number"),):
        with pytest.raises(UsageError, match=words):
            metrics.score(f"mine_metrics:{bad}", y, p, task())
    for bad in ("mine_metrics:odd", "mine_metrics:none", "no_such_module:f", "no_such.py:f"):
        with pytest.raises(UsageError):
            metrics.find(bad)
    with pytest.raises(UsageError, match="regression"):
        metrics.find("mine_metrics.py:quality_loss", "regression")
    sys.modules.pop("mine_metrics", None)


def test_a_library_function_is_a_user_metric():
    metric = metrics.find("sklearn.metrics:zero_one_loss")
    assert not metric.greater_is_better
    assert metrics.score(metric, np.array([0, 1]), np.array([[.9, .1], [.9, .1]]), task()) == 0.5


def test_rmsle_and_smape_edges():
    t = task("regression")
    assert np.isnan(metrics.score("rmsle", np.array([-1.0, 2.0]), np.array([1.0, 2.0]), t))
    assert metrics.score("rmsle", np.array([0.0]), np.array([-5.0]), t) == 0
    assert metrics.score("smape", np.array([0.0, 1.0]), np.array([0.0, 3.0]), t) == 0.5
