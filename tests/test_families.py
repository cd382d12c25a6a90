"""Tabular families beyond the suite: converters' arithmetic, early stopping, regularisers, and the graph writer."""

import doctest
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.errors import UsageError
from rightfit.models.tabular import (
    _graph,
    _net,
    baseline,
    catboost,
    knn,
    lightgbm,
    linear,
    mlp,
    random_forest,
    xgboost,
)
from rightfit.models.tabular._parts import Rows, affordable, inner_split, subsample
from rightfit.records import Task
from rightfit.testing import table
from rightfit.testing._case import in_time

LATER = float("inf")
BOOSTERS = [catboost.SPEC, lightgbm.SPEC, xgboost.SPEC]


def run(folder, model, X):
    model.save(folder)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(["Y"], {"X": model.encoder.frame(X)})[0]


@pytest.mark.parametrize("family", [*BOOSTERS, random_forest.SPEC, linear.SPEC, knn.SPEC], ids=lambda f: f.name)
def test_large_targets_keep_their_digits(family, tmp_path):
    data, task = table("regression")
    data = replace(data, y=data.y * 10 + 1e7)
    model = family.build(family.smoke, task).fit(data, seed=0, deadline=LATER)
    np.testing.assert_allclose(run(tmp_path, model, data.X)[:, 0], model.predict(data.X), rtol=1e-7)


@pytest.mark.parametrize("family", BOOSTERS, ids=lambda f: f.name)
def test_boosters_stop_early_and_a_refit_takes_what_was_learned(family):
    data, task = table("binary", noise=True, n=400)
    params = {**family.smoke, "n_estimators": 400, "patience": 10}
    model = family.build(params, task).fit(data, seed=0, deadline=LATER)
    assert 1 <= model.learned["n_estimators"] < 60
    again = family.build({**params, **model.learned, "early_stopping": False}, task).fit(data, seed=0, deadline=LATER)
    assert again.learned == model.learned


@pytest.mark.parametrize("family", [*BOOSTERS, random_forest.SPEC], ids=lambda f: f.name)
def test_a_deadline_leaves_the_best_so_far(family):
    data, task = table("binary", n=1000)
    params = {"n_estimators": 100_000, "early_stopping": False}
    model = in_time(lambda: family.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 0.5), 2.0)
    assert 1 <= model.learned["n_estimators"] < 100_000
    assert np.mean(model.predict(data.X).argmax(axis=1) == data.y) > 0.8


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_copies_of_a_network_are_averaged_in_one_graph(problem, tmp_path):
    pytest.importorskip("torch")
    data, task = table(problem)
    few = {**mlp.SPEC.defaults, **mlp.SPEC.smoke, "epochs": 5}
    fitted = [mlp.SPEC.build({**few, "copies": n}, task).fit(data, seed=0, deadline=LATER) for n in (1, 3)]
    one, three = (model.predict(data.X) for model in fitted)
    assert not np.allclose(one, three) and 1 <= fitted[1].learned["epochs"] <= 5
    np.testing.assert_allclose(run(tmp_path, fitted[1], data.X).reshape(three.shape), three, atol=2e-5)


def test_copies_share_the_time_that_is_left(monkeypatch):
    pytest.importorskip("torch")
    shares, train = [], _net._train
    monkeypatch.setattr(_net, "_train", lambda net, rows, *rest: shares.append(
        rows.deadline - time.monotonic()) or train(net, rows, *rest))
    data, task = table("binary")
    params = {**mlp.SPEC.defaults, **mlp.SPEC.smoke, "epochs": 1, "copies": 4}
    mlp.SPEC.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 400)
    assert len(shares) == 4 and 90 < shares[0] <= 100 and 300 < shares[3] <= 400


def test_several_outputs_are_several_cores(tmp_path):
    data, task = table("regression")
    data = replace(data, y=np.column_stack([data.y, -data.y, np.full(len(data), 5.0)]))
    task = replace(task, outputs=3)
    model = linear.SPEC.build({}, task).fit(data, seed=0, deadline=LATER)
    out = model.predict(data.X)
    assert out.shape == (len(data), 3) and np.all(out[:, 2] == 5.0)
    np.testing.assert_allclose(out[:, 0], -out[:, 1], rtol=1e-6)
    np.testing.assert_allclose(run(tmp_path, model, data.X), out, rtol=1e-9)


