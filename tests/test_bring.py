"""Models of the user's own: estimators, ready ONNX files, networks; each is prepared, fitted, saved and served."""

from dataclasses import replace

import numpy as np
import pytest

from rightfit import registry
from rightfit.errors import Unavailable, UsageError
from rightfit.models.bring import _source, onnx_file, sklearn_estimator
from rightfit.package.runtimes import tabular
from rightfit.records import Column, Dataset, Need, Schema, Task
from rightfit.testing import check_family, table

LATER = float("inf")
FAMILIES = {family.name: family for family in registry.plugins("rightfit.models").values() if family.scheme}


def numbers(problem="multiclass", n=120, seed=0):
    """A table of three numeric columns and what follows from them."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    codes = np.digitize(X[:, 0] - X[:, 2], [-0.5, 0.7])
    y, classes = {"multiclass": (codes, ("low", "middle", "high")),
                  "binary": ((codes == 2).astype(int), ("no", "yes")),
                  "multilabel": (np.stack([codes > 0, codes > 1], 1).astype(np.int8), ("some", "many")),
                  "regression": (100 + 10 * X[:, 0], ())}[problem]
    schema = Schema(columns=tuple(Column(name=name, kind="numeric") for name in "abc"))
    task = Task(modality="tabular", problem=problem, target=("y",), metric="", classes=classes,
                outputs=y.shape[1] if y.ndim == 2 else 1, rows=n, features=3)
    return Dataset(X=pd.DataFrame(X, columns=list("abc")), y=y, schema=schema), task


def fitted(family, source, data, task, **params):
    params = {**family.defaults, "source": source, **params}
    if family.prepare:
        params = family.prepare(params, task, Need())
    return family.build(params, task).fit(data, seed=1, deadline=LATER)


def served(model, data, folder):
    return tabular.load(folder, model.save(folder)).frame(data.X)


# --- what stands after the scheme -------------------------------------------------------------------------------------

def test_sources_are_names_and_options(tmp_path, monkeypatch):
    assert _source.split("a.b:c?x=1&y=two&z=0.1,0.2&w=true") == ("a.b:c", {"x": 1, "y": "two", "z": [0.1, 0.2],
                                                                         "w": True})
    for wrong in ("", "?x=1", "a:b?x", "a:b?1x=2"):
        with pytest.raises(UsageError):
            _source.split(wrong)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_brought.py").write_text("def net(n, width=3, task=None):\n    return (n, width, task)\nx = 3\n")
    for name in ("mine_brought:net", "mine_brought.py:net", str(tmp_path / "mine_brought.py") + ":net"):
        assert _source.made(name, {"outputs": 5, "task": "t"}, {"width": 7}, "a net") == (5, 7, "t")
    for name, why in (("mine_brought:x", "a function or a class"), ("mine_brought:y", "does not have"),
                      ("none_such:y", "must be importable"), ("none.py:y", "a .py file"), ("nothing", "module:name")):
        with pytest.raises(UsageError, match=why):
            _source.made(name, {"outputs": 5}, {}, "a net")
    with pytest.raises(UsageError, match="also asks for a, b"):
        (tmp_path / "two_brought.py").write_text("def net(a, b): pass\ndef bad(): raise KeyError('k')\n")
        _source.made("two_brought:net", {"outputs": 5}, {}, "a net")
    with pytest.raises(UsageError, match="KeyError: 'k'"):
        _source.made("two_brought:bad", {"outputs": 5}, {}, "a net")


def test_every_scheme_has_its_families():
    schemes = {(family.scheme, family.modality) for family in FAMILIES.values()}
    assert {("sklearn", "tabular"), ("sklearn", "text"), ("onnx", "tabular"), ("onnx", "image")} <= schemes


# --- scikit-learn -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "problem"), [
    ("sklearn.linear_model.LogisticRegression?C=0.5", "binary"),
    ("sklearn.ensemble.HistGradientBoostingClassifier?max_iter=20", "multiclass"),
    ("sklearn.svm.SVR", "regression")])
def test_estimators_pass_the_suite(source, problem):
    family = replace(FAMILIES["sklearn_tabular"], smoke={"source": source}, defaults={"source": source})
    for _, check in check_family(family, problem):
        check()


@pytest.mark.parametrize("problem", ["multilabel", "multiclass"])
def test_a_factory_of_the_user_is_served(problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe_brought.py").write_text(
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.decomposition import PCA\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "def pipe(trees=5):\n    return make_pipeline(PCA(2), RandomForestClassifier(trees))\n")
    data, task = table(problem)
    model = fitted(FAMILIES["sklearn_tabular"], "pipe_brought:pipe?trees=9", data, task)
    np.testing.assert_allclose(served(model, data, tmp_path), model.predict(data.X), atol=1e-6)


def test_texts_go_through_tf_idf(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    words = np.array([["bad", "差评"], ["good", "很好"]])
    texts = [f"it is {words[c][i % 2]} {rng.integers(9)}" for i, c in enumerate(y)]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    data = Dataset(X=frame, y=y, schema=Schema(columns=(Column(name="text", kind="text"),)))
    task = Task(modality="text", problem="binary", target=("y",), metric="", classes=("no", "yes"), rows=80, features=1)
    model = fitted(FAMILIES["sklearn_text"], "sklearn.naive_bayes.BernoulliNB", data, task)
    out = model.predict(frame)
    assert np.mean(out.argmax(axis=1) == y) > 0.95
    np.testing.assert_allclose(served(model, data, tmp_path), out, atol=1e-6)


@pytest.mark.parametrize(("source", "error", "why"), [
    ("sklearn.svm.LinearSVC", Unavailable, "without predict_proba, wrap it in sklearn.calibration"),
    ("sklearn.cluster.KMeans", UsageError, "must be a classifier for this task"),
    ("sklearn.linear_model.Ridge", UsageError, "must be a classifier for this task"),
    ("sklearn.linear_model.LogisticRegression?X=1", UsageError, "unexpected keyword"),
    ("sklearn.linear_model.LogisticRegression?C=-1", UsageError, "must fit a plain table of numbers"),
    ("collections.OrderedDict", UsageError, "must have fit and get_params"),
    ("sklearn.none_such.Thing", UsageError, "must be importable")])
def test_what_is_no_classifier_is_refused_in_one_sentence(source, error, why):
    task = numbers("binary")[1]
    with pytest.raises(error, match=why) as told:
        sklearn_estimator.prepare({"source": source}, task, Need())
    assert str(told.value).count("\n") == 0


def test_what_cannot_be_converted_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd_brought.py").write_text(
        "from sklearn.base import BaseEstimator, ClassifierMixin\nimport numpy as np\n"
        "class Odd(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n        self.classes_ = np.unique(y)\n        return self\n"
        "    def predict_proba(self, X):\n        return np.full((len(X), len(self.classes_)), 0.5)\n")
    with pytest.raises(Unavailable, match=r"must be convertible to ONNX by skl2onnx .* got Odd"):
        sklearn_estimator.prepare({"source": "odd_brought:Odd"}, numbers("binary")[1], Need())


# --- ONNX files -------------------------------------------------------------------------------------------------------

def exported(path, estimator, data, y, zipmap=False, **kind):
    import skl2onnx

    X = data.X.to_numpy(np.float32)
    estimator.fit(X, y)
    options = {id(estimator): {"zipmap": zipmap}} if hasattr(estimator, "predict_proba") else None
    model = skl2onnx.to_onnx(estimator, X[:1], options=options, target_opset=17, **kind)
    path.write_bytes(model.SerializeToString())
    return estimator


@pytest.mark.parametrize("zipmap", [False, True])
def test_a_classifier_is_matched_by_the_names_of_its_classes(zipmap, tmp_path):
    from sklearn.linear_model import LogisticRegression

    data, task = numbers()
    names = np.array(task.classes)[data.y]  # the estimator sorts them: high, low, middle
    theirs = exported(tmp_path / "m.onnx", LogisticRegression(), data, names, zipmap)
    model = fitted(FAMILIES["onnx_tabular"], str(tmp_path / "m.onnx"), data, task)
    told = theirs.predict_proba(data.X.to_numpy())[:, [list(theirs.classes_).index(c) for c in task.classes]]
    np.testing.assert_allclose(model.predict(data.X), told, atol=1e-5)
    (tmp_path / "p").mkdir()
    np.testing.assert_allclose(served(model, data, tmp_path / "p"), model.predict(data.X), atol=1e-7)


def test_values_columns_and_order_are_the_users_to_say(tmp_path):
    from sklearn.linear_model import LinearRegression, LogisticRegression

    data, task = numbers("regression")
    turned = replace(data, X=data.X[["c", "a", "b"]])
    theirs = exported(tmp_path / "m.onnx", LinearRegression(), turned, data.y)
    model = fitted(FAMILIES["onnx_tabular"], f"{tmp_path}/m.onnx?columns=c,a,b", data, task)
    np.testing.assert_allclose(model.predict(data.X), theirs.predict(turned.X.to_numpy()), rtol=1e-5)
    data, task = numbers("binary")
    exported(tmp_path / "b.onnx", LogisticRegression(), data, 1 - data.y)
    model = fitted(FAMILIES["onnx_tabular"], f"{tmp_path}/b.onnx?classes=yes,no", data, task)
    assert np.mean(model.predict(data.X).argmax(axis=1) == data.y) > 0.9
    with pytest.raises(UsageError, match="classes of a brought ONNX file must be those of the task, no, yes"):
        fitted(FAMILIES["onnx_tabular"], f"{tmp_path}/b.onnx?classes=yes,nein", data, task)


def test_inputs_of_one_column_each_are_connected_by_name(tmp_path):
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, task = numbers("binary")
    pipe = make_pipeline(ColumnTransformer([("s", StandardScaler(), ["c", "a"])]), LogisticRegression())
    pipe.fit(data.X, data.y)
    kinds = [(name, FloatTensorType([None, 1])) for name in "ca"]
    model = skl2onnx.to_onnx(pipe, initial_types=kinds, options={id(pipe): {"zipmap": False}}, target_opset=17)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    model = fitted(FAMILIES["onnx_tabular"], str(tmp_path / "m.onnx"), data, task)
    np.testing.assert_allclose(model.predict(data.X), pipe.predict_proba(data.X), atol=1e-5)


def picture_graph(path, shape, outputs=2, kind=1, softmax=False, domain=""):
    """The mean of the first channels, one for each output, as an ONNX file."""
    from onnx import helper

    first = shape[1] in (1, 3)
    nodes = [helper.make_node("Cast", ["in"], ["f"], to=1),
             helper.make_node("ReduceMean", ["f"], ["m"], axes=[2, 3] if first else [1, 2], keepdims=0),
             helper.make_node("Split", ["m"], [f"s{i}" for i in range(3)], axis=1),
             helper.make_node("Concat", ["s0", "s1"][:outputs], ["c"], axis=1),
             helper.make_node("Softmax" if softmax else "Identity", ["c"], ["out"], domain=domain)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("in", kind, shape)],
                              [helper.make_tensor_value_info("out", 1, [shape[0], outputs])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())


def pictures(n=12, size=16):
    """Red and green pictures as data URIs: class yes is green."""
    pytest.importorskip("PIL")
    import base64
    import io

    import pandas as pd
    from PIL import Image

    rng, refs, y = np.random.default_rng(0), [], np.arange(n) % 2
    for code in y:
        pixels = rng.integers(0, 100, (size, size, 3), dtype=np.uint8)
        pixels[..., code] += 120
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        refs.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    task = Task(modality="image", problem="binary", target=("y",), metric="", classes=("no", "yes"), rows=n, features=1)
    schema = Schema(columns=(Column(name="image", kind="image"),))
    return Dataset(X=pd.DataFrame({"image": pd.Series(refs, dtype=object)}), y=y, schema=schema), task


@pytest.mark.parametrize("shape", [[None, 3, 16, 16], [1, 3, 16, 16], [None, 16, 16, 3], [None, 3, None, None]])
def test_a_network_for_images_gets_its_pixels(shape, tmp_path):
    from rightfit.package.runtimes import image

    data, task = pictures()
    picture_graph(tmp_path / "m.onnx", shape)
    source = f"{tmp_path}/m.onnx?mean=0.5,0.4,0.3&std=0.2,0.3,0.1&size=16"
    model = fitted(FAMILIES["onnx_image"], source, data, task)
    from rightfit.data._media import decode

    pixels = np.stack([decode.array(ref, 16) for ref in data.X["image"]]) / 255
    logits = ((pixels - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.1]).mean(axis=(1, 2))[:, :2]
    odds = np.exp(logits)
    np.testing.assert_allclose(model.predict(data.X), odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    (tmp_path / "p").mkdir()
    scorer = image.load(tmp_path / "p", model.save(tmp_path / "p"))
    np.testing.assert_allclose(scorer.frame(data.X), model.predict(data.X), atol=1e-6)
    assert np.mean(model.predict(data.X).argmax(axis=1) == data.y) > 0.9


def test_bytes_and_probabilities_stay_what_they_are(tmp_path):
    data, task = pictures()
    picture_graph(tmp_path / "m.onnx", [None, 16, 16, 3], kind=2, softmax=True)
    model = fitted(FAMILIES["onnx_image"], str(tmp_path / "m.onnx"), data, task)
    assert (np.abs(model.predict(data.X) - np.eye(2)[data.y]) < 1e-6).all()


def test_files_that_do_not_fit_are_refused_in_one_sentence(tmp_path):
    from sklearn.linear_model import LogisticRegression

    data, task = numbers("binary")
    family = FAMILIES["onnx_tabular"]
    exported(tmp_path / "two.onnx", LogisticRegression(), replace(data, X=data.X[["a", "b"]]), data.y)
    exported(tmp_path / "three.onnx", LogisticRegression(), data, numbers()[0].y)
    (tmp_path / "text.onnx").write_text("no model at all")
    picture_graph(tmp_path / "far.onnx", [None, 3, 8, 8], domain="com.evil")
    for source, why in (("none.onnx", "must exist; got file='none.onnx'"),
                        (f"{tmp_path}/text.onnx", "must be a readable ONNX model|must hold a graph"),
                        (f"{tmp_path}/far.onnx", "domain='com.evil'"),
                        (f"{tmp_path}/two.onnx", r"shape=\[None, 2\] for 3 columns"),
                        (f"{tmp_path}/two.onnx?columns=a,x", "column='x'"),
                        (f"{tmp_path}/two.onnx?colums=a,b", "option='colums'"),
                        (f"{tmp_path}/three.onnx", "outputs=3 for 2"),
                        (f"{tmp_path}/three.onnx?output=none", "without 'none'")):
        with pytest.raises(UsageError, match=why):
            fitted(family, source, data, task)
    other = table("binary")
    with pytest.raises(UsageError, match=r"must be given numbers; got column='town' of kind='categorical'"):
        fitted(family, f"{tmp_path}/two.onnx", *other)
    data, task = pictures()
    picture_graph(tmp_path / "side.onnx", [None, 3, 8, 9])
    for source, why in ((f"{tmp_path}/side.onnx", "must take squares"),
                        (f"{tmp_path}/two.onnx", "must take one input"),
                        (f"{tmp_path}/far.onnx?std=0", "domain=")):
        with pytest.raises(UsageError, match=why):
            fitted(FAMILIES["onnx_image"], source, data, task)
    picture_graph(tmp_path / "std.onnx", [None, 3, 8, 8])
    with pytest.raises(UsageError, match="scale and std above 0"):
        fitted(FAMILIES["onnx_image"], f"{tmp_path}/std.onnx?std=0", data, task)


def test_another_content_is_another_candidate(tmp_path):
    task = numbers("binary")[1]
    (picture_graph(tmp_path / "a.onnx", [None, 3, 8, 8]), picture_graph(tmp_path / "b.onnx", [None, 8, 8, 3]))
    first, other = (onnx_file.prepare({"source": f"{tmp_path}/{name}.onnx"}, task, Need()) for name in "ab")
    assert first["content"] != other["content"] and first["source"] == str(tmp_path / "a.onnx")
