"""The arithmetic of costs: against cases reckoned by hand, and by properties that must hold for any figures."""

import json
import math
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import cli
from rightfit.delivery import worth
from rightfit.errors import UsageError
from rightfit.report.cost_page import render
from rightfit.resources import afford, cost, study, tables
from rightfit.resources.cost import Service

PLAIN = {"utilisation_max": 0.5, "overhead_ms": 0, "core_ratio": 1, "thread_share": 0.5, "system_mib": 1024,
         "instances_min": 1, "machine_usd": 1200, "machine_years": 2, "machine_cores": 4, "machine_mem_gib": 8,
         "machine_idle_w": 50, "machine_busy_w": 150, "electricity_usd_per_kwh": 0.2, "staff_hours_per_month": 1,
         "staff_usd_per_hour": 40, "vcpu_idle_w": 1, "vcpu_busy_w": 3, "pue_aws": 1.5, "local_gco2e_per_kwh": 500}
ASSUMED = tables.assumptions(PLAIN)
A = afford.values(ASSUMED)
GRID = {("aws", "here"): tables.Carbon(provider="aws", region="here", gco2e_per_kwh=400, asof="2024", source="test",
                                       licence="none")}
RATES = tables.rates({"CNY": 0.14})


def price(vcpu=4.0, hourly=0.1, **changed):
    known = dict(provider="aws", region="here", instance_type=f"m{vcpu:g}", vcpu=vcpu, vcpu_is="thread",
                 architecture="x86", mem_gib=16.0, gpu="", gpu_count=0.0, gpu_mem_gib=0.0, currency="USD",
                 on_demand_per_hour=hourly, spot_per_hour=hourly / 4, asof="2026-08-03", spot_asof="2026-08-01",
                 source="test", licence="none")
    return tables.Price(**{**known, **changed})


def planned(one, of, asked, a=A, spot=False):
    return cost.plan(one, of, asked, a, RATES, GRID, spot)


def test_machines_and_money_by_hand():
    """4 threads are 2 cores; a row takes 10 ms, so a half-busy machine takes 100/s; 250/s need 3 of them."""
    found = planned(price(), Service(mean_ms=10, p95_ms=12, memory_mib=100), cost.load(50, 250))
    assert (found.instances, found.workers, found.machine_per_s) == (3, 2, pytest.approx(100))
    assert found.usd_per_month == pytest.approx(3 * 0.1 * 730)
    assert found.usd_per_1k == pytest.approx(219 / (50 * 730 * 3600 / 1000))
    assert found.utilisation == pytest.approx(250 / 3 * 0.01 / 2)
    # mean use: 50/s x 10 ms over 6 workers = 1/12; 12 vCPU x (1 + 2/12) W x 1.5 x 730 h = 15.33 kWh; x 0.4 kg
    assert found.kgco2e_per_month == pytest.approx(12 * (1 + 2 / 12) * 1.5 * 0.73 * 0.4)


def test_spot_currency_and_date():
    found = planned(price(currency="CNY"), Service(mean_ms=10, p95_ms=12), cost.load(1), spot=True)
    assert found.usd_per_month == pytest.approx(0.025 * 0.14 * 730) and found.asof == "2026-08-01"
    assert planned(price(spot_per_hour=None), Service(mean_ms=10, p95_ms=12), cost.load(1), spot=True) is None


def test_memory_and_gpus_rule_machines_out():
    """16 GiB less 1 GiB hold two workers of 7 GiB, one of 8 GiB, none of 16 GiB."""
    counts = [found.workers if (found := planned(price(vcpu=16), Service(mean_ms=1, p95_ms=1, memory_mib=mib),
                                                 cost.load(1))) else 0 for mib in (100, 7168, 8192, 16384)]
    assert counts == [8, 2, 1, 0]
    assert planned(price(gpu="L4"), Service(mean_ms=1, p95_ms=1), cost.load(1)) is None


def test_one_thread_is_half_a_core_and_half_as_fast():
    found = planned(price(vcpu=1), Service(mean_ms=10, p95_ms=12), cost.load(1))
    assert (found.workers, found.machine_per_s) == (1, pytest.approx(25))
    assert found.latency_p95_ms == pytest.approx(24)
    whole = planned(price(vcpu=1, vcpu_is="core"), Service(mean_ms=10, p95_ms=12), cost.load(1))
    assert whole.machine_per_s == pytest.approx(50)


