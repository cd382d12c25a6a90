"""Boosters written as ONNX take the branches that they take in their own library, on every threshold and for gaps."""

import importlib

import numpy as np
import pytest

from rightfit.errors import PackageError
from rightfit.models.tabular._graph import Head, join
from rightfit.models.tabular._lightgbm_onnx import from_text
from rightfit.models.tabular._parts import Rows

BOOSTERS = ("lightgbm", "xgboost", "catboost")


def run(model, X):
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})[0]


def table(classes, seed=0, n=400):
    """Gaps in the first column, whole hundredths in the second, zeros in the third, then tiny and large values."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 5))
    X[:, 1] = np.round(X[:, 1], 2)
    X[:, 2] = np.maximum(X[:, 2], 0)
    X[:, 3] *= 1e-30
    X[:, 4] = 1e6 + X[:, 4]
    signal = X[:, 0] + np.sin(5 * X[:, 1]) + (X[:, 2] > 0) + np.sign(X[:, 3]) + X[:, 4] - 1e6
    X[::7, 0] = np.nan
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes)) if classes else signal / signal.std()
    return X.astype(np.float32), y


def fitted(name, X, y, classes):
    pytest.importorskip(name)
    module = importlib.import_module(f"rightfit.models.tabular.{name}")
    return module._learn(Rows(X=X, y=y, classes=classes), {**module.DEFAULTS, "n_estimators": 40, "learning_rate": 0.2})


def on_thresholds(model, X, most=600):
    """Rows with one value at a threshold of the graph, or one step beside it, or missing, or all but zero."""
    (node,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    attributes = {attribute.name: attribute for attribute in node.attribute}
    branch = np.array([mode != b"LEAF" for mode in attributes["nodes_modes"].strings])
    columns = np.array(attributes["nodes_featureids"].ints)[branch]
    values = np.array(attributes["nodes_values"].floats, np.float32)[branch]
    random = np.random.default_rng(1)
    chosen = random.permutation(len(values))[:most]
    with np.errstate(over="ignore"):
        above, below = np.nextafter(values, np.float32(np.inf)), np.nextafter(values, np.float32(-np.inf))
    beside = [values, above, below, np.full_like(values, np.nan)]
    parts = []
    for these in beside:
        part = X[random.integers(len(X), size=len(chosen))]
        part[np.arange(len(chosen)), columns[chosen]] = these[chosen]
        parts.append(part)
    tiny = X[:40].copy()
    tiny[:, 2] = np.resize(np.array([1e-35, -1e-35, 2e-35, -2e-35, 1e-37, -1e-37, 0.0, -0.0], np.float32), 40)
    return np.concatenate([*parts, tiny, X, np.full((1, X.shape[1]), np.nan, np.float32)])


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", BOOSTERS)
def test_booster_and_graph_agree_even_on_the_thresholds(name, classes):
    X, y = table(classes)
    core = fitted(name, X, y, classes)
    model = core.onnx()
    rows = on_thresholds(model, X)
    expected, got = core.predict(rows), run(model, rows)
    assert got.shape == expected.shape == (len(rows), classes or 1)
    assert np.abs(got - expected).max() < (1e-6 if classes else 3e-6)


def learned(X, y, objective="regression", rounds=5, categorical=(), **settings):
    import lightgbm

    data = lightgbm.Dataset(X, y, categorical_feature=list(categorical), params={"verbosity": -1})
    return lightgbm.train({"objective": objective, "verbosity": -1, "num_threads": 1, **settings}, data, rounds)


def test_trees_of_a_single_leaf():
    y = np.arange(60) % 2
    booster = learned(np.zeros((60, 2)), y, "binary", feature_pre_filter=False)
    got = run(from_text(booster.model_to_string()), np.zeros((3, 2), np.float32))
    assert np.abs(got[:, 1] - booster.predict(np.zeros((3, 2)))).max() < 1e-6


def test_only_the_best_trees_are_written():
    X, y = table(0)
    booster = learned(X, y, rounds=12)
    got = run(from_text(booster.model_to_string(num_iteration=4)), X)[:, 0]
    assert np.abs(got - booster.predict(X, num_iteration=4)).max() < 1e-6
    assert np.abs(got - booster.predict(X)).max() > 1e-3


@pytest.mark.parametrize("settings", [
    {"objective": "huber"}, {"reg_sqrt": True}, {"objective": "binary", "sigmoid": 2.0}, {"zero_as_missing": True},
    {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, {"linear_tree": True},
    {"categorical": (1,), "min_data_per_group": 10}])
def test_what_cannot_be_written_exactly_is_refused(settings):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=300), random.integers(4, size=300)])
    y = ((X[:, 0] > 0.5) | (X[:, 1] == 2)).astype(float)
    with pytest.raises(PackageError, match="of a LightGBM model must be"):
        from_text(learned(X, y, **settings).model_to_string())


@pytest.mark.parametrize("name", BOOSTERS)
def test_mean_and_scale_of_the_target_are_put_back(name):
    X, y = table(0)
    core = fitted(name, X, y, 0)
    rows = on_thresholds(core.onnx(), X)
    got = run(join([Head(core=core, matrix=np.array([[1e4]]))], np.array([3e5]), X.shape[1]), rows)
    expected = 3e5 + 1e4 * core.predict(rows)
    assert got.dtype == np.float64 and np.abs(got - expected).max() < 3e-2
