"""The benchmarks' own parts on tables made on the spot: splits, scoring, limit sets, judgements, result files."""

import argparse
import importlib
from pathlib import Path

import numpy as np
import pytest

from rightfit.engines.inline import Inline
from rightfit.records import Limit, Need

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module


@pytest.fixture(scope="module")
def common(benchmark):
    return benchmark("common")


@pytest.fixture(scope="module")
def contract(benchmark):
    return benchmark("contract")


@pytest.fixture(scope="module")
def frame(benchmark):
    return benchmark("speed").mixed(400, 6)


def test_outer_parts_keep_copies_together_and_classes_even(common, frame):
    import pandas as pd

    twice = pd.concat([frame, frame.sample(100, random_state=0)], ignore_index=True)
    rest, held = common.outer(twice, Need(target="y"), True, 0.25, 3)
    assert sorted([*rest, *held]) == list(range(500)) and 100 <= len(held) <= 150
    rows = twice.drop(columns="y").map(str).agg("|".join, axis=1)
    assert not set(rows[rest]) & set(rows[held])
    assert abs((twice["y"][held] == "yes").mean() - 0.5) < 0.06
    again = common.outer(twice, Need(target="y"), True, 0.25, 3)
    other = common.outer(twice, Need(target="y"), True, 0.25, 4)
    assert np.array_equal(again[1], held) and not np.array_equal(other[1], held)


def test_outer_parts_keep_groups_whole_and_time_in_order(common, frame):
    frame = frame.assign(g=np.arange(400) // 10, t=[str(t) for t in np.random.default_rng(0).permutation(400)])
    rest, held = common.outer(frame, Need(target="n0", group="g"), False, 0.25, 0)
    assert not set(frame["g"][rest]) & set(frame["g"][held]) and len(held) == 100
    rest, held = common.outer(frame, Need(target="n0", time="t"), False, 0.25, 0)
    assert frame["t"][rest].astype(int).max() < frame["t"][held].astype(int).min() == 300


def test_results_grow_row_by_row_and_carry_the_machine(common, tmp_path):
    common.append_csv("r", {"a": 1, "b": 0.123456789}, tmp_path)
    before = common.read_csv("r", tmp_path)
    common.append_csv("r", {"a": 2, "c": "x"}, tmp_path)
    after = common.read_csv("r", tmp_path)
    assert [r["a"] for r in after] == ["1", "2"] and after[0]["b"] == "0.123457" and after[1]["c"] == "x"
    assert after[0]["machine"] == before[0]["machine"] and {"versions", "date", "load_1m"} <= set(after[0])
    assert "/" not in after[0]["machine"]
    assert common.read_csv("none", tmp_path) == []


def test_the_index_becomes_needs(common, monkeypatch, tmp_path):
    head = ("file,modality,task,target,header,sep,na_marker,drop_columns,group_column,time_column,train_file,test_file,"
            "notes")
    (tmp_path / "index.csv").write_text(
        f'{head}\ntabular/a.csv,tabular,binary,2,no,",","<empty>|0@1",0,,row_order,,,\n'
        'tabular/t.csv,tabular,binary,2,no,",",,,,,tabular/a.csv,tabular/t.csv,\n'
        "images/x,image,binary,folder,no,,,,,,,,\n")
    (tmp_path / "tabular").mkdir()
    (tmp_path / "tabular" / "a.csv").write_text("1,0,yes\n2,5,no\n3,6,yes\n")
    monkeypatch.setenv("RIGHTFIT_DATA", str(tmp_path))
    real, = common.tables()
    assert real.name == "a" and real.need.missing == ("0@1",) and real.need.time is None
    frame, need = common.load(real)
    assert frame.shape == (3, 3) and need.target == "2" and need.drop == ("0",)
    with pytest.raises(SystemExit, match="b"):
        list(common.tables(["b"]))


@pytest.fixture(scope="module")
def raced(contract, frame, tmp_path_factory):
    need = Need(target="y", budget="60s", families=("tree", "naive_bayes"), folds=2, metric="roc_auc", search="grid")
    one = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract.race, "run", few_units)
        with contract.raced(frame, need, True, tmp_path_factory.mktemp("race") / "run", Inline()) as one:
            yield one


