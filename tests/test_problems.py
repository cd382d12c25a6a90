"""Further problems on tables, from the need to what a package answers: ordinal, quantile, count, ranking, monotone."""

import json

import numpy as np
import pandas as pd
import pytest

import rightfit as rf
from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.delivery.predict import predict
from rightfit.errors import RightfitError, UsageError
from rightfit.metrics import find, score
from rightfit.records import Need, Task
from rightfit.task.understand import understand


@pytest.fixture(autouse=True)
def here(monkeypatch, light):
    light(monkeypatch)


def frame(n=240, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    signal = 1.5 * x[:, 0] - x[:, 1]
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "amount": 10 + signal + 0.5 * rng.normal(size=n),
                         "claims": rng.poisson(np.exp(0.5 * signal)), "query": [f"q{i // 8}" for i in range(n)],
                         "stars": np.digitize(signal, [-2, -0.5, 0.5, 2]),
                         "grade": np.array(["poor", "fair", "good"])[np.digitize(signal, [-1, 1])]})


def run(tmp_path, target, **more):
    table = frame()[["a", "b", "c", target, *([more["group"]] if "group" in more else [])]]
    need = Need(target=target, families=("linear",), proposals=0, folds=2, budget="20s", **more)
    return rf.choose(table, need, out=tmp_path / "run"), frame(seed=1)


def test_quantiles_cover_what_they_say(tmp_path):
    choice, new = run(tmp_path, "amount", quantiles=(0.9, 0.1), coverage=0.8)
    assert choice.decision.task.metric == "pinball" and choice.decision.task.quantiles == (0.1, 0.9)
    found = choice.model.predict(new)
    assert (found[:, 0] <= found[:, 1]).all()
    assert 0.6 < ((found[:, 0] <= new["amount"]) & (new["amount"] <= found[:, 1])).mean() < 0.9
    ends = choice.model.predict_interval(new)
    assert ends.shape == (240, 2) and 0.7 < ((ends[:, 0] <= new["amount"]) & (new["amount"] <= ends[:, 1])).mean() < 0.9
    one = choice.model.predict_one(dict(new.iloc[0]))
    assert np.allclose(one["prediction"], found[0]) and np.allclose(one["interval"], ends[0])
    new.to_csv(tmp_path / "new.csv", index=False)
    predict(choice.package, tmp_path / "new.csv", tmp_path / "out.csv", intervals=True)
    assert list(pd.read_csv(tmp_path / "out.csv")) == ["prediction_0.1", "prediction_0.9", "low", "high"]


def test_ordered_classes_keep_their_order(tmp_path):
    choice, new = run(tmp_path, "grade", order=("poor", "fair", "good"), coverage=0.9)
    task = choice.decision.task
    assert task.problem == "ordinal" and task.classes == ("poor", "fair", "good") and task.metric == "kappa_quadratic"
    said = choice.model.predict(new)
    assert (said == new["grade"]).mean() > 0.75 and not ((said == "poor") & (new["grade"] == "good")).any()
    inside = [truth in one for truth, one in zip(new["grade"], choice.model.predict_set(new), strict=True)]
    assert 0.83 < np.mean(inside) < 0.97
    assert set(choice.model.predict_one(dict(new.iloc[0]))) == {"prediction", "probabilities", "set"}
    told = json.loads((tmp_path / "run" / "decision.json").read_text(encoding="utf-8"))["extras"]["conformal"]
    assert told["kind"] == "set" and told["low"] <= told["coverage"] <= told["high"]
    assert "Sets of classes made for 90" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_counts_are_never_negative(tmp_path):
    choice, new = run(tmp_path, "claims", problem="count", coverage=0.9)
    assert choice.decision.task.metric == "poisson_deviance" and choice.decision.chosen["family"] == "linear"
    found, ends = choice.model.predict(new), choice.model.predict_interval(new)
    assert (found > 0).all() and (ends >= 0).all()
    assert np.corrcoef(found, np.exp(0.5 * (1.5 * new["a"] - new["b"])))[0, 1] > 0.95


