"""Rules: calibration that helps, thresholds that maximise, floors that hold on rows not used to tune."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import metrics
from rightfit.errors import UsageError
from rightfit.metrics import rules
from rightfit.metrics.calibration import choose_calibration, fit_calibration
from rightfit.metrics.thresholds import sweep, wilson
from rightfit.records import Limit, Rule, Task, asdict


def task(problem="binary", k=2, **more):
    return Task(modality="tabular", problem=problem, target=("y",), metric="f1",
                classes=tuple(f"c{i}" for i in range(k)) if problem != "regression" else (), **more)


def floor(name, limit, sense="at_least"):
    return Limit(name=name, limit=limit, sense=sense)


def binary(n, seed=0, share=0.2, sharp=2.0):
    """Labels and honest probabilities (n, 2)."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-(np.log(share / (1 - share)) + sharp * rng.normal(size=n))))
    return (rng.random(n) < p).astype(int), np.stack([1 - p, p], axis=1)


def folds_of(n, k=5, seed=0):
    return np.array_split(np.random.default_rng(seed).permutation(n), k)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60), st.sampled_from(["f1", "accuracy", "mcc", "kappa", "f2", "cost",
                                                                   "balanced_accuracy", "precision", "f1_macro"]))
def test_sweep_equals_scoring_every_threshold(seed, n, name):
    rng = np.random.default_rng(seed)
    y, p = np.append(rng.integers(0, 2, n), [0, 1]), np.round(rng.random(n + 2), 1)
    t = task(cost=((0.0, 1.0), (7.0, 0.0)))
    thresholds, counts = sweep(y, p)
    values = metrics.find(name).counts(counts, t)
    assert len(thresholds) == len(np.unique(p)) + 1 and (np.diff(thresholds) < 0).all()
    for threshold, value in zip(thresholds, values, strict=True):
        direct = metrics.score(name, y, np.stack([1 - p, p], 1), t, Rule(threshold=(float(threshold),)))
        assert value == pytest.approx(direct, abs=1e-12, nan_ok=True)


def test_the_threshold_maximises_f1_and_the_default_stays_for_accuracy():
    y, p = binary(4000)
    rule = rules.tune(y, p, "f1", task())
    best = max(metrics.score("f1", y, p, task(), Rule(threshold=(t,))) for t in np.linspace(0.01, 0.99, 99))
    assert metrics.score("f1", y, p, task(), rule) >= best and rule.threshold[0] < 0.45
    assert metrics.score("f1", y, p, task(), rule) > metrics.score("f1", y, p, task()) + 0.01
    rng = np.random.default_rng(3)
    assert rules.tune(rng.integers(0, 2, 300), rng.dirichlet([1, 1], 300), "roc_auc", task()).threshold == (0.5,)
    assert rules.tune(y, p, "recall", task()).threshold == (0.5,)


@pytest.mark.parametrize("name", ["f1", "mcc", "kappa", "balanced_accuracy", "accuracy", "cost"])
def test_a_hundred_thousand_rows_are_tuned_quickly(name):
    y, p = binary(100_000)
    t = task(cost=((0.0, 1.0), (5.0, 0.0))) if name == "cost" else task(limits=(floor("recall", 0.8),))
    objective = metrics.find(name)
    start = time.process_time()
    thresholds, counts = sweep(y, p[:, 1])
    objective.counts(counts, t)
    assert time.process_time() - start < 0.2
    start = time.process_time()
    rules.tune_binary(y, p[:, 1], objective, t)
    assert time.process_time() - start < 1.0
    assert len(thresholds) > 90_000


def test_a_floor_is_met_with_its_bound_and_then_the_metric_counts():
    y, p = binary(3000)
    t = task(limits=(floor("recall", 0.9),))
    rule = rules.tune(y, p, "f1", t)
    codes = metrics.labels(p, t, rule)
    hits = float(codes[y == 1].sum())
    assert wilson(np.array(hits), np.array(float((y == 1).sum())))[0] >= 0.9
    tighter = Rule(threshold=(rule.threshold[0] + 0.05,))
    assert metrics.score("f1", y, p, t, tighter) > metrics.score("f1", y, p, t, rule), "the floor binds"
    fresh_y, fresh_p = binary(50_000, seed=9)
    assert metrics.score("recall", fresh_y, fresh_p, t, rule) >= 0.9