def test_the_latency_limit_binds_before_the_utilisation():
    """M/M/1, 10 ms: P(W > t) = r exp(-(100 - 100 r) t); at half busy the p95 of waiting is 46 ms."""
    free = cost.capacity(10, 10, 1, None, 0.5, 1.0)
    tight = cost.capacity(10, 10, 1, 30.0, 0.5, 1.0)
    assert free == 50 and 0 < tight < 50
    share = tight / 100
    assert share * math.exp(-(100 - tight) * 0.020) == pytest.approx(0.05, rel=1e-6)
    assert cost.capacity(10, 10, 1, 9.9, 0.5, 1.0) == 0
    # M/D/c waits half as long
    assert cost.wait_p95_ms(50, 10, 1, 0.0) == pytest.approx(cost.wait_p95_ms(50, 10, 1, 1.0) / 2)


@given(st.integers(1, 32), st.floats(0.01, 0.99))
def test_erlang_c_is_the_sum_of_its_definition(servers, busy):
    offered = busy * servers
    top = offered**servers / math.factorial(servers) / (1 - busy)
    below = sum(offered**n / math.factorial(n) for n in range(servers))
    assert cost.waiting(servers, offered) == pytest.approx(top / (top + below), rel=1e-9)


def test_a_bought_machine_by_hand():
    """4 cores of 10 ms take 200/s; 300/s need 2; 80/s keep 10 % of 8 cores busy: 60 W each."""
    found = cost.bought(Service(mean_ms=10, p95_ms=12, memory_mib=100), cost.load(80, 300), A)
    assert found.instances == 2
    assert found.usd_per_month == pytest.approx(2 * 1200 / 24 + 2 * 60 * 0.73 * 0.2 + 40)
    assert found.kgco2e_per_month == pytest.approx(2 * 60 * 0.73 * 0.5)


def test_serverless_by_hand():
    """A million rows of 0.1 s at 256 MiB are 25,000 GiB s."""
    asked = cost.load(1e6 / (730 * 3600))
    given_prices = {**A, "serverless_usd_per_million": 0.2, "serverless_usd_per_gib_s": 1e-5}
    assert cost.serverless(Service(mean_ms=100, p95_ms=120, memory_mib=200), asked, given_prices) == pytest.approx(0.45)
    assert cost.serverless(Service(mean_ms=100, p95_ms=120), asked, A) is None


def test_training_by_hand():
    small, large = price(vcpu=4, hourly=0.1), price(vcpu=16, hourly=0.3)
    found = cost.training_usd(7200, 4, 8192, [small, large], A, RATES)
    assert found[0] is large and found[1] == pytest.approx(0.6)
    assert cost.training_usd(7200, 40, 8192, [small, large], A, RATES) is None


def setting(prices, **changed):
    return study.Setting(prices=tuple(prices), assumed=tables.assumptions({**PLAIN, **changed}), rates=RATES,
                         grid=GRID)


def test_break_even_by_hand():
    """One rented machine (100/s) costs 73, two 146, one's own 90 and a little power: it pays beyond 100/s."""
    at = setting([price()], electricity_usd_per_kwh=0.0,
                 machine_cores=1000)
    of = Service(mean_ms=10, p95_ms=12)
    found = study.break_even(of, cost.load(20), at, afford.values(at.assumed))
    assert found["from_per_s"] == pytest.approx(100, rel=1e-6) and found["stays"]
    assert {"traffic_per_s", "cloud", "own", "serverless"} == set(found["points"][0])
    dear = setting([price()], staff_usd_per_hour=1e9)
    assert study.break_even(of, cost.load(20), dear, afford.values(dear.assumed))["from_per_s"] is None


def test_benefits_by_hand_pick_the_one_that_earns_most():
    """1 row a second is 2,628,000 a month. A: 90 right, 10 wrong; B: 95 and 5, but ten times the machines."""
    at = setting([price()])
    rivals = {"a": {"confusion": [[50, 5], [5, 40]], "latency_p95_ms": 10.0},
              "b": {"confusion": [[52, 3], [2, 43]], "latency_p95_ms": 10_000.0}}
    found = study.benefits(rivals, [[1e-2, -2e-2], [-2e-2, 1e-2]], cost.load(1), at)
    assert [row["name"] for row in found] == ["b", "a"]
    assert found[1]["net_per_month"] == pytest.approx((0.9 - 0.2) / 100 * 2_628_000 - 73)
    assert found[0]["serving_per_month"] == pytest.approx(10 * 73)
    assert found[1]["low"] < found[1]["net_per_month"] < found[1]["high"]
    worthless = study.benefits(rivals, [[1e-3, -2e-3], [-2e-3, 1e-3]], cost.load(1), at)
    assert [row["name"] for row in worthless] == ["a", "b"]


