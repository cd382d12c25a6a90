"""Encoder: training and serving give the same bits; nothing unseen raises; targets never leak into their own row."""

import json
import subprocess
import sys
import timeit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.data import encode_apply
from rightfit.data.encode import Encoder
from rightfit.data.encode_fit import shrunk_means
from rightfit.errors import PackageError, UsageError
from rightfit.records import Column, Schema, Task

KINDS = {"size": "numeric", "flag": "boolean", "town": "categorical", "code": "categorical", "when": "datetime",
         "note": "text"}
SCHEMA = Schema(columns=tuple(Column(name=n, kind=k) for n, k in KINDS.items()))
BINARY = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"))
MULTI = Task(modality="tabular", problem="multiclass", target=("y",), metric="accuracy", classes=("a", "b", "c"))
REGRESSION = Task(modality="tabular", problem="regression", target=("y",), metric="rmse")

OPTIONS = [
    {},
    {"categorical": "onehot", "max_categories": 3, "impute": "median", "indicator": True, "scale": "standard",
     "cyclic": True, "token_weight": "tfidf", "text_scores": False},
    {"categorical": "ordinal", "scale": "robust", "token_weight": "count"},
    {"categorical": "target", "scale": "quantile", "impute": "median"},
    {"categorical": "code", "indicator": True, "tokens": 0},
]


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    size = rng.lognormal(size=n)
    size[::7] = np.nan
    when = pd.Series(pd.to_datetime(rng.integers(0, 2_000_000_000, n), unit="s").astype("datetime64[ns]"))
    when[::9] = pd.NaT
    towns = np.array(["北京", "Köln", "Lima", "Oslo", None], dtype=object)
    notes = np.array(["很好 很好", "so bad", "good good value", None, "不好"], dtype=object)
    return pd.DataFrame({
        "size": size, "flag": np.where(np.arange(n) % 5 == 0, np.nan, rng.integers(0, 2, n).astype(float)),
        "town": pd.Series(towns[rng.integers(0, 5, n)], dtype=object),
        "code": pd.Series([f"c{i}" for i in rng.integers(0, 25, n)], dtype=object),
        "when": when, "note": pd.Series(notes[rng.integers(0, 5, n)], dtype=object)})


def frame_of(record):
    frame = pd.DataFrame({
        "size": [np.nan if record["size"] is None else record["size"]], "flag": [record["flag"]],
        "town": pd.Series([record["town"]], dtype=object), "code": pd.Series([record["code"]], dtype=object),
        "note": pd.Series([record["note"]], dtype=object)})
    stamp = record["when"]
    frame["when"] = pd.Series([np.datetime64("NaT") if stamp is None else np.datetime64(int(stamp), "ns")],
                              dtype="datetime64[ns]")
    return frame


ENCODERS = [Encoder.fit(table(), np.arange(60) % 3, SCHEMA, MULTI, options)[0] for options in OPTIONS]
LEVELS = st.one_of(st.none(), st.sampled_from(["北京", "Lima", "c3", "c24", "never seen", ""]), st.text(max_size=5))
RECORDS = st.fixed_dictionaries({
    "size": st.one_of(st.none(), st.floats()), "flag": st.sampled_from([0.0, 1.0, float("nan")]),
    "town": LEVELS, "code": LEVELS,
    "when": st.one_of(st.none(), st.integers(-8 * 10**18, 8 * 10**18).map(float)),
    "note": st.one_of(st.none(), st.text(max_size=30), st.just("good 很好 value"))})


@given(RECORDS)
@settings(max_examples=300, deadline=None)
def test_a_record_and_its_frame_give_the_same_bits(record):
    for encoder in ENCODERS:
        row, frame = encoder.row(record), encoder.frame(frame_of(record))
        assert row.shape == frame.shape == (1, encoder.width) and row.dtype == frame.dtype == np.float32
        assert row.tobytes() == frame.tobytes() or np.array_equal(row, frame, equal_nan=True)
        assert not np.isinf(row).any()