def few_units(racing, pool, workers):
    """Two candidates of the grid on fold 0, then both on fold 1."""
    from rightfit.tuning import race

    candidates = racing.short.candidates[:2]
    for fold in (0, 1):
        for candidate in candidates:
            unit = race.Unit(candidate=candidate, fold=fold)
            job = race.job_of(racing, unit, 60.0)
            racing.running[job.key] = unit
            pool.submit(job)
            for outcome in pool.wait():
                race.settle(racing, outcome)


def test_limit_sets_lie_around_what_was_seen(contract, raced):
    seen = contract.ranges(raced)
    assert set(contract.SPREAD) < set(seen) and seen["recall"].sense == "at_least"
    sets = [contract.draw(seen, np.random.default_rng(i)) for i in range(300)]
    assert {len(s) for s in sets} == {1, 2, 3} and contract.draw(seen, np.random.default_rng(7)) == sets[7]
    for limits in sets:
        assert len({m.name for m in limits}) == len(limits)
        for m in limits:
            reach = contract.SPREAD.get(m.name, np.inf)
            assert seen[m.name].low / reach * 0.999 <= m.limit <= seen[m.name].high * reach * 1.001
    ratio = [m.limit / seen["size_mib"].low for limits in sets for m in limits if m.name == "size_mib"]
    assert min(ratio) < 1 < max(ratio)


def test_a_chosen_package_is_measured_again(contract, raced, tmp_path):
    limits = (Limit(name="size_mib", limit=50.0, sense="at_most"), Limit(name="recall", limit=0.2, sense="at_least"))
    row = contract.case(raced, limits, tmp_path / "package", 60.0)
    assert row["status"] == "chosen" and row["violations"] == 0 and row["resource_limits"] == row["floors"] == 1
    assert row["floors_held"] == 1 and 80 <= row["held_rows"] <= 120 and (tmp_path / "package").is_dir()
    assert raced.board.task.limits == ()


def test_a_broken_promise_is_a_violation(contract, raced, tmp_path, monkeypatch):
    limits = (Limit(name="size_mib", limit=50.0, sense="at_most"),)
    monkeypatch.setattr(contract, "probe", lambda path: {"size_mib": 51.0, "noisy": 0.0, "memory_mib": 60.0,
                                                         "latency_p95_ms": 1.0, "throughput_per_s": 9.0})
    monkeypatch.setattr(contract.decide, "check", lambda limits, measured: ())
    row = contract.case(raced, limits, tmp_path / "package", 60.0)
    assert row["status"] == "chosen" and row["violations"] == row["violations_confirmed"] == 1


def test_an_infeasible_is_true_or_false(contract, raced, tmp_path, monkeypatch):
    nothing = (Limit(name="size_mib", limit=1e-4, sense="at_most"),)
    row = contract.case(raced, nothing, tmp_path / "package", 60.0)
    assert row["status"] == "infeasible" and row["infeasible"] == "true" and not (tmp_path / "package").exists()
    monkeypatch.setattr(contract.deliver, "ATTEMPTS", 0)
    row = contract.case(raced, (Limit(name="size_mib", limit=50.0, sense="at_most"),), tmp_path / "package", 60.0)
    assert row["infeasible"] == "false" and "was left untried" in row["witness"]
    close = 1.02 * min(raced.figure(key)["latency_p95_high_ms"] for key in raced.packed())
    limits = (Limit(name="latency_p95_ms", limit=close, sense="at_most"),)
    row = contract.case(raced, limits, tmp_path / "package", 60.0)
    assert row["infeasible"] == "headroom"


def test_the_summary_counts(contract):
    rows = [{"table": "t", "status": "infeasible", "infeasible": "true"},
            {"table": "t", "status": "chosen", "resource_limits": "2", "violations": "", "floors": "1"}]
    assert "0 of 2" in contract.summary(rows)[1] and "true 1" in contract.summary(rows)[3]