def test_l1_forgets_columns_and_strength_shrinks():
    data, task = table("regression", noise=True)
    def size(**params):
        core = linear.SPEC.build(params, task).fit(data, seed=0, deadline=LATER)
        return np.ptp(core.predict(data.X))
    assert size(penalty="l1", strength=1e3) < 1e-6 * size(penalty="l2", strength=1e-3)
    assert size(penalty="l2", strength=1e4) < 0.2 * size(penalty="l2", strength=1e-3)


def test_encoder_options_are_parameters():
    data, task = table("binary")
    model = linear.SPEC.build({"categorical": "onehot", "tokens": 0}, task).fit(data, seed=0, deadline=LATER)
    assert any(name.startswith("code = ") for name in model.encoder.names)
    assert not any(name.startswith("note: ") for name in model.encoder.names)


def test_unfitted_models_and_unlabelled_rows_are_refused(tmp_path):
    data, task = table("binary")
    model = baseline.SPEC.build({}, task)
    with pytest.raises(UsageError, match="fitted=False"):
        model.predict(data.X)
    with pytest.raises(UsageError, match="fitted=False"):
        model.save(tmp_path)
    with pytest.raises(UsageError, match="labelled=False"):
        model.fit(replace(data, y=None), seed=0, deadline=LATER)


def test_baseline_is_the_share_or_the_centre():
    data, task = table("multiclass")
    out = baseline.SPEC.build({}, task).fit(data, seed=0, deadline=LATER).predict(data.X.iloc[:2])
    np.testing.assert_allclose(out[0], np.bincount(data.y) / len(data))
    data, task = table("regression")
    out = baseline.SPEC.build({"center": "median"}, task).fit(data, seed=0, deadline=LATER).predict(data.X.iloc[:2])
    np.testing.assert_allclose(out, np.median(data.y))


def rows(n=200, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)]) if classes else rng.normal(size=n)
    return Rows(X=rng.normal(size=(n, 3)).astype(np.float32), y=y, classes=classes, seed=seed)


def test_the_inner_split_follows_time_groups_and_classes():
    some = rows()
    stamps = np.random.default_rng(1).permutation(200)
    train, valid = inner_split(some, None, stamps)
    assert stamps[train].max() < stamps[valid].min() and len(valid) == 30
    groups = np.arange(200) // 10
    train, valid = inner_split(some, groups, None)
    assert not set(groups[train]) & set(groups[valid]) and len(train) + len(valid) == 200
    train, valid = inner_split(some, None, None)
    assert abs(some.y[valid].mean() - some.y.mean()) < 0.05
    assert inner_split(rows(50), None, None) is None


@given(st.integers(2, 300), st.integers(2, 6), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_subsample_keeps_every_class(n, classes, most):
    some = rows(max(n, classes), classes)
    fewer = subsample(some, most)
    assert set(fewer.y) == set(some.y) and len(fewer.y) <= max(most, 1) + 2 * classes


def test_what_is_affordable_follows_the_clock():
    some = rows(5000)
    def slow(part):
        time.sleep(len(part.y) / 40_000)
    assert len(affordable(some, slow, 3000, 1.0).y) <= 3010
    soon = replace(some, deadline=time.monotonic() + 0.1)
    assert 390 <= len(affordable(soon, slow, 5000, 1.0).y) < 3500


def test_tidy_takes_the_labels_off_and_joins_add_up():
    graph = _graph.Graph(1)
    model = graph.model(graph("Mul", graph.x, graph.constant(3.0)), 1)

    class Core:
        def onnx(self):
            return model

    heads = [_graph.Head(core=Core(), matrix=np.array([row])) for row in ([1.0, 10.0], [0.0, 1.0])]
    joined = _graph.join(heads, np.array([0.0, 0.5]), 1)
    session = onnxruntime.InferenceSession(joined.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(["Y"], {"X": np.array([[2.0]], np.float32)})[0].tolist() == [[6.0, 66.5]]


def test_priors_of_time_grow_with_rows():
    for family in [*BOOSTERS, random_forest.SPEC, linear.SPEC, knn.SPEC]:
        few, many = (Task(modality="tabular", problem="binary", target=("y",), metric="", classes=("a", "b"), rows=n,
                          features=20) for n in (100, 1_000_000))
        assert family.seconds(few) < 5 and family.seconds(many) > 2 * family.seconds(few)


def test_the_page_on_adding_a_family_runs():
    page = Path(__file__).parent.parent / "docs" / "add-a-family.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 5 and found.failed == 0
