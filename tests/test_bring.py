"""Models of the user's own: estimators, ready ONNX files, networks; each is prepared, fitted, saved and served."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from rightfit import registry
from rightfit.errors import Unavailable, UsageError
from rightfit.models.bring import _source, onnx_file, sklearn_estimator
from rightfit.package.runtimes import tabular
from rightfit.package.runtimes import text as text_runtime
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
    assert {("sklearn", "tabular"), ("sklearn", "text"), ("onnx", "tabular"), ("onnx", "image"), ("onnx", "text"),
            ("timm", "image"),
            ("transformers", "text"), ("torch", "image"), ("torch", "text"), ("torch", "tabular"), ("keras", "image"),
            ("keras", "tabular")} <= schemes
    for family in FAMILIES.values():
        assert [name for name, check in check_family(family) if check() is None] == ["stated"]


# --- scikit-learn -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("source", "problem"), [
    ("sklearn.linear_model.LogisticRegression?C=0.5", "binary"),
    ("sklearn.ensemble.HistGradientBoostingClassifier?max_iter=5&learning_rate=0.5", "multiclass"),
    ("sklearn.svm.SVR", "regression")])
def test_estimators_pass_the_suite(source, problem):
    family = replace(FAMILIES["sklearn_tabular"], smoke={"source": source}, defaults={"source": source})
    with threadpool_limits(1):  # as in a trial: two threads wait for each other beside other tests
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


def word_graph(path, names=("input_ids", "attention_mask")):
    """Logits are the sums of two figures for each word that is no padding; and a tokenizer of six words beside it."""
    import tokenizers
    from onnx import TensorProto, helper, numpy_helper

    words = {"[PAD]": 3, "[UNK]": 0, "good": 1, "bad": 2, "very": 4, "day": 5}
    table = np.array([[0, 0], [0, 2], [2, 0], [50, -50], [0, 0], [0.1, 0.1]], np.float32)
    nodes = [helper.make_node("Gather", ["table", names[0]], ["each"]),
             helper.make_node("Cast", [names[-1]], ["mask"], to=TensorProto.FLOAT),
             helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
             helper.make_node("Mul", ["each", "wide"], ["seen"]),
             helper.make_node("ReduceSum", ["seen", "second"], ["logits"], keepdims=0)]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])],
                              [numpy_helper.from_array(table, "table"),
                               numpy_helper.from_array(np.array([2]), "last"),
                               numpy_helper.from_array(np.array([1]), "second")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(path.with_name("tokenizer.json")))
    return str(path)


def test_a_graph_over_tokens_reads_texts(tmp_path):
    import pandas as pd

    pytest.importorskip("tokenizers")
    source, family = word_graph(tmp_path / "words.onnx"), FAMILIES["onnx_text"]
    texts = ["very good day", "bad", "good", "very very bad day", "never seen", "good good good bad", ""] * 4
    data = Dataset(X=pd.DataFrame({"text": pd.Series(texts, dtype=object)}), y=np.array([1, 0, 1, 0, 0, 1, 0] * 4),
                   schema=Schema(columns=(Column(name="text", kind="text"),)))
    task = Task(modality="text", problem="binary", target=("y",), metric="", classes=("no", "yes"))
    model = fitted(family, source, data, task)
    out = model.predict(data.X)
    sure = 1 / (1 + np.exp(-2))
    assert np.allclose(out[:2], [[1 - sure, sure], [sure, 1 - sure]], atol=1e-6)
    assert np.allclose(out[4], 0.5) and (out[[0, 2, 5], 1] > 0.5).all()
    (tmp_path / "p").mkdir()
    assert np.allclose(text_runtime.load(tmp_path / "p", model.save(tmp_path / "p")).frame(data.X), out, atol=1e-6)
    (tmp_path / "alone").mkdir()
    alone, other = tmp_path / "alone" / "m.onnx", tmp_path / "other.onnx"
    alone.write_bytes((tmp_path / "words.onnx").read_bytes())
    word_graph(other, ("ids", "attention_mask"))
    for wrong, why in ((str(alone), "needs its tokenizer.json"), (str(other), "must take input_ids.*got inputs=ids"),
                       (f"{source}?size=3", "option='size'"), (f"{tmp_path}/no.onnx", "must exist"),
                       (f"{source}?tokenizer={tmp_path}/words.onnx", "readable tokenizer.json")):
        with pytest.raises(UsageError, match=why):
            fitted(family, wrong, data, task)
    assert fitted(family, f"{alone}?tokenizer={tmp_path}/tokenizer.json", data, task).predict(data.X).shape == (28, 2)


def test_another_content_is_another_candidate(tmp_path):
    task = numbers("binary")[1]
    (picture_graph(tmp_path / "a.onnx", [None, 3, 8, 8]), picture_graph(tmp_path / "b.onnx", [None, 8, 8, 3]))
    first, other = (onnx_file.prepare({"source": f"{tmp_path}/{name}.onnx"}, task, Need()) for name in "ab")
    assert first["content"] != other["content"] and first["source"] == str(tmp_path / "a.onnx")


# --- torch, timm, transformers ----------------------------------------------------------------------------------------

TORCH = """
import torch
from torch import nn