def test_a_promise_against_a_holdout(benchmark):
    honesty = benchmark("honesty")
    good = honesty.compared((0.90, 0.85, 0.93), (0.83, 0.79, 0.87), True)
    assert good["optimism"] == pytest.approx(0.07) and (good["inside"], good["covered"]) == (0, 0)
    loss = honesty.compared((1.0, 0.8, 1.3), (1.2, 1.0, 1.4), False)
    assert loss["optimism"] == pytest.approx(0.2) and (loss["inside"], loss["covered"]) == (1, 1)
    rows = [{"table": "a", "metric": "m", **good}, {"table": "a", "metric": "m", **loss}, {"table": "b", "error": "x"}]
    assert "covered 1 of 2" in honesty.summary(rows)[0] and honesty.summary(rows)[-1] == "1 cases failed"


def test_an_honest_case_end_to_end(benchmark, frame, tmp_path):
    need = Need(target="y", budget="8s", families=("naive_bayes",), folds=2, workers=1)
    row = benchmark("honesty").case(frame, need, True, 0.5, tmp_path / "run")
    assert row["metric"] and row["low"] <= row["promised"] <= row["high"] and row["held_rows"] == 200
    assert row["test_low"] < row["test"] < row["test_high"] and row["wall_s"] < 25


def test_speed_of_rows_and_of_the_first_package(benchmark, tmp_path, monkeypatch):
    speed = benchmark("speed")
    monkeypatch.setattr(speed, "BOOSTED", ("lightgbm",))
    given = argparse.Namespace(pack_rows=300, first_rows=[300])
    lines = speed.row(given)
    assert [line["what"][-3:] for line in lines] == ["p50", "p95", "p99"]
    assert 0 < lines[0]["value"] <= lines[1]["value"] <= lines[2]["value"]
    reading, waited = speed.first(given)
    assert reading["value"] > 0 and 0 < waited["value"] < 20 and waited["limit"] == 5.0


def test_the_memory_of_a_process_tree_is_seen(benchmark):
    import subprocess

    speed = benchmark("speed")
    code = "import time; x = bytearray(60 << 20); time.sleep(1.5)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen(speed.python(outer)) as process:
        tree = benchmark("common").Tree(process.pid)
        tree.start()
        process.wait()
        tree.join()
    assert tree.most == 2 and 60 < tree.pss_mib <= tree.rss_mib < 200 and 0 < tree.cpu_s < 60


def test_runs_on_pictures_become_rows_and_a_page(benchmark, tmp_path):
    images, figures = benchmark("images"), benchmark("figures")
    trials = [{"family": "frozen", "state": "ok", "metric": {"value": v, "low": v - 0.1, "high": v + 0.1}}
              for v in (0.7, 0.8)] + [{"family": "cnn", "state": "pruned", "metric": {"value": 0.9}}]
    done = {"chosen": {"family": "frozen", "params": {"network": "n"}, "steps": [{"name": "float16"}]},
            "estimate": {"metric": "accuracy", "value": 0.8, "low": 0.7, "high": 0.9, "n": 50}, "trials": trials,
            "measured": {"latency_p50_ms": 2.0, "size_mib": 8.0},
            "extras": {"stages": [{"name": "look", "candidates": 5, "removed": 2, "seconds": 3.0}]}}
    (best,) = images.families("cifar10", images.CASES["cifar10"], 600, done)
    assert (best["family"], best["value"], best["goal"]) == ("frozen", 0.8, 0.8)
    row = images.reached(done)
    assert (row["value"], row["on"], row["steps"]) == (0.8, "left-out rows, 50", "float16")
    assert images.spent(done)["look"] == "5 in, 2 out" and images.spent(done)["folds_s"] == ""
    done["extras"]["test"] = {"value": 0.85, "low": 0.8, "high": 0.9, "rows": 40}
    assert images.reached(done)["value"] == 0.85
    rows = [{"case": "cifar10", "what": "chosen", "budget_s": 600, "wall_s": 600.0, "cpu_s": 900.0, "goal": 0.84,
             "peers": "", **images.reached(done), **images.spent(done), "load_1m": 1}]
    page = "\n".join(figures.images([{k: str(v) for k, v in r.items()} for r in rows]))
    assert "| 0.850 [0.800, 0.900] |" in page and "| yes |" in page


