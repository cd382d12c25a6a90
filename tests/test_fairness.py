"""Rates by a protected column: right against a plain count, reported with a run, and held as a limit."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from rightfit.choose import choose
from rightfit.errors import DataError, UsageError
from rightfit.metrics import fairness
from rightfit.records import Need, Task

BINARY = Task(modality="tabular", problem="binary", target=("y",), metric="f1", classes=("no", "yes"))
VALUES = Task(modality="tabular", problem="regression", target=("y",), metric="rmse")


def loans(n=600, seed=0):
    """Two groups, of which one earns more; approval follows income, so selection differs by group."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m"], n)
    income = rng.normal(3000 + 900 * (sex == "m"), 600, n)
    granted = np.where(income + rng.normal(0, 300, n) > 3500, "yes", "no")
    return pd.DataFrame({"sex": sex, "income": income.round(1), "years": rng.integers(0, 20, n), "granted": granted})


@pytest.mark.parametrize("name", ["selection_rate", "recall", "fpr", "accuracy", "equalized_odds"])
def test_gaps_are_those_of_a_plain_count(name):
    rng = np.random.default_rng(1)
    y, said, group = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.choice(list("abc"), 300)
    counted = {"selection_rate": lambda t, p: p.mean(), "recall": lambda t, p: p[t == 1].mean(),
               "fpr": lambda t, p: p[t == 0].mean(), "accuracy": lambda t, p: (t == p).mean()}

    def difference(of):
        rates = [of(y[group == g], said[group == g]) for g in "abc"]
        return max(rates) - min(rates)

    odds = max(difference(counted["recall"]), difference(counted["fpr"]))
    expected = odds if name == "equalized_odds" else difference(counted[name])
    assert fairness.gap(name, y, said, group, BINARY) == pytest.approx(expected)
    told = {one["name"]: one for one in fairness.study(y, said, group, BINARY)["gaps"]}[name]
    assert told["value"] == pytest.approx(expected)
    assert told["low"] <= told["value"] <= told["high"]


def test_a_handful_of_rows_makes_no_gap():
    y, said = np.tile([0, 1], 50), np.r_[np.tile([0, 1], 48), 1, 1, 1, 1]
    group = np.array(["a"] * 48 + ["b"] * 48 + ["c"] * 4)
    assert fairness.gap("accuracy", y, said, group, BINARY) == 0
    assert np.isnan(fairness.gap("accuracy", y[:52], said[:52], np.r_[group[:48], group[-4:]], BINARY))


def test_intervals_of_a_gap_cover_the_truth():
    rng, inside = np.random.default_rng(2), 0
    for seed in range(100):
        group = rng.choice(["a", "b"], 400)
        error = rng.normal(0.5 * (group == "b"), 1.0)
        gap = next(g for g in fairness.study(np.zeros(400), error, group, VALUES, seed=seed, n=300)["gaps"]
                   if g["name"] == "mean_error")
        inside += gap["low"] <= 0.5 <= gap["high"]
    assert 89 <= inside <= 100


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    need = Need(target="granted", protected="sex", families=("linear",), budget="15s", proposals=0, workers=1)
    return choose(loans(), need, out=tmp_path_factory.mktemp("fair") / "run")


def test_a_run_reports_rates_and_gaps(decided):
    told = json.loads((decided.folder / "decision.json").read_text())["extras"]["fairness"]
    assert told["column"] == "sex" and [g["group"] for g in told["groups"]] == ["f", "m"]
    assert sum(g["rows"] for g in told["groups"]) == told["rows"] >= 120
    gap = next(g for g in told["gaps"] if g["name"] == "selection_rate")
    assert gap["between"] == ["m", "f"] and gap["value"] > 0.3 and gap["low"] > 0.2
    page = decided.report.read_text()
    assert 'id="fairness"' in page and "selection" in page


def test_a_gap_that_nothing_meets_is_infeasible(tmp_path):
    need = Need(target="granted", protected="sex", max_gap={"selection_rate": 0.05}, families=("linear",),
                budget="15s", proposals=0, workers=1)
    choice = choose(loans(), need, out=tmp_path / "run")
    assert choice.status == "infeasible" and not choice.package.exists()
    assert [(limit.name, limit.met) for limit in choice.decision.limits] == [("selection_rate_gap", False)]
    assert choice.decision.limits[0].value > 0.3


def test_wrong_needs_are_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="add --protected"):
        Need(target="granted", max_gap={"recall": 0.1})
    with pytest.raises(UsageError, match="max_gap='mae', choose one of"):
        choose(loans(60), Need(target="granted", protected="sex", max_gap={"mae": 0.1}), out=tmp_path / "a")
    with pytest.raises(DataError, match="protected='income'"):
        choose(loans(60), Need(target="granted", protected="income"), out=tmp_path / "b")


def test_the_command_knows_these_options(tmp_path):
    from typer.testing import CliRunner

    from rightfit.cli import app

    loans(80).to_csv(tmp_path / "loans.csv", index=False)
    asked = ["choose", str(tmp_path / "loans.csv"), "--target", "granted", "--out", str(tmp_path / "run")]
    for flags, named in ((["--row-weight", "weigt"], "weigt"), (["--protected", "sx"], "sx"),
                         (["--protected", "sex", "--max-gap", "fpr=-1"], "fpr=-1")):
        done = CliRunner().invoke(app, [*asked, *flags])
        assert done.exit_code != 0 and named in str(done.exception) + done.output
        assert not (tmp_path / "run").exists()
