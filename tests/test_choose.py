"""The whole flow on small real tables: a decision, a package that predicts, a report; limits, resume, bad input."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import rightfit as rf
from rightfit.errors import DataError, Infeasible, UnknownName, UsageError
from rightfit.tuning import race


@pytest.fixture(scope="module")
def cancer(tmp_path_factory):
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
    path = tmp_path_factory.mktemp("data") / "cancer.csv"
    frame.to_csv(path, index=False)
    return path


NEED = rf.Need(target="target", budget="60s", families=("linear", "naive_bayes"), folds=3, proposals=2)


@pytest.fixture(scope="module")
def choice(cancer, tmp_path_factory):
    return rf.choose(cancer, NEED, out=tmp_path_factory.mktemp("run") / "run")


def test_a_decision_with_an_honest_interval(choice):
    found = choice.decision
    assert choice.status == "chosen" and found.chosen["family"] in ("linear", "naive_bayes")
    assert found.estimate["low"] < found.estimate["value"] <= found.estimate["high"] <= 1
    assert found.estimate["value"] > 0.95
    assert found.baseline["metric"]["value"] == pytest.approx(0.5)


def test_the_package_predicts_what_was_promised(choice, cancer):
    import pandas as pd

    frame = pd.read_csv(cancer)
    model = choice.model
    assert set(model.classes_) == {"malignant", "benign"} and model.classes_[-1] == "malignant"
    assert (model.predict(frame) == frame["target"]).mean() > 0.95
    assert model.predict_proba(frame).shape == (len(frame), 2)
    one = model.predict_one(frame.iloc[0].to_dict())
    assert one["prediction"] in ("malignant", "benign")


def test_what_lies_in_the_run_folder(choice):
    plain = json.loads((choice.folder / "decision.json").read_text())
    assert {"schema", "status", "task", "chosen", "estimate", "measured", "limits", "trials", "seed"} <= set(plain)
    assert choice.report.stat().st_size < 1_000_000
    assert (choice.folder / "model_card.md").exists()


def test_leaderboard_and_reasons(choice):
    board = choice.leaderboard()
    assert board.iloc[0]["name"] == choice.decision.chosen["name"]
    assert {"linear", "naive_bayes", "baseline"} <= set(board["family"])
    assert all(isinstance(line, str) and line.endswith(".") for line in choice.why())


def test_running_it_again_gives_the_stored_decision(choice, cancer, monkeypatch):
    monkeypatch.setattr(race, "run", None)  # nothing is raced again
    again = rf.choose(cancer, NEED, out=choice.folder)
    assert again.decision.chosen == choice.decision.chosen and again.decision.estimate == choice.decision.estimate


def test_another_question_is_refused_in_the_same_folder(choice, cancer):
    with pytest.raises(UsageError, match="seed"):
        rf.choose(cancer, dataclasses.replace(NEED, seed=1), out=choice.folder)


def test_a_limit_that_nothing_meets_is_infeasible(cancer, tmp_path):
    need = dataclasses.replace(NEED, max_size="1kB", budget="45s")
    found = rf.choose(cancer, need, out=tmp_path / "run")
    assert found.status == "infeasible"
    assert found.decision.nearest["binding"] == ["size_mib"]
    assert not any(check.met for check in found.decision.limits)
    assert not found.package.exists()
    with pytest.raises(Infeasible, match="size_mib at most"):
        _ = found.model


def test_a_floor_is_met_on_rows_not_used_to_tune_it(cancer, tmp_path):
    need = dataclasses.replace(NEED, metric="f1", at_least={"recall": 0.97}, budget="45s")
    found = rf.choose(cancer, need, out=tmp_path / "run")
    check = found.decision.limits[0]
    assert found.status == "chosen" and check.name == "recall" and check.met and check.value >= 0.97


def test_regression_and_noise(tmp_path):
    import pandas as pd

    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3))
    signal_ = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=x[:, 0] * 3 + random.normal(size=300) * 0.1)
    need = rf.Need(target="y", budget="45s", families=("linear", "tree"), folds=3, proposals=2)
    found = rf.choose(signal_, need, out=tmp_path / "signal")
    assert found.decision.chosen["family"] == "linear" and found.decision.estimate["value"] < 0.2
    noise = signal_.assign(y=random.normal(size=300))
    found = rf.choose(noise, need, out=tmp_path / "noise")
    assert found.decision.estimate["high"] > 0.9
    assert found.decision.chosen["family"] in ("baseline", "linear")


@pytest.mark.parametrize(("change", "error", "words"), [
    ({"target": "targt"}, (UnknownName, UsageError), "targt"),
    ({"families": ("linaer",)}, UnknownName, "did you mean 'linear'"),
    ({"metric": "acuracy"}, UsageError, "accuracy"),
    ({"target": None}, UsageError, "target"),
])
def test_wrong_names_are_one_sentence_and_leave_nothing(cancer, tmp_path, change, error, words):
    with pytest.raises(error) as caught:
        rf.choose(cancer, dataclasses.replace(NEED, **change), out=tmp_path / "run")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "package").exists()


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv"):
        rf.choose(tmp_path / "nothing.csv", NEED, out=tmp_path / "run")


def command(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "rightfit", *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def test_killed_and_started_again_it_resumes(cancer, tmp_path):
    words = ("choose", cancer, "--target", "target", "--budget", "40s", "--folds", "3", "--proposals", "2",
             "--family", "linear,naive_bayes,tree", "--out", tmp_path / "run", "--json")
    first = command(*words)
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((tmp_path / "run").glob("blobs/linear-*-1*.npz")):
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "blobs").glob("baseline-*.npz")}
    assert done
    second = command(*words)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert json.loads(out)["status"] == "chosen"
    assert done == {name: (tmp_path / "run" / "blobs" / name).stat().st_mtime_ns for name in done}


def test_interrupted_it_delivers_the_best_so_far(cancer, tmp_path):
    run = command("choose", cancer, "--target", "target", "--budget", "60s", "--out", tmp_path / "run")
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((tmp_path / "run").glob("blobs/lightgbm-*-1*.npz")):
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=90)
    assert run.returncode == 4, err
    assert rf.load(tmp_path / "run" / "package").sample
    plain = json.loads((tmp_path / "run" / "decision.json").read_text())
    assert any("interrupted" in line for line in plain.get("why") or plain["extras"]["why"])
    assert "Package:" in out


def test_bad_input_on_the_command_line_exits_two(tmp_path, cancer):
    for words in (("choose", tmp_path / "no.csv", "--target", "y"), ("choose", cancer, "--target", "nope"),
                  ("choose", cancer, "--target", "target", "--max-latency", "5 parsecs"),
                  ("choose", cancer, "--target", "target", "--search", "gird"), ("choose", cancer, "--nonsense")):
        run = command(*words, cwd=tmp_path)
        out, err = run.communicate(timeout=60)
        assert run.returncode == 2 and out == "" and "Traceback" not in err, err
        assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