@pytest.mark.parametrize("options", OPTIONS)
def test_json_round_trip_is_exact_and_strict(options):
    X = table()
    encoder, _ = Encoder.fit(X, np.arange(60) % 3, SCHEMA, MULTI, options)
    again = Encoder.from_json(encoder.to_json())
    json.loads(encoder.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert np.array_equal(encoder.frame(X), again.frame(X), equal_nan=True)
    assert again.names == encoder.names and len(set(again.names)) == again.width
    assert set(again.sources) == set(KINDS)


def test_matrix_equals_frame_without_target_encoding():
    X = table()
    encoder, matrix = Encoder.fit(X, np.arange(60) % 2, SCHEMA, BINARY, OPTIONS[1])
    assert np.array_equal(matrix, encoder.frame(X))


def test_target_encoding_does_not_leak_into_its_own_row():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 80, 400)
    X = pd.DataFrame({"town": pd.Series([f"t{i}" for i in level], dtype=object)})
    y = (rng.random(400) < rng.random(80)[level]).astype(int)
    schema = Schema(columns=(Column(name="town", kind="categorical"),))
    encoder, matrix = Encoder.fit(X, y, schema, BINARY, {"categorical": "target"})
    own = np.corrcoef(encoder.frame(X)[:, 0], y)[0, 1]
    fair = np.corrcoef(matrix[:, 0], y)[0, 1]
    assert 0.15 < fair < own - 0.15


NOTES = Schema(columns=(Column(name="note", kind="text"),))