def test_rows_of_a_query_are_ranked(tmp_path):
    choice, new = run(tmp_path, "stars", problem="ranking", group="query")
    assert choice.decision.task.metric == "ndcg_10"
    y = np.column_stack([new["stars"], np.arange(240) // 8]).astype(float)
    assert score("ndcg_10", y, choice.model.predict(new), choice.decision.task) > 0.95
    with pytest.raises(UsageError, match=r"--coverage 0\.9"):
        choice.model.predict_interval(new)


def test_several_outputs_have_intervals_each(tmp_path):
    table = frame()[["a", "b", "amount"]].assign(other=lambda t: 3 * t["a"])
    need = Need(target=("amount", "other"), families=("linear",), proposals=0, folds=2, budget="20s", coverage=0.9)
    choice = rf.choose(table, need, out=tmp_path / "run")
    assert choice.model.predict_interval(table).shape == (240, 2, 2)
    table.to_csv(tmp_path / "new.csv", index=False)
    predict(choice.package, tmp_path / "new.csv", tmp_path / "out.csv", intervals=True)
    assert list(pd.read_csv(tmp_path / "out.csv"))[2:] == ["low_amount", "high_amount", "low_other", "high_other"]


def understood(target, table=None, **more):
    table = frame() if table is None else table
    need = Need(target=target, **more)
    schema, _ = infer(table, need)
    return understand(table, schema, need, "tabular")


def test_what_implies_a_problem():
    assert understood("amount", metric="pinball_0.9").quantiles == (0.9,)
    assert understood("amount", problem="quantile").quantiles == (0.1, 0.5, 0.9)
    assert understood("stars", problem="ordinal").classes == ("0", "1", "2", "3", "4")
    assert understood("claims", problem="count", metric="tweedie").metric == "tweedie_deviance"
    assert understood("stars", problem="ranking", group="query", metric="ndcg@5").metric == "ndcg_5"
    assert any("--problem ordinal" in q for q in understood("stars").questions)


@pytest.mark.parametrize(("target", "more", "said"), [
    ("amount", {"quantiles": (0.1, 1.0)}, "quantiles must be different shares"),
    ("amount", {"quantiles": (0.1,), "problem": "regression"}, "leave one out"),
    ("amount", {"quantiles": (0.1,), "metric": "rmse"}, "metric must fit a quantile problem"),
    ("grade", {"problem": "ordinal"}, "--order fair,good,poor"),
    ("grade", {"order": ("poor", "good")}, "every class once"),
    ("stars", {"problem": "ranking"}, "--group COLUMN"),
    ("amount", {"problem": "ranking", "group": "query"}, "whole number from 0 to 30"),
    ("grade", {"problem": "count"}, "must hold numbers"),
    ("grade", {"monotone": {"a": 1}}, "one direction"),
    ("amount", {"monotone": {"z": 1}}, "monotone column"),
    ("amount", {"monotone": {"query": 1}}, "must hold numbers"),
    ("amount", {"monotone": {"a": 2}}, "1 \\(rising\\) or -1"),
    ("amount", {"coverage": 1.0}, "coverage must be a share"),
    ("stars", {"problem": "ranking", "group": "query", "coverage": 0.9}, "coverage needs"),
])
def test_needs_that_do_not_fit(target, more, said):
    with pytest.raises(RightfitError, match=said):
        understood(target, **more)


def test_negative_counts_are_refused():
    with pytest.raises(UsageError, match="never be negative; got amount="):
        understood("amount", frame().assign(amount=lambda t: t["amount"] - 20), problem="count")


def test_monotone_families_only(tmp_path):
    table = frame()[["a", "b", "amount"]]
    need = Need(target="amount", monotone={"a": -1}, families=("linear", "lightgbm"), proposals=0, folds=2,
                budget="30s")
    choice = rf.choose(table, need, out=tmp_path / "run")
    assert any("monotone in a" in one["reason"] for one in choice.decision.rejected if one["name"] == "linear")
    steps = pd.DataFrame({"a": np.linspace(-3, 3, 50), "b": 0.3})
    assert (np.diff(choice.model.predict(steps)) <= 1e-9).all()


def test_a_query_is_whole_and_a_row_without_one_alone():
    table = frame(24).assign(query=lambda t: t["query"].where(t.index > 0))
    need = Need(target="stars", problem="ranking", group="query")
    schema, _ = infer(table, need)
    data = assemble(table, schema, understand(table, schema, need, "tabular"))
    assert data.y.shape == (24, 2) and len(np.unique(data.y[:, 1])) == 4


def test_metrics_agree_with_those_of_the_field():
    from sklearn.metrics import cohen_kappa_score, mean_pinball_loss, mean_tweedie_deviance, ndcg_score

    rng = np.random.default_rng(0)
    query, gain = np.repeat(np.arange(20), 9), rng.integers(0, 4, 180)
    given, mixed = np.round(rng.normal(size=180), 1), rng.permutation(180)
    y = np.column_stack([gain, query]).astype(float)[mixed]

    def of(name, y, pred, problem, **more):
        return score(name, y, pred, Task(modality="tabular", problem=problem, target=("y",), metric=name, **more))

    for at in (None, 5):
        each = [ndcg_score((2.0**gain[query == q] - 1)[None], given[query == q][None], k=at) for q in range(20)]
        assert of(f"ndcg_{at}" if at else "ndcg", y, given[mixed], "ranking") == pytest.approx(np.mean(each))
    counts, means = rng.poisson(2, 180).astype(float), rng.random(180) + 0.5
    for name, power in (("poisson", 1), ("tweedie", 1.5), ("tweedie_deviance_1.9", 1.9)):
        assert of(name, counts, means, "count") == pytest.approx(mean_tweedie_deviance(counts, means, power=power))
    wide = np.sort(rng.normal(size=(180, 2)), axis=1)
    each = [mean_pinball_loss(counts, wide[:, i], alpha=a) for i, a in enumerate((0.1, 0.9))]
    assert of("pinball", counts, wide, "quantile", quantiles=(0.1, 0.9)) == pytest.approx(np.mean(each))
    codes, said, classes = rng.integers(0, 4, 180), rng.integers(0, 4, 180), tuple("abcd")
    for name, weights in (("qwk", "quadratic"), ("lwk", "linear")):
        assert of(name, codes, np.eye(4)[said], "ordinal", classes=classes) == pytest.approx(
            cohen_kappa_score(codes, said, weights=weights))


def test_ranking_metrics_by_hand():
    task = Task(modality="tabular", problem="ranking", target=("y",), metric="map")
    y = np.array([[1, 0], [0, 0], [1, 0], [0, 1], [0, 1], [0, 2], [1, 2]], float)
    rising = np.array([3.0, 2.0, 1.0, 1.0, 2.0, 2.0, 1.0])
    assert score("map", y, rising, task) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert score("mrr", y, rising, task) == pytest.approx((1 + 1 / 2) / 2)
    weights = np.array([[1.0] * 3 + [5.0] * 2 + [0.0] * 2])
    assert find("mrr").many(y, rising, task)(weights)[0] == pytest.approx(1.0)