def test_floors_hold_on_fresh_rows_nearly_always():
    t = task(limits=(floor("recall", 0.8), floor("precision", 0.3)))
    fresh_y, fresh_p = binary(50_000, seed=99, sharp=3.0)
    held = 0
    for seed in range(30):
        rule = rules.tune(*binary(600, seed=seed, sharp=3.0), "f1", t)
        held += metrics.score("recall", fresh_y, fresh_p, t, rule) >= 0.8
    assert held >= 27


def test_other_floors_use_a_bootstrap_and_ceilings_work():
    y, p = binary(2000)
    for limit in (floor("f2", 0.6), floor("mcc", 0.3), floor("f1_macro", 0.6), floor("cost", 0.9, "at_most")):
        t = task(limits=(limit,), cost=((0.0, 1.0), (4.0, 0.0)) if limit.name == "cost" else ())
        assert limit.met(metrics.score(limit.name, y, p, t, rules.tune(y, p, "precision", t))), limit


def test_a_floor_that_cannot_be_met_gives_the_nearest():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 400), rng.dirichlet([1, 1], 400)
    t = task(limits=(floor("recall", 0.95), floor("precision", 0.9)))
    rule = rules.tune(y, p, "f1", t)
    def missed(r):
        return (max(0, 0.95 - metrics.score("recall", y, p, t, r)) / 0.95
                + max(0, 0.9 - metrics.score("precision", y, p, t, r)) / 0.9)
    assert missed(rule) <= min(missed(Rule(threshold=(x,))) for x in np.linspace(0, 1, 51)) + 1e-9


def test_a_floor_moves_the_default_only_as_far_as_needed():
    y, p = binary(3000)
    t = task(limits=(floor("recall", 0.7), floor("latency_p95_ms", 5.0, "at_most")))
    rule = rules.tune(y, p, "roc_auc", t)
    assert 0.7 <= metrics.score("recall", y, p, t, rule) < 0.76
    loose = task(limits=(floor("recall", 0.01),))
    assert rules.tune(y, p, "roc_auc", loose).threshold[0] == pytest.approx(0.5, abs=0.01)


def test_cost_on_calibrated_probabilities():
    y, p = binary(20_000)
    prices = ((0.0, 1.0), (9.0, 0.0))
    t = task(cost=prices)
    assert rules.cost_threshold(t) == pytest.approx(0.1)
    assert rules.tune(y, p, "cost", t).threshold[0] == pytest.approx(0.1, abs=0.06)
    over = p**3 / (p**3).sum(1, keepdims=True)
    rule = rules.tune(y, over, "cost", t)
    assert rule.calibration["kind"] != "none"
    calibrated, codes = rules.apply(over, t, rule)
    assert metrics.find("cost").fn(y, codes, None, t) < 1.03 * metrics.score("cost", y, p, t, Rule(threshold=(0.1,)))
    assert abs(calibrated[:, 1].mean() - y.mean()) < 0.01
    with pytest.raises(UsageError, match="cost more than right"):
        rules.tune(y, p, "cost", task(cost=((1.0, 0.0), (0.0, 1.0))))
    three = tuple(tuple(float(i != j) for j in range(3)) for i in range(3))
    m = task("multiclass", 3, cost=three)
    rng = np.random.default_rng(0)
    assert rules.tune(rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90), "cost", m).cost == three


@pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature", "none"])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel"])
def test_calibration_is_json_and_one_row_equals_the_batch(kind, problem):
    if kind == "temperature" and problem == "multilabel":
        pytest.skip("temperature is for classes that exclude each other")
    rng = np.random.default_rng(1)
    k = 2 if problem == "binary" else 4
    y = rng.integers(0, k, 500) if problem != "multilabel" else rng.integers(0, 2, (500, k)).astype(np.int8)
    pred = (rng.dirichlet(np.ones(k) / 2, 500) if problem != "multilabel" else rng.random((500, k))).astype(np.float32)
    learned = fit_calibration(kind, y, pred, task(problem, k))
    stored = json.loads(json.dumps(asdict(Rule(calibration=learned))))["calibration"]
    apply = rules.calibrator(stored)
    batch = apply(pred)
    assert np.isfinite(batch).all() and (batch >= 0).all() and (batch <= 1).all()
    if problem != "multilabel":
        np.testing.assert_allclose(batch.sum(1), 1, atol=1e-6)
    for i in range(0, 500, 7):
        assert (apply(pred[i:i + 1]) == batch[i:i + 1]).all()
    assert (apply(np.asfortranarray(pred)) == batch).all()
    apply(np.eye(k, dtype=np.float32))
    start = time.process_time()
    for _ in range(200):
        apply(pred[:1])
    assert (time.process_time() - start) / 200 < 2e-4


def test_calibration_is_chosen_only_when_it_helps():
    y, p = binary(4000)
    assert choose_calibration(y, p, task(), metrics.find("log_loss")) == {"kind": "none"}
    sharp = np.clip(p, 1e-9, 1) ** 4
    sharp /= sharp.sum(1, keepdims=True)
    rule = rules.tune(y, sharp, "log_loss", task())
    assert rule.calibration["kind"] in ("platt", "isotonic")
    fixed = rules.apply_calibration(sharp, rule.calibration)
    assert metrics.score("log_loss", y, fixed, task()) < metrics.score("log_loss", y, p, task()) + 0.01
    assert rules.tune(y, sharp, "f1", task()).calibration == {"kind": "none"}
    rng = np.random.default_rng(0)
    true = rng.dirichlet(np.ones(3), 800)
    y3 = np.array([rng.choice(3, p=row) for row in true])
    over = true**3 / (true**3).sum(1, keepdims=True)
    hot = rules.tune(y3, over, "log_loss", task("multiclass", 3)).calibration
    assert hot["kind"] == "temperature" and hot["t"] == pytest.approx(3, rel=0.25)
    assert rules.tune(y[:20], sharp[:20], "brier", task()).calibration == {"kind": "none"}
    with pytest.raises(UsageError, match="kind='magic'"):
        rules.apply_calibration(p, {"kind": "magic"})


def test_crossfit_judges_rows_not_used_to_tune():
    rng = np.random.default_rng(0)
    y = (rng.random(120) < 0.3).astype(int)
    noise = rng.dirichlet([1, 1], 120)
    t = task()
    fit = rules.crossfit(y, noise, folds_of(120), "mcc", t)
    tuned = metrics.score("mcc", y, noise, t, rules.tune(y, noise, "mcc", t))
    assert fit.value <= tuned
    for k, fold in enumerate(fit.folds):
        rest = np.setdiff1d(np.arange(120), fold)
        expected = metrics.labels(noise[fold], t, rules.tune(y[rest], noise[rest], "mcc", t))
        assert (fit.codes[fold] == expected).all()
        assert fit.fold_scores[k] == pytest.approx(metrics.find("mcc").fn(y[fold], expected, None, t))
    assert fit.value == pytest.approx(metrics.find("mcc").fn(y, fit.codes, None, t))


def test_crossfit_leaves_out_rows_of_no_fold_and_takes_one_fold():
    y, p = binary(300)
    p[:50] = np.nan
    fit = rules.crossfit(y, p, [np.arange(50, 150), np.arange(150, 300)], "f1", task())
    assert (fit.codes[:50] == -1).all() and (fit.codes[50:] >= 0).all() and len(fit.rows) == 250
    assert np.isfinite(fit.value)
    one = rules.crossfit(y, p, [np.arange(100, 300)], "f1", task())
    assert len(one.fold_scores) == 1 and one.value == one.fold_scores[0]
    with pytest.raises(UsageError, match="disjoint"):
        rules.crossfit(y, p, [np.arange(10), np.arange(5, 20)], "f1", task())
    with pytest.raises(UsageError, match="finite"):
        rules.crossfit(y, p, [np.arange(150), np.arange(150, 300)], "f1", task())