def notes(n, tell, seed=0):
    """Texts of eight of 300 words; where they tell, a pair of words gives the label that each alone does not."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    drawn = [" ".join(f"w{k}" for k in rng.integers(0, 300, 8)) for _ in range(n)]
    said = [f"{text} {'not good' if label else 'good not'}" if tell else text
            for text, label in zip(drawn, y, strict=True)]
    return pd.DataFrame({"note": pd.Series(said, dtype=object)}), y


def test_what_a_text_says_of_the_target_is_a_feature_that_does_not_leak():
    X, y = notes(600, tell=True)
    encoder, matrix = Encoder.fit(X[:400], y[:400], NOTES, BINARY, {"tokens": 0})
    at = encoder.names.index("note (score)")
    new = encoder.frame(X[400:])[:, at]
    assert np.corrcoef(new, y[400:])[0, 1] > 0.5 and np.corrcoef(matrix[:, at], y[:400])[0, 1] > 0.5
    X, y = notes(400, tell=False)
    encoder, matrix = Encoder.fit(X, y, NOTES, BINARY, {"tokens": 0})
    assert np.corrcoef(encoder.frame(X)[:, at], y)[0, 1] > 0.7 and abs(np.corrcoef(matrix[:, at], y)[0, 1]) < 0.2


def test_text_scores_are_those_of_a_ridge_regression():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    X, _ = notes(200, tell=True)
    y = X["note"].str.len().to_numpy(float) + np.random.default_rng(1).normal(size=200)
    encoder, _ = Encoder.fit(X, y, NOTES, REGRESSION, {"tokens": 0})
    theirs = TfidfVectorizer(analyzer=encode_apply.terms, binary=True, min_df=2)
    weights = theirs.fit_transform([text for text in X["note"]])
    expected = Ridge(alpha=1.0).fit(weights, (y - y.mean()) / y.std()).predict(weights)
    found = encoder.frame(X)[:, encoder.names.index("note (score)")]
    assert np.abs(found - expected).max() < 0.05


def test_text_scores_learn_from_some_of_many(monkeypatch):
    from rightfit.data import _encode_texts

    X, y = notes(600, tell=True)
    monkeypatch.setattr(_encode_texts, "ROWS", 300)
    encoder, matrix = Encoder.fit(X, y, NOTES, BINARY, {"tokens": 0, "scale": "standard"})
    at = encoder.names.index("note (score)")
    assert np.corrcoef(matrix[:, at], y)[0, 1] > 0.5 and abs(matrix[:, at].std() - 1) < 1e-3
    assert np.isclose(matrix[:, at], encoder.frame(X)[:, at]).mean() == 0.5


def test_text_scores_for_classes_chinese_missing_and_few():
    says = ["很好 很好吃", "太差了 不好", "一般 还行"]
    code = np.arange(90) % 3
    X = pd.DataFrame({"note": pd.Series([None if i % 10 == 0 else f"{says[k]} {i % 7}" for i, k in enumerate(code)],
                                        dtype=object)})
    encoder, _ = Encoder.fit(X, code, NOTES, MULTI, {"tokens": 0})
    columns = [encoder.names.index(f"note (is {c})") for c in "abc"]
    assert (encoder.frame(X[1:10])[:, columns].argmax(axis=1) == code[1:10]).all()
    assert np.isfinite(encoder.row({"note": None})).all() and np.isfinite(encoder.row({})).all()
    few, _ = Encoder.fit(X[:12], code[:12], NOTES, MULTI, {})
    off, _ = Encoder.fit(X, code, NOTES, MULTI, {"text_scores": False})
    assert not any("(is" in name for name in (*few.names, *off.names))


def test_levels_of_one_row_are_not_believed():
    y = np.random.default_rng(0).normal(size=300)
    assert np.abs(shrunk_means(np.arange(300), y[:, None], 300) - y.mean()).max() < 1e-9


def test_shrunk_means_reach_the_means_of_well_known_levels():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 6, 3000)
    y = rng.normal(size=3000) + codes
    plain = np.array([y[codes == c].mean() for c in range(6)])
    got = shrunk_means(codes, y[:, None], 7)[:, 0]
    np.testing.assert_allclose(got[:6], plain, atol=0.02)
    assert got[6] == y.mean() and (np.abs(got[:6] - y.mean()) <= np.abs(plain - y.mean())).all()


def test_shrunk_means_predict_better_than_those_of_scikit_learn_on_rare_levels():
    from sklearn.preprocessing import TargetEncoder

    rng = np.random.default_rng(2)
    truth = rng.normal(size=200)
    codes = np.concatenate([np.arange(200), rng.integers(0, 200, 200)])
    y = truth[codes] + 2.0 * rng.normal(size=400)
    theirs = TargetEncoder(target_type="continuous", smooth="auto").fit(codes[:, None], y)
    ours = shrunk_means(codes, y[:, None], 200)[:, 0]
    assert np.mean((ours - truth) ** 2) < 0.8 * np.mean((theirs.encodings_[0] - truth) ** 2)


@pytest.mark.parametrize(("task", "y", "width"), [
    (BINARY, np.arange(60) % 2, 1), (MULTI, np.arange(60) % 3, 3), (REGRESSION, np.arange(60.0), 1),
    (REGRESSION, np.ones((60, 2)), 2), (MULTI, None, 1)])
def test_target_encoding_has_one_column_per_class_or_output(task, y, width):
    encoder, matrix = Encoder.fit(table()[["code"]], y, SCHEMA, task, {"categorical": "target"})
    assert encoder.width == width and matrix.shape == (60, width) and np.isfinite(matrix).all()


def test_rare_categories_and_unseen_ones_share_a_column():
    encoder, _ = Encoder.fit(table()[["code"]], None, SCHEMA, BINARY, {"categorical": "onehot", "max_categories": 4})
    assert encoder.names[-1] == "code = (other)" and encoder.width == 4
    assert encoder.row({"code": "never"})[0].tolist() == [0, 0, 0, 1]
    assert encoder.row({"code": None})[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("categorical", ["ordinal", "target"])
def test_scaled_encoders_scale_every_kind(categorical):
    rng = np.random.default_rng(0)
    X = table(400)
    options = {"categorical": categorical, "scale": "standard", "impute": "median", "tokens": 0}
    _, matrix = Encoder.fit(X, rng.normal(size=400) * 1e6 + 1e7, SCHEMA, REGRESSION, options)
    assert np.abs(matrix).max() < 25 and np.abs(matrix.mean(axis=0)).max() < 1


def test_codes_are_marked_as_categorical():
    encoder, _ = Encoder.fit(table(), None, SCHEMA, BINARY, {"categorical": "code"})
    assert [encoder.names[i] for i in encoder.categorical] == ["town", "code"]
    assert encoder.row({"town": "never"})[0, encoder.categorical[0]] == -1


def test_calendar():
    stamp = pd.Timestamp("2024-02-29 13:45:00")
    X = pd.DataFrame({"when": pd.Series([stamp], dtype="datetime64[ns]")})
    encoder, matrix = Encoder.fit(X, None, SCHEMA, BINARY, {})
    assert matrix[0].tolist() == [2024, 2, 29, 3, 13, 0]
    assert encoder.row({"when": float((stamp + pd.Timedelta(days=2)).value)})[0].tolist() == [2024, 3, 2, 5, 13, 2]


def test_empty_columns_missing_columns_and_no_columns():
    X = table().assign(size=np.nan, town=None, note=None, when=pd.NaT)
    X["when"] = X["when"].astype("datetime64[ns]")
    encoder, matrix = Encoder.fit(X, np.arange(60) % 2, SCHEMA, BINARY, {"impute": "median", "scale": "standard"})
    assert np.isfinite(matrix).all() and np.isfinite(encoder.row({})).all()
    assert np.array_equal(encoder.row({}), encoder.frame(pd.DataFrame(index=[0])))
    nothing, matrix = Encoder.fit(X[[]], None, SCHEMA, BINARY, {})
    assert nothing.width == 1 and matrix.shape == (60, 1) and nothing.row({}).shape == (1, 1)


def test_input_is_not_changed():
    X = table()
    before = X.copy(deep=True)
    encoder, _ = Encoder.fit(X, np.arange(60) % 2, SCHEMA, BINARY, OPTIONS[1])
    encoder.frame(X)
    pd.testing.assert_frame_equal(X, before)


def test_wrong_options_kinds_and_files_are_refused():
    with pytest.raises(UsageError, match="got option='scal'"):
        Encoder.fit(table(), None, SCHEMA, BINARY, {"scal": "none"})
    with pytest.raises(UsageError, match="scale='much'"):
        Encoder.fit(table(), None, SCHEMA, BINARY, {"scale": "much"})
    with pytest.raises(UsageError, match="kind='picture'"):
        Encoder.fit(table(), None, Schema(columns=(Column(name="size", kind="picture"),)), BINARY, {})
    for text in ("{}", "[]", "nonsense", '{"version": 99, "blocks": []}', '{"version": 1, "blocks": [{}]}'):
        with pytest.raises(PackageError):
            Encoder.from_json(text)


def test_serving_needs_neither_pandas_nor_scikit_learn(tmp_path):
    encoder, _ = Encoder.fit(table(), np.arange(60) % 3, SCHEMA, MULTI, {})
    (tmp_path / "encoder.json").write_text(encoder.to_json(), encoding="utf-8")
    code = ("import sys, pathlib; from rightfit.data.encode import Encoder;"
            "e = Encoder.from_json(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8')); e.row({'size': 1.0});"
            "assert not {'pandas', 'sklearn', 'scipy'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "encoder.json")], check=True)


def test_a_row_of_thirty_columns_takes_microseconds():
    schema = Schema(columns=tuple(Column(name=f"x{i}", kind="numeric" if i % 3 else "categorical") for i in range(30)))
    X = pd.DataFrame({c.name: pd.Series([1.0, 2.0, 3.0] if c.kind == "numeric" else ["a", "b", "c"],
                                        dtype=float if c.kind == "numeric" else object) for c in schema.columns})
    encoder, _ = Encoder.fit(X, None, schema, BINARY, {"categorical": "ordinal"})
    record = {c.name: 1.0 if c.kind == "numeric" else "b" for c in schema.columns}
    best = min(timeit.repeat(lambda: encoder.row(record), number=200, repeat=7)) / 200
    assert best < 60e-6  # about 8 µs on an idle core; the margin is for shared machines


def test_tokens_of_scripts_without_spaces():
    assert encode_apply.tokens("质量很好") == ["质", "量", "很", "好", "质量", "量很", "很好"]