def test_the_threshold_is_the_one_that_the_worth_calls_for():
    """A miss costs 9, a false alarm 1: positive from p = 0.1 on, where 2 of 3 false alarms remain and no miss."""
    tp = [5 if i <= 10 else 3 for i in range(101)]
    fp = [3 if i < 10 else 2 if i == 10 else 0 for i in range(101)]
    rival = {"confusion": [[10, 0], [2, 3]], "tp": tp, "fp": fp, "latency_p95_ms": 1.0}
    own, best = study.outcomes(rival, [[0, -1], [-9, 0]])
    assert own == ([[10, 0], [2, 3]], None) and best == ([[8, 2], [0, 5]], 0.1)
    (row,) = study.benefits({"a": rival}, [[0, -1], [-9, 0]], cost.load(1), setting([price()]))
    assert row["threshold"] == 0.1 and row["worth_per_prediction"] == pytest.approx(-2 / 15)
    assert len(study.outcomes(rival, [[-5, 0], [0, -5]])) == 1


services = st.builds(lambda mean, more, mib: Service(mean_ms=mean, p95_ms=mean * more, memory_mib=mib),
                     st.floats(0.05, 500), st.floats(1, 5), st.floats(0, 20_000))
machines = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 4.0, 16.0]), st.floats(0.01, 5)), min_size=1, max_size=4)
limits = st.one_of(st.none(), st.floats(1, 2000))


def cheapest(specs, of, asked):
    found = cost.plans([price(vcpu=v, hourly=h, instance_type=f"m{i}") for i, (v, h) in enumerate(specs)], of, asked,
                       A, RATES, GRID)
    return found[0].usd_per_month if found else math.inf


@settings(max_examples=120, deadline=None)
@given(services, machines, limits, st.floats(0.1, 2000), st.floats(1, 50))
def test_more_traffic_never_costs_less(of, specs, limit, traffic, more):
    less, much = cost.load(traffic, None, limit), cost.load(traffic * more, None, limit)
    assert cheapest(specs, of, less) <= cheapest(specs, of, much)
    own = [cost.bought(of, asked, A) for asked in (less, much)]
    assert (own[0] is None) == (own[1] is None)
    assert own[0] is None or own[0].usd_per_month <= own[1].usd_per_month * (1 + 1e-12)


@settings(max_examples=120, deadline=None)
@given(services, st.sampled_from([1.0, 2.0, 8.0, 32.0]), limits, st.floats(0.1, 2000), st.floats(1, 20))
def test_a_slower_model_never_needs_fewer_machines(of, vcpu, limit, peak, slower):
    slow = Service(mean_ms=of.mean_ms * slower, p95_ms=of.p95_ms * slower, memory_mib=of.memory_mib)
    asked = cost.load(peak, None, limit)
    fast, late = planned(price(vcpu=vcpu), of, asked), planned(price(vcpu=vcpu), slow, asked)
    assert late is None or (fast is not None and fast.instances <= late.instances)


@settings(max_examples=60, deadline=None)
@given(services, st.floats(1, 500), st.floats(20, 2000))
def test_the_forecast_latency_keeps_the_limit(of, peak, limit):
    found = planned(price(), of, cost.load(peak, None, limit))
    assert found is None or found.latency_p95_ms <= limit * (1 + 1e-6)


def test_loads_and_assumptions_that_cannot_be():
    for wrong in ((0.0, None), (-1.0, None), (5.0, 4.0), (math.inf, None), (math.nan, None)):
        with pytest.raises(UsageError):
            cost.load(*wrong)
    for wrong in ({"machine_years": 0}, {"utilisation_max": 1.0}, {"core_ratio": -1}, {"machine_usd": "x"},
                  {"machine_usd": True}):
        with pytest.raises(UsageError):
            tables.assumptions(wrong)
    with pytest.raises(UsageError, match="measured latency"):
        cost.service({"memory_mib": 3.0})


SUBJECT = worth.Subject(name="m", measured={}, limit_ms=None, classes=("no", "yes"), problem="binary", decision={})