def test_crossfit_for_regression_and_rankings():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 2))
    fit = rules.crossfit(y, y + 1, folds_of(60), "rmse", task("regression", outputs=2))
    assert fit.codes is None and fit.value == pytest.approx(1) and fit.rule == Rule()
    y, p = binary(200)
    fit = rules.crossfit(y, p, folds_of(200), "roc_auc", task())
    assert fit.value == pytest.approx(np.mean(fit.fold_scores))
    assert fit.value == pytest.approx(np.mean([metrics.score("roc_auc", y[f], p[f], task()) for f in fit.folds]))


def test_floors_are_measured_with_an_interval():
    y, p = binary(800)
    t = task(limits=(floor("recall", 0.8), floor("pr_auc", 0.2), floor("size_mib", 20, "at_most")))
    fit = rules.crossfit(y, p, folds_of(800), "f1", t)
    found = rules.floors(fit, y, t)
    assert set(found) == {"recall", "pr_auc"}
    for m in found.values():
        assert m.low < m.value < m.high and m.n == 800
    assert found["recall"].value == pytest.approx(fit.codes[y == 1].mean())


def test_several_classes_are_weighted_when_that_helps():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 3000, p=[0.85, 0.1, 0.05])
    z = 1.3 * np.eye(3)[y] + rng.normal(size=(3000, 3)) + np.log([0.85, 0.1, 0.05])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    t = task("multiclass", 3)
    rule = rules.tune(y, p, "balanced_accuracy", t)
    assert rule.cost and metrics.score("balanced_accuracy", y, p, t, rule) > metrics.score(
        "balanced_accuracy", y, p, t) + 0.05
    assert rules.tune(y, p, "accuracy", t).cost == ()
    held = task("multiclass", 3, limits=(floor("recall_macro", 0.6),))
    assert metrics.score("recall_macro", y, p, held, rules.tune(y, p, "accuracy", held)) >= 0.6


def test_multilabel_thresholds():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, [1.0, 3.0, 8.0], (2000, 3))
    y = (rng.random((2000, 3)) < p).astype(np.int8)
    t = task("multilabel", 3)
    rule = rules.tune(y, p, "f1_macro", t)
    assert len(rule.threshold) == 3
    assert metrics.score("f1_macro", y, p, t, rule) > metrics.score("f1_macro", y, p, t) + 0.02
    assert rules.tune(y, p, "recall", t).threshold == (0.5,) * 3
    held = task("multilabel", 3, limits=(floor("recall_micro", 0.85),))
    rule = rules.tune(y, p, "f1_micro", held)
    assert metrics.score("recall_micro", y, p, held, rule) >= 0.85
    fit = rules.crossfit(y, p, folds_of(2000), "f1_macro", t)
    assert fit.codes.shape == y.shape and fit.value > 0.4


def test_user_metric_and_user_floor(tmp_path, monkeypatch):
    (tmp_path / "mine_rules.py").write_text("def found(y, c):\n    return c[y == 1].mean()\n"
                                            "def both(y, c):\n    return c[y == 1].mean() - c[y == 0].mean()\n")
    monkeypatch.chdir(tmp_path)
    y, p = binary(600)
    t = task(limits=(floor("mine_rules:found", 0.8),))
    rule = rules.tune(y, p, "mine_rules:both", t)
    assert metrics.score("recall", y, p, t, rule) >= 0.8
    assert metrics.score("balanced_accuracy", y, p, t, rule) > 0.6


@pytest.mark.parametrize("name", ["f1", "log_loss", "accuracy"])
def test_one_class_and_few_rows(name):
    p = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
    for y in (np.zeros(3, int), np.ones(3, int), np.array([0, 1, 0])):
        rule = rules.tune(y, p, name, task(limits=(floor("recall", 0.9),)))
        assert np.isfinite(rule.threshold).all()
        rules.crossfit(y, p, [np.array([0]), np.array([1, 2])], name, task())


def test_wilson_against_scipy():
    from scipy.stats import binomtest
    for hits, n in ((0, 5), (5, 5), (30, 41)):
        expected = binomtest(hits, n).proportion_ci(0.9, method="wilson")
        low, high = wilson(np.array(float(hits)), np.array(float(n)))
        assert (low, high) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
    assert np.isnan(wilson(np.array(0.0), np.array(0.0))).all()