def image(outputs, width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, outputs))

class Text(nn.Module):
    def __init__(self, ids, outputs, width=16):
        super().__init__()
        self.words, self.head = nn.Embedding(ids, width, padding_idx=0), nn.Linear(width, outputs)
    def forward(self, X):
        return self.head(self.words(X).sum(dim=1))

class Careless(Text):
    def forward(self, X):
        return self.head(self.words(X).mean(dim=1))

def table(features, outputs, width=32):
    return nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, outputs))

def wide(features, outputs):
    return nn.Linear(features, outputs + 1)

def deaf(features, outputs):
    return nn.Linear(features + 1, outputs)

def none(features, outputs):
    return "no network"
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    name = f"nets_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(TORCH)
    return name


@pytest.mark.parametrize("problem", ["multiclass", "multilabel", "regression"])
def test_a_torch_network_for_tables(problem, nets, tmp_path):
    data, task = numbers(problem, n=300)
    source = f"{nets}:table?width=16&epochs=15&learning_rate=0.01&batch=32"
    model = fitted(FAMILIES["torch_tabular"], source, data, task)
    out = model.predict(data.X)
    if problem == "regression":
        assert np.corrcoef(out, data.y)[0, 1] > 0.9
    elif problem == "multiclass":
        assert np.mean(out.argmax(axis=1) == data.y) > 0.75
    np.testing.assert_allclose(served(model, data, tmp_path).reshape(out.shape), out, rtol=1e-4, atol=1e-5)
    few = FAMILIES["torch_tabular"].untrained({"source": source}, task, data.take(np.arange(30)))
    assert np.asarray(few.predict(data.X)).shape == out.shape


def test_a_torch_network_for_images(nets, tmp_path):
    pytest.importorskip("torchvision")
    from rightfit.package.runtimes import image

    data, task = pictures(24)
    source = f"{nets}:image?width=4&epochs=8&learning_rate=0.05&batch=8&augment=none"
    model = fitted(FAMILIES["torch_image"], source, data, task)
    out = model.predict(data.X)
    assert np.mean(out.argmax(axis=1) == data.y) > 0.9
    np.testing.assert_allclose(image.load(tmp_path, model.save(tmp_path)).frame(data.X), out, atol=1e-5)
    assert FAMILIES["torch_image"].untrained({"source": source}, task, data).predict(data.X).shape == (24, 2)


def test_a_torch_network_for_texts(nets, tmp_path):
    import pandas as pd

    from rightfit.package.runtimes import text

    y = np.arange(60) % 2
    frame = pd.DataFrame({"text": pd.Series([f"w{i % 7} {'good' if c else 'bad'} x" for i, c in enumerate(y)],
                                            dtype=object)})
    data = Dataset(X=frame, y=y, schema=Schema(columns=(Column(name="text", kind="text"),)))
    task = Task(modality="text", problem="binary", target=("y",), metric="", classes=("no", "yes"), rows=60, features=1)
    family = FAMILIES["torch_text"]
    model = fitted(family, f"{nets}:Text?epochs=20&learning_rate=0.05&batch=16", data, task)
    out = model.predict(frame)
    assert np.mean(out.argmax(axis=1) == y) > 0.95
    np.testing.assert_allclose(text.load(tmp_path, model.save(tmp_path)).frame(frame), out, atol=1e-5)
    with pytest.raises(UsageError, match="must not look at padding"):
        fitted(family, f"{nets}:Careless", data, task)


def test_networks_that_do_not_fit_are_refused_in_one_sentence(nets):
    data, task = numbers()
    for name, why in (("wide", r"must give logits \(2, 3\); got .* with \(2, 4\)"), ("deaf", r"must take \(2, 8\)"),
                      ("none", "must be a torch.nn.Module"), ("gone", "does not have")):
        with pytest.raises(UsageError, match=why):
            fitted(FAMILIES["torch_tabular"], f"{nets}:{name}", data, task)


