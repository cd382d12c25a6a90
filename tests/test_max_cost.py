"""Money as a hard limit: from the flag or the need file to the decision, and what is said when it cannot be met."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from rightfit import cli, decide, need_file
from rightfit.decide import Contender
from rightfit.errors import UnknownName, UsageError
from rightfit.records import Limit, Need, Serving, Task, asdict, revive
from rightfit.report.wording import Words, figure
from rightfit.resources import afford, tables

FAST = {"latency_p50_ms": 0.1, "latency_p95_ms": 0.2, "memory_mib": 200.0}
SLOW = {"latency_p50_ms": 90.0, "latency_p95_ms": 100.0, "memory_mib": 200.0}
COST = "cost_usd_per_month"


@pytest.fixture(autouse=True)
def bundled(tmp_path, monkeypatch):
    monkeypatch.delenv("RIGHTFIT_PRICES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def call(arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rightfit", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).round(4)
    frame["bought"] = np.where(x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=160) > 0, "yes", "no")
    frame.to_csv(tmp_path / "shop.csv", index=False)
    return tmp_path / "shop.csv"


def test_a_need_holds_the_limit_and_the_load():
    need = Need(max_cost="50USD/month", traffic="20/s", peak="100/s", region="us-east-1")
    assert need.limits() == (Limit(name=COST, limit=50.0, sense="at_most"),)
    assert need.serving() == Serving(traffic_per_s=20.0, peak_per_s=100.0, region="us-east-1")
    assert Need(max_cost="0.01 cny/1k", traffic=20).limits()[0] == Limit(
        name="cost_cny_per_month", limit=pytest.approx(525.6), sense="at_most")
    assert Need(max_cost="600EUR/year", traffic=20).limits()[0].limit == pytest.approx(50)
    assert Need(traffic=20).limits() == () and Need().serving() is None


@pytest.mark.parametrize("wrong", [
    {"max_cost": "50USD/month"}, {"max_cost": "0.01USD/1k"}, {"max_cost": "50", "traffic": 20},
    {"max_cost": "50USD", "traffic": 20}, {"max_cost": "0USD/month", "traffic": 20},
    {"max_cost": "-5USD/month", "traffic": 20}, {"max_cost": "50USD/week", "traffic": 20}, {"traffic": 0},
    {"traffic": "-5/s"}, {"traffic": "20/s", "peak": "10/s"}, {"peak": "10/s"}, {"region": "us-east-1"}])
def test_needs_that_cannot_be(wrong):
    with pytest.raises(UsageError):
        Need(**wrong)


def test_the_serving_of_a_task_survives_json():
    task = Task(modality="m", problem="binary", target=("y",), metric="f1",
                serving=Serving(traffic_per_s=20.0, region="us-east-1"))
    assert revive(Task, json.loads(json.dumps(asdict(task)))) == task
    assert revive(Task, asdict(Task(modality="m", problem="binary", target=("y",), metric="f1"))).serving is None


def test_the_figure_is_that_of_the_cheapest_machine_on_demand(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    serving = Serving(traffic_per_s=20.0, provider="gcp", region="us-central1")
    limits = Need(max_cost="50USD/month", traffic=20).limits()
    found = afford.priced(serving, limits, FAST)
    machine = min((p for p in tables.select(tables.prices(), provider="gcp", region="us-central1")
                   if not p.gpu and p.architecture == "x86"), key=lambda p: p.on_demand_per_hour)
    assert found[COST] == pytest.approx(machine.on_demand_per_hour * 730) and found["memory_mib"] == 200.0
    assert afford.priced(serving, limits, {**found, **SLOW})[COST] > found[COST]
    assert afford.priced(serving, limits, {"size_mib": 1.0}) == {"size_mib": 1.0}
    assert afford.priced(None, (), FAST) == FAST
    china = afford.priced(serving, Need(max_cost="50CNY/month", traffic=20).limits(), FAST)
    assert china["cost_cny_per_month"] == pytest.approx(found[COST] / tables.rates()["CNY"].usd)


def test_a_limit_on_latency_leaves_room_for_waiting(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    serving = Serving(traffic_per_s=200.0, provider="aws", region="us-east-1")
    free, tight = (Need(max_cost="1USD/month", traffic=200, max_latency=latency).limits()
                   for latency in (None, "110ms"))
    assert afford.priced(serving, tight, SLOW)[COST] > afford.priced(serving, free, SLOW)[COST]


def test_an_infeasible_cost_names_what_binds_and_what_it_would_take():
    limits = Need(max_cost="50USD/month", traffic="20/s").limits()
    serving = Serving(traffic_per_s=20.0)
    pair = [Contender(key=key, family=key, utility=utility, gaps={}, measured=afford.priced(serving, limits, measured))
            for key, utility, measured in (("cheap", 0.6, FAST), ("dear", 0.9, SLOW))]
    assert [c.key for c in decide.order(pair, limits)] == ["cheap"]
    assert "would be chosen" in decide.changes(pair, limits, pair[0], "f1", True)[0]
    strict = (Limit(name=COST, limit=1.0, sense="at_most"),)
    near = decide.nearest(pair, strict)
    assert near["name"] == "cheap" and near["binding"] == [COST]
    assert near["would_take"].endswith("USD/month instead of 1.00 USD/month")
    unknown = Contender(key="new", family="new", utility=1.0, gaps={}, measured={})
    assert decide.possible(limits, unknown) and not decide.feasible(limits, unknown)


def test_reports_name_the_limit_in_both_languages():
    assert figure("cost_cny_per_month", 1234.5) == "1,234.50 CNY"
    names = {Words(language=language).name("cost_cny_per_month") for language in ("en", "zh_CN")}
    assert len(names) == 2 and "cost_cny_per_month" not in names


def test_a_need_file_is_read_and_flags_win(tmp_path, table, capsys, monkeypatch):
    """The one run from end to end: the file sets the target and the limit, a flag overrules the budget."""
    path = tmp_path / "need.toml"
    path.write_text('target = "bought"\nmax-cost = "500CNY/month"\ntraffic = "20/s"\nregion = "us-central1"\n'
                    'budget = "10m"\nfamilies = ["linear"]\nmetric = "roc_auc"\nproposals = 0\nfolds = 2\n')
    out = tmp_path / "run"
    code, text, err = call(["choose", table, "--need", path, "--budget", "4s", "--workers", 1, "--out", out, "--json"],
                           capsys, monkeypatch)
    assert code == 0, err
    decision = json.loads(text)
    assert decision["task"]["target"] == "bought" and decision["spent"]["budget_s"] == 4.0
    (limit,) = decision["limits"]
    assert limit["name"] == "cost_cny_per_month" and limit["met"] and 0 < limit["value"] <= limit["limit"] == 500
    assert decision["measured"]["cost_cny_per_month"] == limit["value"]
    kept = decision["extras"]["cost"]
    assert kept["asof"] == kept["plan"]["asof"] == "2026-08-03" and kept["label"] == "forecast"
    assert {one["name"] for one in kept["assumptions"]} == set(tables.assumptions())
    assert [r["currency"] for r in kept["rates"]] == ["CNY", "USD"]
    assert any("as of 2026-08-03" in line for line in decision["why"])
    assert set(decision["extras"]["rivals"]) <= {row["name"] for row in decision["trials"]}
    assert "500.00 CNY" in (out / "report.html").read_text()
    code, text, _ = call(["cost", out, "--traffic", "20/s", "--worth", "FN=5", "--json"], capsys, monkeypatch)
    assert code == 0 and json.loads(text)["models"][0]["name"] in decision["extras"]["rivals"]


@pytest.mark.parametrize(("wrong", "said"), [
    (["--max-cost", "50USX/month", "--traffic", "20/s"], "did you mean 'USD'"),
    (["--max-cost", "50USD/month", "--traffic", "20/s", "--region", "us-esat-1"], "did you mean 'us-east-1'"),
    (["--max-cost", "50USD/month", "--traffic", "20/s", "--provider", "awz"], "did you mean 'aws'"),
    (["--max-cost", "50USD/month"], "add --traffic"), (["--traffic", "0/s"], "above zero"),
    (["--traffic", "20/s", "--peak", "1/s"], "peak must not be below"),
    (["--need", "nowhere.toml"], "must be readable")])
def test_bad_input_gets_one_sentence_and_leaves_nothing(table, tmp_path, wrong, said, capsys, monkeypatch):
    out = tmp_path / "run"
    code, text, err = call(["choose", table, "--target", "bought", "--out", out, *wrong], capsys, monkeypatch)
    lines = [line for line in err.splitlines() if line.startswith("rightfit: ")]
    assert (code, text) == (2, "") and len(lines) == 1 and said in lines[0] and not out.exists()


@pytest.mark.parametrize("content", ["target = ", 'taget = "y"', "max_latency = true", 'seed = "x"', 'drop = "id"',
                                     "at_least = 3", '[at_least]\nrecall = "high"', "seed = 1.5", "options = {}"])
def test_need_files_that_cannot_be(tmp_path, content):
    path = tmp_path / "need.toml"
    path.write_text(content)
    with pytest.raises(UsageError):
        need_file.read(path)


def test_a_need_file_offers_the_closest_key(tmp_path):
    path = tmp_path / "need.toml"
    path.write_text('max-latncy = "5ms"')
    with pytest.raises(UnknownName, match="did you mean 'max_latency'"):
        need_file.read(path)
    path.write_text('max-latency = "5ms"\nfamily = ["ridge"]\ntarget = 0\n[at_least]\nrecall = 0.9\n'
                    '[kinds]\nzip = "text"')
    assert need_file.read(path) == {"max_latency": "5ms", "families": ("ridge",), "target": 0,
                                    "at_least": {"recall": 0.9}, "kinds": {"zip": "text"}}
