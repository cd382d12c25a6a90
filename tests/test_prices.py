"""Tables of prices: what came with the package, what users put in their place, and every way it can go wrong."""

import csv
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit import cli
from rightfit.errors import UnknownName, UsageError
from rightfit.resources import tables


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No table of the user's own, and a data folder that is empty."""
    monkeypatch.delenv("RIGHTFIT_PRICES", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def call(arguments, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["rightfit", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def written(path, kind="prices", change=None, rows=3):
    """A CSV of the first bundled rows, after `change(row)`."""
    source = {"prices": tables.prices, "rates": lambda: tuple(tables.rates().values()),
              "carbon": lambda: tuple(tables.carbon().values())}[kind]()[:rows]
    found = [{name: "" if (value := getattr(one, name)) is None else value for name in tables.COLUMNS[kind]}
             for one in source]
    found = [change(dict(row)) if change else row for row in found]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


def test_the_bundle_says_source_licence_and_date_of_every_row():
    rows = tables.prices()
    assert {(p.provider, p.currency) for p in rows} == {("aws", "USD"), ("aws", "CNY"), ("gcp", "USD"),
                                                         ("alibaba", "CNY")}
    assert all(p.source and p.licence == "Apache-2.0" and date.fromisoformat(p.asof) for p in rows)
    assert len({p.region for p in rows if p.provider == "gcp"}) == 7
    assert len({p.region for p in rows if p.provider == "alibaba"}) == 7
    assert {(p.provider, p.region) for p in rows} == set(tables.carbon())
    assert all(p.spot_asof for p in rows if p.spot_per_hour is not None)


def test_known_rows_are_those_of_the_extracts():
    by_key = {(p.provider, p.region, p.instance_type): p for p in tables.prices()}
    assert by_key["aws", "us-east-1", "c6i.large"].on_demand_per_hour == pytest.approx(0.085)
    e2 = by_key["gcp", "us-central1", "e2-standard-2"]
    assert (e2.on_demand_per_hour, e2.spot_per_hour, e2.vcpu, e2.mem_gib) == (0.0670114, 0.040212, 2, 8)
    assert by_key["alibaba", "cn-hangzhou", "ecs.c6.2xlarge"].currency == "CNY"
    assert by_key["gcp", "us-central1", "t2d-standard-1"].vcpu_is == "core"
    assert not any(key[2].startswith("t3.") for key in by_key)


def test_closest_names_are_offered():
    for change, close in (({"provider": "awz"}, "aws"), ({"region": "us-esat-1"}, "us-east-1")):
        with pytest.raises(UnknownName, match=f"did you mean '{close}'"):
            tables.select(tables.prices(), **change)
    with pytest.raises(UnknownName, match="did you mean 'CNY'"):
        tables.rate("CNX", tables.rates())
    with pytest.raises(UnknownName, match="did you mean 'machine_years'"):
        tables.assumptions({"machine_year": 3})


def test_a_region_of_another_provider_is_unknown():
    with pytest.raises(UnknownName, match="region must be one of"):
        tables.select(tables.prices(), provider="gcp", region="cn-beijing")


@given(st.floats(1e-3, 1e9), st.sampled_from(["CNY", "EUR", "JPY", "GBP", "HKD", "SGD"]), st.floats(1e-3, 1e3))
def test_there_and_back_is_the_same_amount(amount, currency, usd):
    rates = tables.rates({currency: usd})
    there = tables.convert(amount, "USD", currency, rates)
    assert tables.convert(there, currency, "USD", rates) == pytest.approx(amount, rel=1e-12)


def test_rates_are_visible_and_changed():
    assert tables.convert(100, "CNY", "USD", tables.rates({"cny": 0.2})) == pytest.approx(20)
    for wrong in ({"CNY": 0.0}, {"CNY": -1.0}, {"CNY": float("nan")}, {"USD": 2.0}):
        with pytest.raises(UsageError):
            tables.rates(wrong)


def test_dates_grow_stale():
    now = date(2026, 11, 24)
    assert tables.stale(["2026-05-28"], now) == ()
    assert tables.stale(["2026-05-27", "2024", "2026-05-27"], now) == ("2024", "2026-05-27")


def test_an_update_counts_from_then_on_and_is_whole(home):
    before = len(tables.prices())
    kind, where, rows = tables.update(written(home / "mine.csv"))
    assert (kind, rows) == ("prices", 3) and where == home / "data" / "rightfit" / "prices.csv"
    assert len(tables.prices()) == 3 < before and list(where.parent.iterdir()) == [where]
    kind, _, rows = tables.update(written(home / "rates.csv", "rates", rows=2))
    assert kind == "rates" and set(tables.rates()) == {"USD", "CNY"}
    assert tables.update(written(home / "carbon.csv", "carbon"))[0] == "carbon"


def test_going_back_takes_the_users_tables_away(home, capsys, monkeypatch):
    bundled = tables.prices()
    assert call(["prices", "update", written(home / "mine.csv")], capsys, monkeypatch)[0] == 0
    assert len(tables.prices()) == 3
    code, out, _ = call(["prices", "reset"], capsys, monkeypatch)
    assert code == 0 and out.startswith("1 tables of yours removed") and tables.prices() == bundled
    assert call(["prices", "reset"], capsys, monkeypatch)[1].startswith("0 tables")


def test_the_variable_wins(home, monkeypatch):
    other = written(home / "other.csv", rows=5)
    tables.update(written(home / "mine.csv"))
    monkeypatch.setenv("RIGHTFIT_PRICES", str(other))
    assert len(tables.prices()) == 5
    monkeypatch.setenv("RIGHTFIT_PRICES", str(home / "nowhere.csv"))
    with pytest.raises(UsageError, match="RIGHTFIT_PRICES"):
        tables.prices()


def without(name):
    return lambda row: {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize(("change", "said"), [
    (lambda row: {**row, "on_demand_per_hour": "-0.1"}, "on_demand_per_hour='-0.1' in line 2"),
    (lambda row: {**row, "spot_per_hour": "-1"}, "spot_per_hour"),
    (lambda row: {**row, "on_demand_per_hour": "nan"}, "on_demand_per_hour='nan'"),
    (lambda row: {**row, "on_demand_per_hour": ""}, "on_demand_per_hour=''"),
    (lambda row: {**row, "vcpu": "0"}, "vcpu must be a number above zero"),
    (lambda row: {**row, "asof": "last year"}, "asof='last year'"),
    (lambda row: {**row, "licence": ""}, "licence must not be empty"),
    (lambda row: {**row, "vcpu_is": "half"}, "vcpu_is must be core or thread"),
    (lambda row: {**row, "currency": "XYZ"}, "currency must be one of"),
    (lambda row: {**row, "instance_type": "same", "region": "same"}, "twice"),
    (without("asof"), "without asof"),
    (without("licence"), "without licence"),
])
def test_a_wrong_file_changes_nothing(home, change, said, capsys, monkeypatch):
    path = written(home / "wrong.csv", change=change)
    before = tables.prices()
    code, out, err = call(["prices", "update", path], capsys, monkeypatch)
    assert (code, out) == (2, "") and said in err and err.strip().count("\n") == 0
    assert tables.prices() == before and not (home / "data").exists()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"currency,usd,asof,source\n"])
def test_no_table_at_all(home, content, capsys, monkeypatch):
    path = home / "odd.csv"
    path.write_bytes(content)
    code, out, err = call(["prices", "update", path], capsys, monkeypatch)
    assert (code, out) == (2, "") and err.count("\n") == 1


def test_the_list_is_filtered_dated_and_warns(capsys, monkeypatch):
    code, out, err = call(["prices", "--provider", "alibaba", "--region", "cn-beijing", "--vcpu", 4, "--currency",
                           "CNY", "--json"], capsys, monkeypatch)
    found = json.loads(out)
    assert code == 0 and found["rows"] == len(found["machines"]) > 10 and found["asof"] == ["2024-12-30"]
    assert all(m["vcpu"] >= 4 and m["region"] == "cn-beijing" for m in found["machines"])
    assert all(m["shown_on_demand"] == m["on_demand_per_hour"] for m in found["machines"])
    assert found["stale"] == ["2024-12-30"]
    code, out, err = call(["prices", "--region", "cn-beijing", "--top", 2], capsys, monkeypatch)
    assert code == 0 and "2024-12-30" in out and "1 CNY = " in out and "older than 180 days" in err


@pytest.mark.parametrize("wrong", [["uptade"], ["update"], ["list", "x.csv"], ["--region", "mars"], ["--gpu", "H1000"],
                                   ["--vcpu", "-1"], ["--currency", "XXX"], ["--rate", "CNY"], ["--memory", "8"]])
def test_wrong_questions_get_one_sentence(wrong, capsys, monkeypatch):
    code, out, err = call(["prices", *wrong], capsys, monkeypatch)
    assert (code, out) == (2, "") and err.startswith("rightfit: ") and err.count("\n") == 1


@pytest.mark.shared
@pytest.mark.skipif(not (Path(os.environ.get("RIGHTFIT_DATA", "absent")).parent / "prices").is_dir(),
                    reason="no price extracts beside RIGHTFIT_DATA")
def test_the_bundle_is_what_the_script_makes_of_the_extracts(tmp_path):
    root = Path(__file__).parent.parent
    source = Path(os.environ["RIGHTFIT_DATA"]).parent / "prices"
    program = ("import runpy, sys; from pathlib import Path; m = runpy.run_path(sys.argv[1]); "
               "m['main'].__globals__['HOME'] = Path(sys.argv[2]); sys.argv = ['x', sys.argv[3]]; m['main']()")
    subprocess.run([sys.executable, "-c", program, root / "scripts" / "bundle_prices.py", tmp_path, source], check=True)
    for name in ("prices.csv", "carbon.csv"):
        bundled = root / "src" / "rightfit" / "resources" / "prices" / name
        assert (tmp_path / name).read_text() == bundled.read_text()