def test_made_pictures_lie_in_class_folders(benchmark, tmp_path):
    memory = benchmark("images_memory")
    assert memory.write(tmp_path, 25, 16) > 0
    assert len(list(tmp_path.glob("class */*.jpg"))) == 25 and len(list(tmp_path.iterdir())) == memory.CLASSES


def test_the_geometric_mean_counts_the_networks_that_were_meant(benchmark):
    latency, figures = benchmark("delivered_latency"), benchmark("figures")
    rows = [{"network": "resnet18", "times_faster": "2", "times_faster_1": "3", "loss": "0.001"},
            {"network": "minilm", "times_faster": "8", "times_faster_1": "12", "loss": "0.002"},
            {"network": "another", "times_faster": "99", "times_faster_1": "99", "loss": "1"}]
    found = latency.summary(rows)
    assert (found["times_faster"], found["times_faster_1"], found["loss"]) == (4.0, 6.0, 0.002)
    names = ("network", "weights", "steps", "eager_1_ms", "eager_all_ms", "delivered_ms", "delivered_all_ms",
             "times_faster", "times_faster_1", "loss", "peers")
    page = figures.delivered_latency([{name: str(row.get(name, "")) for name in names} for row in (*rows, found)])
    assert any("geometric mean of 2" in line and "4.00" in line and "6.00" in line for line in page)


def test_screening_is_judged_by_candidates_trained_in_full_once(benchmark, common, tmp_path, monkeypatch):
    import pandas as pd

    from rightfit.records import Candidate

    screening = benchmark("screening")
    random = np.random.default_rng(0)
    rows = [f"{random.choice(['good', 'fine', 'plain'] if at % 2 else ['bad', 'poor', 'plain'])} food {at % 7}"
            for at in range(120)]
    frame = pd.DataFrame({"text": rows, "label": ["no", "yes"] * 60})
    given = screening.Given(train=frame[:80], test=frame[80:].reset_index(drop=True))
    monkeypatch.setattr(screening, "SETS", {"small": lambda home: given})
    two = [Candidate(family="tfidf_nb", params={"event": "multinomial"}), Candidate(family="text_baseline")]
    none = Candidate(family="tfidf_nb", params={"words": 0, "chars": 0})
    monkeypatch.setattr(screening, "listed", lambda question: (*two, none))
    monkeypatch.setattr(screening, "raced", lambda *given: {
        "what": "screened", "candidate": two[1].key, "family": "text_baseline", "kept": f"{two[1].key} {two[0].key}",
        "screen_s": 0.5, "race_s": 2.0, "delivered": 0.5, "promised": 0.5, "budget_s": 9.0})
    words = ["small", "--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    screening.main(words)
    monkeypatch.setattr(screening, "in_full", lambda *given: pytest.fail("it was measured already"))
    screening.main(words)
    found = common.read_csv("screening", tmp_path)
    assert [row["what"] for row in found] == ["exhaustive"] * 3 + ["screened", "summary"]
    best, last = found[0], found[-1]
    assert last["best"] == best["candidate"] and float(last["best_value"]) == float(best["value"]) > 0.7
    assert float(last["behind"]) == pytest.approx(float(best["value"]) - float(found[1]["value"]), abs=1e-5)
    assert found[2]["error"] and not found[2]["value"] and float(last["behind"]) > 0
    assert float(last["kept_behind"]) == 0 and last["reached"] == "False"
    assert float(last["share"]) == pytest.approx(0.5 / float(last["whole_s"]), rel=1e-3)