def test_worth_becomes_a_matrix():
    assert worth.matrix({"right": 1, "wrong": 2}, SUBJECT) == ((1, -2), (-2, 1))
    assert worth.matrix({"TP": 9, "FN": 50, "FP": 1}, SUBJECT) == ((0, -1), (-50, 9))
    assert worth.matrix({"wrong": 2, "yes>no": 7}, SUBJECT) == ((0, -2), (-7, 0))
    assert worth.matrix({"wrong": 2, "FN": 0}, SUBJECT) == ((0, -2), (0, 0))
    for wrong in ({"FN": -1.0}, {"maybe": 1.0}):
        with pytest.raises(UsageError):
            worth.matrix(wrong, SUBJECT)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The decision of a run, as far as costs look at it."""
    monkeypatch.delenv("RIGHTFIT_PRICES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    rival = {"latency_p50_ms": 2.0, "latency_p95_ms": 3.0, "memory_mib": 200.0}
    decision = {
        "status": "chosen", "task": {"problem": "binary"}, "chosen": {"name": "forest-1"}, "nearest": None,
        "measured": {**rival, "fit_s": 3.0, "throughput_per_s": 900.0}, "spent": {"wall_s": 300.0, "budget_s": 300.0},
        "machine": {"architecture": "x86_64", "cores": 2},
        "extras": {"task": {"classes": ["no", "yes"], "limits": [{"name": "latency_p95_ms", "limit": 50.0}]},
                   "rivals": {"forest-1": {**rival, "confusion": [[80, 5], [3, 12]]},
                              "ridge-2": {**rival, "confusion": [[70, 15], [9, 6]]}}}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "decision.json").write_text(json.dumps(decision))
    return tmp_path / "run"


def call(arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rightfit", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_answers_everything(run, capsys, monkeypatch):
    code, out, _ = call(["cost", run, "--traffic", "20/s", "--peak", "100/s", "--worth", "FN=50", "--json"], capsys,
                        monkeypatch)
    found = json.loads(out)
    assert code == 0 and found["load"] == {"traffic_per_s": 20.0, "peak_per_s": 100.0, "limit_ms": 50.0}
    assert {(p["provider"], p["how"]) for p in found["rented"]} == {
        ("aws", "on demand"), ("gcp", "on demand"), ("alibaba", "on demand"), ("aws", "spot"), ("gcp", "spot")}
    assert all(p["asof"] for p in found["rented"]) and len(found["carbon"]) == 16
    assert [one["what"] for one in found["training"]] == ["run", "retrain", "refit"]
    assert [m["name"] for m in found["models"]] == ["forest-1", "ridge-2"]
    assert found["range"][0] <= found["rented"][0]["per_month"] <= found["range"][1]
    code, out, _ = call(["cost", run, "--traffic", "20/s", "--peak", "100/s", "--currency", "CNY", "--rate",
                         "CNY=0.1", "--json"], capsys, monkeypatch)
    again = json.loads(out)
    gcp = [next(p for p in f["rented"] if p["provider"] == "gcp")["per_month"] for f in (found, again)]
    assert gcp[1] == pytest.approx(10 * gcp[0])


def test_every_figure_of_the_text_says_as_of_and_old_prices_warn(run, capsys, monkeypatch):
    code, out, err = call(["cost", run, "--traffic", "20/s", "--region", "cn-beijing", "--assume",
                           "serverless_usd_per_million=1"], capsys, monkeypatch)
    assert code == 0 and out.count("2024-12-30") >= 5 and "older than 180 days" in err
    assert "Serverless" in out and re.search(r"serverless_usd_per_million +1 USD .* you", out)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_page_is_whole_offline_and_in_both_languages(run, tmp_path, language, capsys, monkeypatch):
    page = tmp_path / "cost.html"
    code, _, _ = call(["cost", run, "--traffic", "20/s", "--worth", "right=1", "--html", page, "--language", language],
                      capsys, monkeypatch)
    text = page.read_text()
    assert code == 0 and f'lang="{language.replace("_", "-")}"' in text and "<svg" in text and "polyline" in text
    assert not re.search(r'(src|href)="|url\(|<script', text) and "2026-08-03" in text
    assert ("净收益" in text) == (language == "zh_CN")


def test_names_on_the_page_are_escaped():
    at = setting([price()])
    found = {"name": "<b>x", **study.study(Service(mean_ms=1, p95_ms=1), cost.load(1), at), "training": [],
             "models": []}
    assert "&lt;b&gt;x" in render(found) and "<b>x" not in render(found)


@pytest.mark.parametrize("wrong", [
    ["--traffic", "0"], ["--traffic", "-5/s"], ["--traffic", "20/s", "--peak", "10/s"],
    ["--traffic", "20/s", "--region", "us-esat-1"], ["--traffic", "20/s", "--provider", "awz"],
    ["--traffic", "20/s", "--currency", "CNX"], ["--traffic", "20/s", "--rate", "CNY=-1"],
    ["--traffic", "20/s", "--assume", "machine_year=3"], ["--traffic", "20/s", "--assume", "machine_years=0"],
    ["--traffic", "20/s", "--assumptions", "nowhere.toml"], ["--traffic", "20/s", "--worth", "FN=-2"],
    ["--traffic", "20/s", "--max-latency", "0ms"]])
def test_wrong_questions_get_one_sentence(run, wrong, capsys, monkeypatch):
    code, out, err = call(["cost", run, *wrong], capsys, monkeypatch)
    assert (code, out) == (2, "") and err.startswith("rightfit: ") and err.count("\n") == 1


def test_a_path_that_is_no_run_gets_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "decision.json").write_text("{")
    for path in (tmp_path / "none", tmp_path / "half", tmp_path):
        code, out, err = call(["cost", path, "--traffic", "1/s"], capsys, monkeypatch)
        assert (code, out) == (2, "") and err.count("\n") == 1
