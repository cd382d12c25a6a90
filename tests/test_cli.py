"""The command line: help, exit codes, what goes to stdout, and every command on one small run."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rightfit import cli

COMMANDS = ("choose", "audit", "predict", "zip", "report", "models", "doctor")


def call(arguments, capsys, monkeypatch):
    """(exit code, stdout, stderr) of `rightfit arguments` in this process."""
    monkeypatch.setattr(sys, "argv", ["rightfit", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).round(4)
    frame["bought"] = np.where(x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=240) > 0, "yes", "no")
    path = tmp_path_factory.mktemp("table") / "shop.csv"
    frame.to_csv(path, index=False)
    return path


def choosing(table, out, *more):
    """The arguments of the one run that the tests share."""
    return ["choose", table, "--target", "bought", "--budget", "30s", "--out", out, "--family", "linear",
            "--folds", "3", "--max-size", "20MB", *more]


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """(finished process, run folder) of `rightfit choose --json` as a user would start it."""
    out = tmp_path_factory.mktemp("cli") / "run"
    done = subprocess.run([sys.executable, "-m", "rightfit", *choosing(table, out, "--json")], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done, out


def test_choose_prints_one_json_object_and_nothing_else_on_stdout(run):
    done, out = run
    assert done.returncode == 0, done.stderr
    decision = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert decision["status"] == "chosen" and decision["chosen"]["family"] == "linear"
    assert decision == json.loads((out / "decision.json").read_text(encoding="utf-8"))
    assert "240 rows" in done.stderr


def test_the_same_command_again_shows_the_stored_decision(run, table, capsys, monkeypatch):
    before = json.loads(run[0].stdout)
    code, out, err = call(choosing(table, run[1], "--json"), capsys, monkeypatch)
    assert code == 0 and json.loads(out)["chosen"] == before["chosen"] and "finished already" in err


def test_without_json_it_says_where_the_report_is(run, table, capsys, monkeypatch):
    code, out, _ = call(choosing(table, run[1], "--language", "en"), capsys, monkeypatch)
    assert code == 0 and f"Report: {run[1] / 'report.html'}" in out and f"Package: {run[1] / 'package'}" in out


def test_infeasible_is_exit_3_and_says_what_is_nearest(table, tmp_path, capsys, monkeypatch):
    code, out, _ = call(["choose", table, "--target", "bought", "--budget", "20s", "--out", tmp_path / "run",
                         "--family", "naive_bayes", "--folds", "2", "--max-size", "100B", "--json"],
                        capsys, monkeypatch)
    decision = json.loads(out)
    assert code == 3 and decision["status"] == "infeasible" and decision["chosen"] is None
    assert decision["nearest"]["binding"] == ["size_mib"]


def test_predict_writes_a_row_for_each_row(run, table, tmp_path, capsys, monkeypatch):
    target = tmp_path / "out.csv"
    code, out, err = call(["predict", run[1] / "package", table, "-o", target], capsys, monkeypatch)
    found = pd.read_csv(target)
    assert code == 0 and out == "" and "240 predictions" in err
    assert list(found.columns) == ["prediction", "probability_no", "probability_yes"] and len(found) == 240
    assert np.allclose(found.filter(like="probability").sum(axis=1), 1.0, atol=1e-5)


def test_a_zipped_package_predicts_the_same(run, table, tmp_path, capsys, monkeypatch):
    code, out, _ = call(["zip", run[1] / "package", tmp_path / "one.zip"], capsys, monkeypatch)
    assert code == 0 and out.strip() == str(tmp_path / "one.zip")
    for source, target in ((run[1] / "package", "a.csv"), (tmp_path / "one.zip", "b.csv")):
        assert call(["predict", source, table, "-o", tmp_path / target], capsys, monkeypatch)[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(("language", "lang"), [("en", "en"), ("zh_CN", "zh")])
def test_report_writes_the_page_again(run, language, lang, capsys, monkeypatch):
    code, out, _ = call(["report", run[1], "--language", language], capsys, monkeypatch)
    assert code == 0 and str(run[1] / "report.html") in out.splitlines()
    page = (run[1] / "report.html").read_text(encoding="utf-8")
    assert f'<html lang="{lang}' in page


def test_audit_as_json_and_as_a_table(table, capsys, monkeypatch):
    code, out, _ = call(["audit", table, "--target", "bought", "--json"], capsys, monkeypatch)
    found = json.loads(out)
    assert code == 0 and found["task"]["problem"] == "binary" and found["audit"]["rows"] == 240
    code, out, _ = call(["audit", table, "--target", "bought"], capsys, monkeypatch)
    assert code == 0 and "240 rows" in out and "binary" in out


def test_models_as_json_and_as_a_table(capsys, monkeypatch):
    code, out, _ = call(["models", "--json"], capsys, monkeypatch)
    families = json.loads(out)
    assert code == 0 and {"linear", "lightgbm", "baseline"} <= {f["name"] for f in families}
    assert all(f["facts"]["year"] > 1700 and f["facts"]["licence"] for f in families)
    code, out, _ = call(["models"], capsys, monkeypatch)
    assert code == 0 and "family" in out


def test_doctor_says_what_the_machine_offers(capsys, monkeypatch):
    code, out, _ = call(["doctor", "--json"], capsys, monkeypatch)
    found = json.loads(out)
    assert code == 0 and found["machine"] and found["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys, monkeypatch):
    code, out, err = call([command, "--help"], capsys, monkeypatch)
    assert code == 0 and command in out and err == ""


def test_help_names_every_command(capsys, monkeypatch):
    code, out, _ = call(["--help"], capsys, monkeypatch)
    assert code == 0 and all(command in out for command in COMMANDS)


@pytest.mark.parametrize(("arguments", "said"), [
    (["choose"], "data"),
    (["choos"], "choos"),
    (["choose", "{table}", "--nonsense"], "nonsense"),
    (["choose", "{table}", "--target", "bougt"], "bought"),
    (["choose", "{table}", "--target", "bought", "--metric", "acuracy"], "accuracy"),
    (["choose", "{table}", "--target", "bought", "--family", "liner"], "linear"),
    (["choose", "{table}", "--target", "bought", "--search", "greedy"], "search"),
    (["choose", "{table}", "--target", "bought", "--problem", "binry"], "binary"),
    (["choose", "{table}", "--target", "bought", "--kind", "a=number"], "numeric"),
    (["choose", "{table}", "--target", "bought", "--kind", "a"], "COLUMN=KIND"),
    (["choose", "{table}", "--target", "bought", "--at-least", "recall"], "NAME=NUMBER"),
    (["choose", "{table}", "--target", "bought", "--at-least", "recall=x"], "NAME=NUMBER"),
    (["choose", "{table}", "--target", "bought", "--max-latency", "5 parsecs"], "max_latency"),
    (["choose", "{table}", "--target", "bought", "--max-size", "20"], "max_size"),
    (["choose", "{table}", "--target", "bought", "--budget", "0s"], "budget"),
    (["choose", "no_such_file.csv", "--target", "bought"], "no_such_file.csv"),
    (["audit", "no_such_file.csv"], "no_such_file.csv"),
    (["predict", "no_such_package", "{table}"], "no_such_package"),
    (["report", "no_such_run"], "no_such_run"),
])
def test_wrong_usage_is_exit_2_and_one_sentence(arguments, said, table, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call([a.format(table=table) for a in arguments], capsys, monkeypatch)
    lines = [line for line in err.splitlines() if line.startswith("rightfit: ")]
    assert code == 2 and out == "" and "Traceback" not in err
    assert len(lines) == 1 and said in lines[0], err
    assert not (tmp_path / "run-1" / "report.html").exists()


def test_starting_costs_little():
    program = "import resource, runpy, sys; sys.argv = ['rightfit', '--help']\n" \
              "try:\n    runpy.run_module('rightfit', run_name='__main__')\nexcept SystemExit:\n    pass\n" \
              "used = resource.getrusage(resource.RUSAGE_SELF)\n" \
              "print(used.ru_utime + used.ru_stime, 'numpy' in sys.modules, file=sys.stderr)"
    best = 9.0
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        spent, numpy = done.stderr.split()
        best = min(best, float(spent))
        assert numpy == "False"
    assert best < 0.6  # processor seconds; about 0.13 on an idle core, the margin is for shared machines
