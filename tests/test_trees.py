"""Trees written as ONNX from whole arrays decide exactly as scikit-learn does, at every threshold and for gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.models.tabular._trees import ensemble, floor32


def run(model, X):
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})[0]


@pytest.mark.parametrize("classes", [0, 2, 5])
def test_forest_and_graph_agree_even_on_the_thresholds(classes):
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    random = np.random.default_rng(0)
    X = random.normal(size=(300, 4)).astype(np.float32)
    X[::7, 1] = np.nan
    y = random.integers(classes, size=300) if classes else random.normal(size=300)
    forest = (RandomForestClassifier if classes else RandomForestRegressor)(20, random_state=0).fit(X, y)
    trees = [one.tree_ for one in forest.estimators_]
    on_thresholds = X.copy()
    on_thresholds[:100, 2] = floor32(trees[0].threshold[trees[0].feature == 2])[random.integers(3, size=100)]
    expected = forest.predict_proba(on_thresholds) if classes else forest.predict(on_thresholds)[:, None]
    got = run(ensemble(trees, 4, bool(classes)), on_thresholds)
    assert got.shape == expected.shape and np.abs(got - expected).max() < 1e-5


@settings(max_examples=200)
@given(st.floats(-1e30, 1e30), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_rounded_threshold_decides_alike(threshold, x):
    assert (np.float32(x) <= floor32(np.array([threshold]))[0]) == (x <= threshold)
