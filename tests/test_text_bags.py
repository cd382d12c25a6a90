"""Bags of n-grams: values equal to scikit-learn's, every family on every problem, packages that serve without it."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rightfit.data.modalities._text_example import example, hard
from rightfit.errors import PackageError, UsageError
from rightfit.models.text import (
    _bag,
    _select,
    _solve,
    _vectorise,
    baseline,
    fasttext,
    tfidf_linear,
    tfidf_nb,
    tfidf_svm,
)
from rightfit.models.text._vectorise import Bag, Ids, join, join_row, normalise, words
from rightfit.package import write
from rightfit.package.read import load
from rightfit.package.runtimes import text as runtime
from rightfit.records import Candidate, Column, Rule, Schema
from rightfit.testing._case import in_time

DATA = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "text"
LATER = float("inf")
FAMILIES = (tfidf_linear.SPEC, tfidf_svm.SPEC, tfidf_nb.SPEC, fasttext.SPEC)
CASES = [(family, problem) for family in FAMILIES for problem in family.problems]
EVERY = [(baseline.SPEC, problem) for problem in baseline.SPEC.problems] + CASES
TEXTS = ["The food was good, the waiter wasn't!", "好吃 好吃, 很好吃! 😀", "\uff26ull-width \u2460", "", None, "a",
         "bad bad BAD day", "这家餐厅很好吃", "the day was good", "ひらがなカタカナ", "한국어 문장 문장",
         "snake_case 3.14 x²"] * 2


def named(case):
    return f"{case[0].name}-{case[1]}"


def matrix(rows, width):
    indptr, indices, values = rows
    return sparse.csr_array((values, indices, indptr), shape=(len(indptr) - 1, width))


def fitted(family, problem="binary", params=None, data=None, task=None, seed=0, within=LATER):
    made = example(problem) if data is None else (data, task)
    model = family.build({**family.smoke, **(params or {})}, made[1])
    return model.fit(made[0], seed=seed, deadline=within if within == LATER else time.monotonic() + within)


def loss(predicted, y, task):
    if task.problem == "regression":
        return float(np.mean((predicted - y) ** 2) / np.var(y))
    truth = y if task.problem == "multilabel" else np.eye(len(task.classes))[y]
    return float(np.mean((predicted - truth) ** 2))


# --- vectorisers ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    {"word": [1, 2], "char": [1, 5], "min_df": 2}, {"word": [1, 1], "sublinear": False},
    {"char": [3, 6], "min_df": 1, "max_df": 0.5}, {"word": [2, 3]}, {"word": [1, 2], "weight": "binary"}])
def test_values_are_those_of_scikit_learn(options):
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    bag, rows = Bag.fit(TEXTS, options)
    new = [*TEXTS, "the bad food 吃", "unseen"]
    expected, fitted_ones = [], []
    for block in bag.blocks:
        how = {"preprocessor": normalise, "ngram_range": (block.low, block.high), "min_df": options.get("min_df", 1),
               "max_df": options.get("max_df", 1.0)}
        how |= {"analyzer": "char_wb"} if block.kind == "char" else {"tokenizer": words, "token_pattern": None}
        theirs = CountVectorizer(**how, binary=True) if block.weight == "binary" else TfidfVectorizer(
            **how, sublinear_tf=block.sublinear)
        fitted_ones.append(theirs.fit_transform(TEXTS))
        assert block.terms == list(theirs.get_feature_names_out())
        expected.append(theirs.transform(new))
    ours = matrix(bag.bag(new), bag.width)
    assert abs(ours - sparse.hstack(expected)).max() < 1e-12
    assert abs(matrix(rows, bag.width) - sparse.hstack(fitted_ones)).max() < 1e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_text_gives_one_row_whatever_stands_beside_it(texts):
    bag = Bag.fit([*TEXTS, *texts], {"word": [1, 2], "char": [2, 4]})[0]
    again = Bag.from_json(bag.to_json())
    indptr, indices, values = bag.bag(texts)
    for at, text in enumerate(texts):
        for one in (bag, again):
            positions, found = one.row(text)
            assert np.array_equal(positions, indices[indptr[at]:indptr[at + 1]])
            assert np.array_equal(found, values[indptr[at]:indptr[at + 1]])
        assert np.isfinite(found).all() and len(set(positions.tolist())) == len(positions)


@pytest.mark.parametrize("weight", ["tfidf", "count", "binary", "mean"])
def test_hashed_bags_serve_what_they_were_fitted_on(weight):
    params = {"word": [1, 2], "char": [3, 4], "weight": weight, "buckets": 512}
    bag, rows = Bag.fit(TEXTS, params)
    assert bag.width <= 1024 and all(isinstance(term, int) for block in bag.blocks for term in block.terms)
    served = matrix(Bag.from_json(bag.to_json()).bag(TEXTS), bag.width)
    assert abs(served - matrix(rows, bag.width)).max() < 1e-15
    if weight == "mean":
        sums = served.sum(axis=1)
        assert np.allclose(sums[sums > 0], 1.0)


def test_selection_keeps_the_telling_terms():
    from scipy.stats import chi2_contingency

    rng = np.random.default_rng(0)
    present = sparse.csr_array((rng.random((200, 12)) < 0.4).astype(float))
    y = (present[:, [3]].toarray()[:, 0] + rng.random(200) > 0.9).astype(float)
    dense = present.toarray()
    expected = [chi2_contingency(pd.crosstab(dense[:, j], y), correction=False)[0] for j in range(12)]
    np.testing.assert_allclose(_select.telling(present, y), expected, rtol=1e-9)
    kept = _select.choose([present], {"max_features": 4}, y)[0]
    assert sorted(kept) == sorted(np.argsort(expected)[-4:])
    often = np.argsort(-present.sum(axis=0), kind="stable")[:4]
    assert set(_select.choose([present], {"max_features": 4}, None)[0]) == set(often)


def test_reading_stops_at_the_clock():
    bag, (indptr, _, _) = Bag.fit(["one text"] * 5000, {"word": [1, 1]}, late=lambda: True)
    assert len(indptr) - 1 == 256 and bag.blocks[0].rows == 256


@pytest.mark.parametrize("buckets", [0, 500])
def test_memory_is_bounded_and_later_texts_still_count(monkeypatch, buckets):
    texts = [f"word{i % 7} and thing{i % 5}" for i in range(1500)]
    params = {"word": [1, 2], "char": [2, 3], "buckets": buckets}
    whole, rows = Bag.fit(texts, params)
    monkeypatch.setattr(_vectorise, "MOST", 5_000)
    parted, again = Bag.fit(texts, params)
    assert parted.to_json() == whole.to_json()
    assert all(np.allclose(a, b) for a, b in zip(_dense(rows, whole.width), _dense(again, whole.width), strict=True))
    monkeypatch.setattr(_vectorise, "HELD", 20_000)
    short, few = Bag.fit(texts, params)
    assert 20_000 <= len(few[1]) < 30_000 and short.blocks[0].rows == len(few[0]) - 1 < 1500


def _dense(rows, width):
    indptr, indices, values = rows
    return sparse.csr_array((values, indices, indptr), shape=(len(indptr) - 1, width)).toarray()


def test_words_ids_and_columns():
    assert words(normalise("Don\u2019t 吃饭 :) a_b")) == ["don\u2019t", "吃", "饭", ":", ")", "a_b"]
    ids = Ids.fit(["good food", "bad food", None], {"unit": "word", "max_features": 2, "max_length": 3})
    assert [row.tolist() for row in Ids.from_json(ids.to_json()).ids(["food bad good food", "", None])] == [
        [2, 3, 1], [1], [1]]
    chars = Ids.fit(["ab", "b"], {"unit": "char"})
    assert chars.terms == ["b", "a"] and len(chars) == 4 and chars.row("cab").tolist() == [1, 3, 2]
    frame = pd.DataFrame({"title": ["a", None], "body": ["b", "c"]}, dtype=object)
    assert join(frame, ["title", "body"]) == ["a\nb", "\nc"] == [join_row(r, ["title", "body"])
                                                                for r in frame.to_dict("records")]
    assert normalise("\ud800 x") == "\ufffd x"


@pytest.mark.parametrize("options", [{}, {"word": [2, 1]}, {"char": [0, 3]}, {"word": [1, 1], "weight": "best"}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError):
        Bag.fit(TEXTS, options)


# --- families ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case", EVERY, ids=named)
def test_a_family_learns_and_its_package_predicts_the_same(case, tmp_path):
    family, problem = case
    data, task = example(problem)
    new, _ = example(problem, seed=1)
    model = fitted(family, problem)
    predicted = model.predict(new.X)
    shares = np.tile(data.y.mean(axis=0) if problem in ("regression", "multilabel") else
                     np.bincount(data.y) / len(data.y), (len(new.y),) + (1,) * (problem != "regression"))
    worth = loss(predicted, new.y, task) / loss(shares.reshape(predicted.shape), new.y, task)
    assert worth == pytest.approx(1.0, abs=0.01) if family.baseline else worth < 0.6
    if problem in ("binary", "multiclass"):
        np.testing.assert_allclose(predicted.sum(axis=1), 1.0, atol=1e-9)
    info = write.write(model, tmp_path / "package", task=task, schema=data.schema, rule=Rule(),
                       candidate=Candidate(family=family.name), sample=new.X)
    assert info["parity"]["max_abs"] == 0.0 and info["requires"].keys() == {"numpy", "safetensors"}
    served = load(tmp_path / "package")
    frames = hard() | {"two": new.X.iloc[:2]}
    if problem != "binary":
        frames.pop("very_long")  # slow, and the same code for every problem
    for name, frame in frames.items():
        whole = served.raw(frame)
        single = np.concatenate([served.raw(record) for record in frame.to_dict("records")])
        assert np.isfinite(whole).all() and np.array_equal(whole, single), name
        assert np.array_equal(whole, np.asarray(model.predict(frame)).reshape(whole.shape)), name


@pytest.mark.parametrize("case", CASES, ids=named)
def test_same_seed_same_model_and_a_refit_reuses_what_was_learned(case):
    family, problem = case
    data, task = example(problem, n=150)
    state = np.random.get_state()[1].copy()
    first, again = (fitted(family, problem, data=data, task=task, seed=3) for _ in range(2))
    assert np.array_equal(first.predict(data.X), again.predict(data.X))
    assert np.array_equal(np.random.get_state()[1], state)
    assert first.learned and set(first.learned) <= set(family.defaults)
    settled = {**json.loads(json.dumps(first.learned)), "early_stopping": False}
    assert fitted(family, problem, params=settled, data=data, task=task).learned == first.learned


@pytest.mark.parametrize("case", CASES, ids=named)
def test_few_rows_missing_classes_and_noise(case):
    family, problem = case
    data, task = example(problem)
    for n in (1, 9):
        assert np.isfinite(fitted(family, problem, data=data.take(np.arange(n)), task=task).predict(data.X)).all()
    same = fitted(family, problem, data=replace(data, y=np.zeros_like(data.y)), task=task).predict(data.X)
    assert np.allclose(same, 0, atol=1e-6) if problem in ("regression", "multilabel") else same[:, 0].min() > 0.99
    if problem == "multiclass":
        two = data.take(np.flatnonzero(data.y != 1))
        out = fitted(family, problem, data=two, task=task).predict(data.X)
        assert out[:, 1].max() < 1e-9 and np.allclose(out.sum(axis=1), 1)
    noisy, task = example(problem, noise=True)
    new, _ = example(problem, seed=1, noise=True)
    mean = noisy.y.mean(axis=0) if problem != "multiclass" else np.bincount(noisy.y) / len(noisy.y)
    constant = np.column_stack([1 - mean * np.ones(240), mean * np.ones(240)]) if problem == "binary" else \
        np.tile(mean, (240,) + (1,) * np.ndim(mean))
    found = loss(fitted(family, problem, data=noisy, task=task).predict(new.X), new.y, task)
    assert 0.9 < found / loss(constant, new.y, task) < 1.35


@pytest.mark.parametrize("case", CASES, ids=named)
def test_weights_count(case):
    family, problem = case
    data, task = example(problem)
    new, _ = example(problem, seed=1)
    n = len(data)
    twice = data.take(np.concatenate([np.arange(n), np.arange(n)]))
    y = np.concatenate([data.y, data.y[np.random.default_rng(5).permutation(n)]])
    light = np.repeat([1.0, 0.01], n)
    plain, told = (loss(fitted(family, problem, data=replace(twice, y=y, weight=w), task=task).predict(new.X), new.y,
                        task) for w in (None, light))
    assert told < plain


@pytest.mark.parametrize("case", CASES, ids=named)
@pytest.mark.parametrize("within", [-1.0, 0.3])
def test_the_deadline_is_obeyed(case, within):
    family, problem = case
    data, task = example(problem, n=2000)
    model = family.build(family.defaults, task)
    in_time(lambda: model.fit(data, seed=0, deadline=time.monotonic() + within), max(within, 0) + 1.5)
    assert np.isfinite(model.predict(data.X.iloc[:20])).all()


@pytest.mark.parametrize("params", [{"event": "multinomial"}, {"event": "complement"}, {"interpolation": 0.3},
                                    {"weight": "binary", "chars": 0}], ids=str)
@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel"])
def test_naive_bayes_variants_learn(params, problem):
    data, task = example(problem)
    new, _ = example(problem, seed=1)
    model = fitted(tfidf_nb.SPEC, problem, params, data, task)
    assert loss(model.predict(new.X), new.y, task) < 0.6 * np.mean(np.var(
        new.y if problem == "multilabel" else np.eye(len(task.classes))[new.y], axis=0))


@pytest.mark.parametrize("event", ["multinomial", "complement"])
def test_naive_bayes_is_that_of_scikit_learn(event):
    from sklearn.naive_bayes import ComplementNB, MultinomialNB

    rng = np.random.default_rng(0)
    X, codes, weight = sparse.csr_array(rng.random((60, 9))), rng.integers(0, 3, 60), rng.random(60) + 0.1
    rows = _solve.Sparse(X=X, y=np.eye(3)[codes], link="softmax", weight=weight)
    W, bias = tfidf_nb.bayes(rows, 0.5, event)
    theirs = (MultinomialNB if event == "multinomial" else ComplementNB)(alpha=0.5).fit(X, codes, weight)
    found = theirs.predict_joint_log_proba(X)
    np.testing.assert_allclose(X @ W + bias, found, atol=1e-9)


@pytest.mark.parametrize("link", ["softmax", "pair", "identity"])
def test_the_solver_finds_the_minimum_that_scikit_learn_finds(link):
    from sklearn.linear_model import LogisticRegression, Ridge

    rng = np.random.default_rng(1)
    X = sparse.random_array((300, 20), density=0.3, rng=rng, format="csr")
    score = X @ rng.normal(size=(20, 3)) * 3
    weight = rng.random(300) + 0.5
    codes = score.argmax(axis=1) if link == "softmax" else (score[:, 0] > 0).astype(int)
    y = {"softmax": np.eye(3)[codes], "pair": codes[:, None].astype(float), "identity": score[:, :1]}[link]
    W, bias = _solve.least(_solve.Sparse(X=X, y=y, link=link, weight=weight), 2.0, None)
    theirs = Ridge(alpha=0.5).fit(X, y[:, 0], weight) if link == "identity" else \
        LogisticRegression(C=2.0, tol=1e-8).fit(X, codes, sample_weight=weight)
    found = X @ W + bias
    expected = theirs.predict(X)[:, None] if link == "identity" else theirs.decision_function(X).reshape(len(codes), -1)
    assert np.abs(found - expected).mean() < 0.05 * np.std(expected)


def test_half_precision_is_half_the_size_and_the_same_decisions(tmp_path):
    data, task = example("multiclass")
    found = {}
    for precision in ("float16", "float32"):
        model = fitted(tfidf_svm.SPEC, "multiclass", {"precision": precision}, data, task)
        model.save(tmp_path)
        found[precision] = (tmp_path / "linear.safetensors").stat().st_size, model.predict(data.X)
    assert found["float16"][0] < 0.55 * found["float32"][0]
    assert np.abs(found["float16"][1] - found["float32"][1]).max() < 5e-3


def test_several_values_and_groups():
    data, task = example("regression")
    both = np.column_stack([data.y, -data.y, np.full(len(data), 5.0)])
    task = replace(task, outputs=3)
    groups = np.repeat(np.arange(60), 4)
    for family in (tfidf_linear.SPEC, tfidf_svm.SPEC, fasttext.SPEC, baseline.SPEC):
        out = fitted(family, data=replace(data, y=both, groups=groups), task=task).predict(data.X)
        assert out.shape == both.shape and np.allclose(out[:, 2], 5.0)
        assert family.baseline or np.corrcoef(out[:, 0], both[:, 0])[0, 1] > 0.8


def test_inner_parts_keep_groups_together():
    rng = np.random.default_rng(0)
    rows = _solve.Sparse(X=sparse.csr_array(rng.random((90, 3))), y=rng.random((90, 1)), link="identity",
                         weight=np.ones(90), groups=np.repeat(np.arange(30), 3))
    parts = _solve.splits(rows)
    assert len(parts) == 3 and sum(len(valid) for _, valid in parts) == 90
    assert all(not set(rows.groups[train]) & set(rows.groups[valid]) for train, valid in parts)


# --- the runtime ------------------------------------------------------------------------------------------------------

def package(folder, problem="binary"):
    data, task = example(problem)
    model = fitted(tfidf_linear.SPEC, problem)
    write.write(model, folder, task=task, schema=data.schema, rule=Rule(), candidate=Candidate(family="tfidf_linear"),
                sample=data.X)
    return folder


def test_serving_loads_nothing_that_trains(tmp_path):
    place = package(tmp_path / "package")
    program = ("import sys; from rightfit.package.read import load; m = load(sys.argv[1]); "
               "print(m.predict_one({'text': 'a wonderful day'})['prediction']); "
               "print(' '.join({n.split('.')[0] for n in sys.modules}))")
    done = subprocess.run([sys.executable, "-c", program, str(place)], capture_output=True, text=True, check=True)
    answer, loaded = done.stdout.splitlines()
    assert answer == "yes"
    assert not set(loaded.split()) & {"sklearn", "scipy", "pandas", "torch", "onnxruntime", "joblib"}


@pytest.mark.parametrize(("change", "message"), [
    ({"columns": []}, "columns"), ({"vectoriser": {"name": "magic", "file": "vectoriser.json"}}, "magic"),
    ({"cores": []}, "one core"), ({"vectoriser": {"name": "bag", "file": "../x"}}, "plain relative"),
    ({"cores": [{"format": "linear", "file": "vectoriser.json"}]}, "[Hh]eader")])
def test_a_damaged_package_is_one_sentence(tmp_path, change, message):
    model = fitted(tfidf_linear.SPEC)
    meta = {**model.save(tmp_path), **change}
    with pytest.raises(Exception, match=message) as caught:
        runtime.load(tmp_path, meta)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    model = fitted(tfidf_linear.SPEC, "multiclass")
    meta = model.save(tmp_path)
    model.linear.save(tmp_path / "whole.safetensors")
    short = replace(model.linear, weight=model.linear.weight[1:])
    short.save(tmp_path / "linear.safetensors")
    with pytest.raises(PackageError, match="row for every feature"):
        runtime.load(tmp_path, meta)
    replace(model.linear, bias=model.linear.bias[1:]).save(tmp_path / "linear.safetensors")
    with pytest.raises(PackageError, match="fit together"):
        runtime.load(tmp_path, meta)
    assert _bag.read(tmp_path / "whole.safetensors").link == "softmax"
    found = json.loads((tmp_path / "vectoriser.json").read_text())
    found["blocks"][0]["terms"][0] = found["blocks"][0]["terms"][1]
    with pytest.raises(PackageError, match="every term once"):
        Bag.from_json(json.dumps(found))


def test_ids_are_padded_for_the_graph_and_rows_do_not_depend_on_their_batch(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    # Y = (sum of ids, number of ids that are not padding)
    nodes = [helper.make_node("Cast", ["X"], ["F"], to=TensorProto.FLOAT),
             helper.make_node("ReduceSum", ["F", "axis"], ["total"], keepdims=1),
             helper.make_node("Sign", ["F"], ["one"]),
             helper.make_node("ReduceSum", ["one", "axis"], ["count"], keepdims=1),
             helper.make_node("Concat", ["total", "count"], ["Y"], axis=1)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", TensorProto.INT64, [None, None])],
                              [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 2])],
                              [numpy_helper.from_array(np.array([1]), "axis")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              str(tmp_path / "model.onnx"))
    texts = [" ".join(["good food bad"] * (at % 7)) for at in range(80)]
    (tmp_path / "v.json").write_text(Ids.fit(texts, {"unit": "word"}).to_json())
    meta = {"runtime": "text", "columns": ["a", "b"], "vectoriser": {"name": "ids", "file": "v.json"}, "outputs": 2,
            "cores": [{"format": "onnx", "file": "model.onnx"}]}
    scorer = runtime.load(tmp_path, meta)
    frame = pd.DataFrame({"a": texts, "b": [None] * 80}, dtype=object)
    whole = scorer.frame(frame)
    assert whole[:, 1].tolist() == [max(3 * (at % 7), 1) for at in range(80)]
    records = frame.to_dict("records")
    assert np.array_equal(whole, scorer.rows(records))
    assert np.array_equal(whole, np.concatenate([scorer.row(record) for record in records]))
    assert scorer.frame(frame.iloc[:0]).shape == (0, 2)
    assert runtime.requires(meta) == ("numpy", "onnxruntime")


def test_several_columns_are_read_in_the_order_of_the_schema(tmp_path):
    data, task = example("binary")
    schema = Schema(columns=(Column(name="title", kind="text"), Column(name="text", kind="text")))
    X = data.X.assign(title="about")[["text", "title"]]
    model = fitted(tfidf_svm.SPEC, data=replace(data, X=X, schema=schema), task=task)
    assert model.columns == ["title", "text"]
    write.write(model, tmp_path / "p", task=task, schema=schema, rule=Rule(), candidate=Candidate(family="tfidf_svm"),
                sample=X)
    assert load(tmp_path / "p").predict_one({"text": "perfect wonderful", "title": None})["prediction"] == "yes"


@pytest.mark.shared
def test_spam_is_found():
    path = DATA / "sms_spam.csv.gz"
    if not path.exists():
        pytest.skip("RIGHTFIT_DATA is absent")
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    rows = list({row["text"]: row for row in rows}.values())[:2000]
    X = pd.DataFrame({"text": pd.Series([row["text"] for row in rows], dtype=object)})
    y = np.array([row["type"] == "spam" for row in rows]).astype(np.int64)
    data, task = example("binary")
    data = replace(data, X=X, y=y)
    model = fitted(tfidf_svm.SPEC, data=data.take(np.arange(1500)), task=replace(task, classes=("ham", "spam")))
    assert (model.predict(X.iloc[1500:]).argmax(axis=1) == y[1500:]).mean() > 0.97
