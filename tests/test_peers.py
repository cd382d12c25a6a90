"""The comparison's own arithmetic, and the replayed rules, on lines made on the spot."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def module():
    with pytest.MonkeyPatch.context() as patch:
        for folder in (FOLDER, FOLDER / "peers", FOLDER / "replay"):
            patch.syspath_prepend(str(folder))
        yield importlib.import_module


def line(way, table, score, *, metric="rmse", budget="60", neighbour="quiet", **more):
    return {"way": way, "version": "1", "table": table, "split": "0", "budget_s": budget, "neighbour": neighbour,
            "metric": metric, "score": score, "promised": score, "wall_s": "60", **more}


def test_a_system_without_a_model_loses_its_case(module, monkeypatch):
    compare = module("compare")
    monkeypatch.setattr(compare, "signed_rank", lambda gaps: (0.0, 0.0, 1.0))
    monkeypatch.setattr(compare, "LEAST", 2)
    rows = [line("rightfit", "a", "1.0"), line("other", "a", "2.0"), line("rightfit", "b", "3.0"),
            line("other", "b", "")]
    found = {entry["system"]: entry for entry in compare.summary(rows)}
    assert found["other 60 s"]["rightfit_wins"] == 1.0 and found["other 60 s"]["failures"] == 1
    assert found["rightfit 60 s"]["mean_rank"] == 1.0 and found["other 60 s"]["mean_rank"] == 2.0


def test_ranks_need_the_same_cases(module, monkeypatch):
    compare = module("compare")
    monkeypatch.setattr(compare, "signed_rank", lambda gaps: (0.0, 0.0, 1.0))
    monkeypatch.setattr(compare, "LEAST", 2)
    rows = [line("rightfit", "a", "1.0"), line("rightfit", "b", "1.0"), line("full", "a", "0.5"),
            line("full", "b", "2.0"), line("half", "a", "0.1")]
    found = {entry["system"]: entry for entry in compare.summary(rows)}
    assert found["half 60 s"]["mean_rank"] == "" and found["half 60 s"]["cases"] == 1
    assert found["half 60 s"]["rightfit_wins"] == ""
    assert found["full 60 s"]["mean_rank"] == 1.5 == found["rightfit 60 s"]["mean_rank"]


def test_a_few_tables_are_no_statement(module):
    compare = module("compare")
    rows = [line(way, table, score) for table in "abcd" for way, score in (("rightfit", "1.0"), ("other", "2.0"))]
    found = compare.summary(rows)
    assert all(entry["rightfit_wins"] == "" and "p_rightfit" not in entry and "mean_rank" not in entry
               for entry in found)


def test_a_unit_with_a_line_is_not_run_again(module):
    systems = module("systems")
    assert systems.sources() == systems.sources() and len(systems.sources()) == 8
    assert all(way.split()[0] == system.name for way, system in systems.WAYS.items())


def cases(rules):
    rows = []
    for table, good in (("a", "x"), ("b", "x"), ("c", "y")):
        for key in ("w", "x", "y", "z"):
            for fold, share in (("0", 1.0), ("1", 1.0), ("0", 0.25), ("all", 1.0)):
                rows.append({"table": table, "seed": "0", "candidate": key, "fold": fold, "share": str(share),
                             "utility": "0.9" if key == good else "0.8", "seconds": "2" if share == 1.0 else "1",
                             "metric": "roc_auc", "rows": "500", "problem": "binary"})
    return rules.complete(rows)


def test_rules_pay_for_what_they_look_at(module):
    rules = module("rules")
    case = cases(rules)[0]
    assert rules.full(case) == ("x", 16.0) and rules.holdout(case) == ("x", 8.0) and rules.quarter(case) == ("x", 4.0)
    assert rules.quarter_then(case, top=2) == ("x", 8.0)
    assert case.regret("x") == 0.0 and case.regret("y") == pytest.approx(10.0)


def test_the_learned_order_never_sees_the_table_it_is_judged_on(module):
    rules = module("rules")
    three = cases(rules)
    assert rules.portfolio(three)[:2] == ["x", "y"]
    assert rules.orders(three, leave="c")["classes, few rows"][0] == "x"
    assert rules.orders(three[1:], leave="b")["classes, few rows"][0] == "y"


def test_an_interval_draws_whole_tables(module):
    rules = module("rules")
    assert rules.upper([1.0, 1.0, 1.0], ["a", "a", "b"]) == 1.0
    assert rules.upper([0.0, 0.0, 3.0], ["a", "a", "b"]) == 3.0