def test_a_network_of_timm_by_its_name(tmp_path):
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    from rightfit.errors import UnknownName
    from rightfit.package.runtimes import image

    data, task = pictures(24)
    family = FAMILIES["timm"]
    source = "test_resnet?pretrained=false&epochs=2&size=32&batch=8&augment=none"
    params = family.prepare({**family.defaults, "source": source}, task, Need())
    assert params["network"] == "test_resnet" and not params["pretrained"] and params["backbone_rate"] == 1.0
    model = family.build(params, task).fit(data, seed=0, deadline=LATER)
    np.testing.assert_allclose(image.load(tmp_path, model.save(tmp_path)).frame(data.X), model.predict(data.X),
                               atol=1e-5)
    for source, error, why in (("no_such_net", UnknownName, "network='no_such_net'"),
                               ("test_resnet?epoch=3", UsageError, "option='epoch'")):
        with pytest.raises(error, match=why):
            family.prepare({**family.defaults, "source": source}, task, Need())


def test_weights_of_timm_are_taken_or_missed(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task, family = pictures(4)[1], FAMILIES["timm"]
    asked = {**family.defaults, "source": "test_resnet"}
    with pytest.raises(Unavailable, match=r"timm:test_resnet\?pretrained=false"):
        family.prepare(asked, task, Need())
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "test_resnet.safetensors")
    found = family.prepare(asked, task, Need(weights=(str(tmp_path),)))
    assert found["weights"] == str(tmp_path / "test_resnet.safetensors") and found["pretrained"]


def test_an_encoder_of_the_user_races_twice(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = Task(modality="text", problem="binary", target=("y",), metric="", classes=("no", "yes"))
    families = [family for family in FAMILIES.values() if family.scheme == "transformers"]
    assert len(families) == 2
    for family in families:
        for source, error, why in (("none/such", Unavailable, "encoder='none/such'"),
                                   (str(tmp_path), Unavailable, "config.json"),
                                   ("none/such?haed=svm", UsageError, "option='haed'")):
            with pytest.raises(error, match=why):
                family.prepare({**family.defaults, "source": source}, task, Need())
        with pytest.raises(Unavailable, match=r"config\.json"):
            family.prepare({**family.defaults, "source": f"{tmp_path}?head=svm&epochs=1"}, task, Need())


# --- Keras ------------------------------------------------------------------------------------------------------------

KERAS = """
import keras
from keras import layers

def image(outputs, size, width=8):
    return keras.Sequential([keras.Input((size, size, 3)), layers.Conv2D(width, 3, strides=2, activation="relu"),
                             layers.GlobalAveragePooling2D(), layers.Dense(outputs, activation="softmax")])

def table(features, outputs):
    return keras.Sequential([layers.Dense(16, "relu"), layers.Dense(outputs)])

def wide(features, outputs):
    return keras.Sequential([layers.Dense(outputs + 1)])
"""


@pytest.fixture
def keras_nets(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="needs rightfit[tensorflow]")
    monkeypatch.chdir(tmp_path)
    name = f"keras_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(KERAS)
    return name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_a_keras_network_for_tables(problem, keras_nets, tmp_path):
    data, task = numbers(problem, n=300)
    family = FAMILIES["keras_tabular"]
    model = fitted(family, f"{keras_nets}:table?epochs=12&learning_rate=0.02", data, task)
    out = model.predict(data.X)
    if problem == "binary":
        assert np.mean(out.argmax(axis=1) == data.y) > 0.85
    np.testing.assert_allclose(served(model, data, tmp_path).reshape(out.shape), out, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="must give logits"):
        fitted(family, f"{keras_nets}:wide", data, task)
    with pytest.raises(UsageError, match="for tables must be module:factory"):
        fitted(family, "net.keras", data, task)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_keras_network_for_images_made_or_saved(keras_nets, tmp_path):
    import keras

    from rightfit.package.runtimes import image

    data, task = pictures(24)
    family = FAMILIES["keras_image"]
    model = fitted(family, f"{keras_nets}:image?epochs=8&learning_rate=0.05&batch=8&size=16", data, task)
    out = model.predict(data.X)
    assert np.mean(out.argmax(axis=1) == data.y) > 0.9 and np.allclose(out.sum(axis=1), 1)
    np.testing.assert_allclose(image.load(tmp_path, model.save(tmp_path)).frame(data.X), out, atol=1e-5)
    net = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(),
                            keras.layers.Dense(2), keras.layers.Softmax()])
    net.save(tmp_path / "mine.keras")
    model = fitted(family, f"{tmp_path}/mine.keras?epochs=1&batch=24", data, task)
    assert model.size == 16 and model.predict(data.X).shape == (24, 2)
    (tmp_path / "bad.keras").write_text("no model")
    for name, why in (("bad", "must be saved by Keras 3"), ("none", "must be a file that exists")):
        with pytest.raises(UsageError, match=why):
            fitted(family, f"{tmp_path}/{name}.keras", data, task)
