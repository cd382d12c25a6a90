"""The scikit-learn face: fit chooses, predict serves the package, and the estimator behaves as its field expects."""

import dataclasses
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import rightfit as rf
from rightfit.data import assemble, schema
from rightfit.errors import DataError, Infeasible
from rightfit.task.understand import understand

QUICK = rf.Need(families=("linear",), proposals=0, folds=2)
SLOW = bool(os.environ.get("RIGHTFIT_SLOW"))


@pytest.fixture(autouse=True)
def here(monkeypatch, light):
    light(monkeypatch)


def classifier(**more):
    return rf.RightFitClassifier(**{"time_limit": 20, "need": QUICK, "random_state": 0, **more})


@pytest.fixture(scope="module")
def fitted(light):
    patch = pytest.MonkeyPatch()
    light(patch)
    X, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    weight = np.where(np.arange(len(y)) < 10, 0.0, 1.0)
    yield classifier().fit(X, names, sample_weight=weight), X, names
    patch.undo()


def test_it_classifies_frames_by_name(fitted):
    model, X, y = fitted
    assert model.score(X, y) > 0.9 and list(model.classes_) == ["setosa", "versicolor", "virginica"]
    p = model.predict_proba(X)
    assert p.shape == (150, 3) and np.allclose(p.sum(axis=1), 1)
    assert list(model.feature_names_in_) == list(X.columns) and model.n_features_in_ == 4
    assert model.decision_.status == "chosen" and model.model_.predict_one(dict(X.iloc[0]))["prediction"] == "c0"


def test_it_travels_without_pickled_code(fitted):
    model, X, _ = fitted
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(X) == model.predict(X)).all() and again.package_[:2] == b"PK"
    assert clone(model).get_params() == model.get_params()


def test_wrong_columns_are_refused(fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.rename(columns={X.columns[0]: "other"}))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.iloc[:, :2])
    with pytest.raises(NotFittedError):
        classifier().predict(X)


def test_it_stands_in_pipelines_and_cross_validation():
    X, y = load_iris(return_X_y=True)
    keep = y < 2
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), classifier())
    assert cross_val_score(pipe, X[keep], y[keep], cv=2, error_score="raise").mean() > 0.9


@pytest.mark.parametrize("outputs", [1, 2])
def test_it_regresses_one_and_several_values(outputs):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = X @ np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]])
    y = y[:, 0] if outputs == 1 else y
    model = rf.RightFitRegressor(time_limit=20, need=QUICK).fit(X, y)
    assert model.predict(X).shape == y.shape and model.score(X, y) > 0.95


def test_the_need_says_what_data_do_not():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    signal = X[:, 0] - X[:, 1]
    counts = rng.poisson(np.exp(signal))
    model = rf.RightFitRegressor(time_limit=20, need=dataclasses.replace(QUICK, problem="count", coverage=0.8))
    ends = model.fit(X, counts).predict_interval(X)
    assert (model.predict(X) > 0).all() and 0.7 < ((ends[:, 0] <= counts) & (counts <= ends[:, 1])).mean() < 0.95
    stars = np.digitize(signal, [-1, 0, 1]) + 1
    ordinal = classifier(need=dataclasses.replace(QUICK, problem="ordinal", coverage=0.9)).fit(X, stars)
    assert ordinal.decision_.task.problem == "ordinal" and np.abs(ordinal.predict(X) - stars).max() <= 1
    assert np.mean([y in one for y, one in zip(stars, ordinal.predict_set(X), strict=True)]) > 0.8


def test_several_labels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    y = (X[:, :3] > 0).astype(int)
    model = classifier().fit(X, y)
    assert model.predict(X).shape == (120, 3) and (model.predict(X) == y).mean() > 0.8


def test_a_limit_is_a_limit_here_too():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(Infeasible, match="nearest"):
        classifier(limits={"max_size": "10B"}).fit(X, y)


@pytest.mark.parametrize(("y", "found"), [(np.zeros(30), "one class"), (None, "y cannot be None|requires y"),
                                          (np.full(30, np.nan), "NaN")])
def test_targets_that_cannot_be_learnt(y, found):
    with pytest.raises(ValueError, match=found):
        classifier().fit(np.random.default_rng(0).normal(size=(30, 2)), y)


def test_row_weights_count_and_must_be_weights():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "a", "b"], "w": [0.0, 1.0, 1.0, 4.0]})
    need = rf.Need(target="y", row_weight="w")
    found, _ = schema.infer(frame, need)
    task = understand(frame, found, need, "tabular")
    data = assemble.assemble(frame, found, task)
    assert list(data.X.columns) == ["x"] and data.X["x"].tolist() == [2.0, 3.0, 4.0]
    assert data.weight.tolist() == [0.5, 0.5, 2.0]
    for bad in (-1.0, np.nan):
        with pytest.raises(DataError, match=r"row weights must be numbers of 0 or more; got w=.* in row=3"):
            assemble.assemble(frame.assign(w=[0.0, 1.0, 1.0, bad]), found, task)
    with pytest.raises(DataError, match="above 0"):
        assemble.assemble(frame.assign(w=0.0), found, task)


WEIGHED = "a weight counts in training; folds, calibration and scores count rows"
FAILS = {"check_sample_weight_equivalence_on_dense_data": WEIGHED}


@pytest.mark.skipif(not SLOW, reason="every check of scikit-learn takes minutes: RIGHTFIT_SLOW=1")
@parametrize_with_checks([classifier(time_limit=30), rf.RightFitRegressor(time_limit=30, need=QUICK, random_state=0)],
                         expected_failed_checks=lambda estimator: FAILS, xfail_strict=False)  # the clock decides
def test_scikit_learn_agrees(estimator, check):
    check(estimator)
