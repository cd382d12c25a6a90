"""`rightfit advise`: the short list from a description, the questionnaire, the command it ends with, bad input."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from rightfit.advice import catalogue, description, forecast
from rightfit.advice.description import Description, describe
from rightfit.advise import advise, order
from rightfit.cli import app
from rightfit.errors import UnknownName, UsageError

TASKS = sorted(description.tasks())
ASKED = ["advise", "--task", "image-classification", "--rows", "5000", "--classes", "10", "--max-latency", "20ms",
         "--device", "cpu"]


def run(*words, given=None):
    return CliRunner().invoke(app, list(words), input=given)


def answered(done):
    """The description at the end of a questionnaire; the runner echoes what is typed, as a terminal does."""
    return json.loads(done.stdout.splitlines()[-1])["description"]


def names(found):
    return [pick.family for pick in found.picks]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_task_gets_an_answer(task, language):
    found = advise(describe({"task": task, "rows": 3000, "device": "cpu", "budget": "24h"}), language=language)
    cards = catalogue.known(found.description.modality)
    assert len(found.picks) >= 2 and found.metric_name and found.place in ("local", "cloud")
    for pick in found.picks:
        assert pick.why and pick.against and found.description.problem in cards[pick.family].problems
        told = pick.forecast
        assert told.latency_ms.low < told.latency_ms.value < told.latency_ms.high and told.fit_s is not None
        assert pick.planned == cards[pick.family].planned
    if all(pick.planned for pick in found.picks):
        assert found.command == ""
    scores = [pick.score for pick in found.picks]
    assert scores == sorted(scores)


@pytest.mark.parametrize("task", TASKS)
def test_the_command_is_one_that_choose_takes(task):
    asked = describe({"task": task, "rows": 3000, "max_latency": "20ms", "max_size": "20MB", "max_memory": "1GiB",
                      "throughput": "10/s", "budget": "10m", "weights": True, "licence": "commercial", "groups": True})
    command = advise(asked).command
    if command:
        words = shlex.split(command)
        context = typer.main.get_command(app).commands[words[1]].make_context(words[1], words[2:])
        assert words[0] == "rightfit" and context.params["out"] == "run"
        assert context.params["max_latency"] == "20ms" and context.params["budget"] == "600s"


def test_the_command_means_what_was_described():
    from rightfit.records import Need

    asked = describe({"task": "tabular-classification", "max_latency": "20ms", "max_size": "20MB", "budget": "10m"})
    words = shlex.split(advise(asked).command)
    said = dict(zip(words[3::2], words[4::2], strict=True))
    need = Need(max_latency=said["--max-latency"], max_size=said["--max-size"], budget=said["--budget"])
    assert {m.name: m.limit for m in need.limits()} == pytest.approx({"latency_p95_ms": 20, "size_mib": 19.0734863})
    assert need.budget_s == 600


def test_what_is_described_changes_the_answer():
    def first(**said):
        return names(advise(describe({"task": "image-classification", "rows": 5000, "classes": 10, **said})))[0]

    assert first(weights=True) == "frozen" and first(weights=False) == "cnn"
    assert order(describe({"task": "tabular-classification", "rows": 50}))[0] in ("linear", "svm_rbf", "svm_linear")
    few = advise(describe({"task": "text-classification", "readable": True}))
    assert "fasttext" in few.out and few.out["fasttext"].endswith("[text-readable]")
    rare = advise(describe({"task": "tabular-classification", "classes": 2, "imbalance": 50.0}))
    assert rare.metric_name == "average_precision" and {"class_weight", "recall_first"} <= set(rare.treatments)
    closed = advise(describe({"task": "object-detection", "licence": "commercial"}))
    assert "AGPL" in closed.out["yolov8"] and "yolov8" not in names(closed)
    assert advise(describe({"task": "image-generation"})).place == "cloud"
    assert advise(describe({"task": "image-generation", "sensitive": True})).place == "local"


def test_limits_that_a_forecast_breaks_are_said_and_cost_the_place():
    asked = describe({"task": "text-classification", "rows": 3000, "classes": 4, "weights": True, "length": 32,
                      "max_size": "5MB"})
    found = advise(asked, most=99)
    bert = next(p for p in found.picks if p.family == "bert")
    assert any("size" in one.text and "limit" in one.text for one in bert.against)
    assert names(found).index("bert") > names(found).index("tfidf_linear")
    assert any("one fit" in one.text for p in advise(describe(
        {"task": "image-classification", "rows": 50000, "budget": "30s"}), most=99).picks for one in p.against)


def test_what_would_change_the_advice_is_true():
    asked = describe({"task": "image-classification", "rows": 5000, "classes": 10, "weights": True})
    found = advise(asked)
    line = next(line for line in found.changes if line.startswith("Without pretrained"))
    assert f": {order(asked.with_(weights=False))[0]} first instead of {found.picks[0].family}" in line


def test_an_asked_metric_is_kept():
    found = advise(describe({"task": "tabular-classification", "metric": "f1"}))
    assert found.metric_name == "f1" and "--metric f1" in found.command


@settings(max_examples=60, deadline=None)
@given(task=st.sampled_from(TASKS), rows=st.none() | st.integers(2, 10**8), latency=st.none() | st.floats(1e-3, 1e5),
       size=st.none() | st.floats(1e-3, 1e5), device=st.none() | st.sampled_from(sorted(description.devices())),
       weights=st.none() | st.booleans(), budget=st.none() | st.floats(1, 1e6))
def test_any_description_is_answered(task, rows, latency, size, device, weights, budget):
    way = description.tasks()[task]
    asked = Description(modality=way["modality"], problem=way["problem"], rows=rows, latency_ms=latency, size_mib=size,
                        device=device, weights=weights, budget_s=budget)
    found = advise(asked, most=99)
    able = {c.name for c in catalogue.known(asked.modality).values()
            if asked.problem in c.problems and not c.baseline and not c.scheme and not c.kinds}
    assert {*names(found), *found.out} == able and not set(names(found)) & set(found.out)
    assert names(found) == order(asked)


@given(rows=st.integers(1, 10**7), times=st.floats(1, 100))
@settings(max_examples=30, deadline=None)
def test_more_rows_never_train_faster(rows, times):
    card = catalogue.known("tabular")["lightgbm"]
    asked = Description(modality="tabular", problem="regression", rows=rows)
    more = forecast.forecast(card, asked.with_(rows=int(rows * times)))
    assert more.fit_s.value >= forecast.forecast(card, asked).fit_s.value


@given(traffic=st.floats(0.01, 1e5), times=st.floats(1, 50))
@settings(max_examples=30, deadline=None)
def test_more_traffic_never_costs_less(traffic, times):
    card = catalogue.known("tabular")["lightgbm"]
    asked = Description(modality="tabular", problem="regression", traffic_per_s=traffic)
    less = forecast.forecast(card, asked).serve_usd
    more = forecast.forecast(card, asked.with_(traffic_per_s=traffic * times)).serve_usd
    assert less.low <= less.value <= less.high and less.value <= more.value


def test_serving_costs_what_the_arithmetic_of_cost_says():
    from rightfit.resources import afford, cost, tables

    asked = describe({"task": "image-classification", "traffic": "1000/s", "weights": True})
    card = catalogue.known("image")["efficientnet"]
    told = forecast.forecast(card, asked)
    of = cost.service({"latency_p95_ms": told.latency_ms.value, "memory_mib": told.memory_mib.value})
    every = cost.plans(afford.of_architecture(tables.prices(), "x86_64"), of, cost.load(1000.0),
                       afford.values(tables.assumptions()), tables.rates(), tables.carbon())
    assert told.serve_usd.value == pytest.approx(every[0].usd_per_month) and told.serve_asof == every[0].asof
    assert told.serve_usd.low <= told.serve_usd.value <= told.serve_usd.high
    assert forecast.forecast(card, asked.with_(traffic_per_s=None)).serve_usd is None
    assert forecast.forecast(card, asked.with_(device="raspberry-pi-5")).serve_usd is None


def test_money_is_a_limit_like_any_other():
    asked = describe({"task": "image-classification", "rows": 5000, "classes": 10, "weights": False,
                      "traffic": "2000/s", "max_cost": "3000CNY/month"})
    assert 300 < asked.serve_usd < 600
    found = advise(asked)
    assert f"--max-cost {asked.serve_usd:.10g}USD/month --traffic 2000/s" in found.command
    dear = next(p for p in found.picks if p.forecast.serve_usd and p.forecast.serve_usd.value > asked.serve_usd)
    assert any("cost of serving" in said.text for said in dear.against)
    for said, words in (({"max_cost": "5USD/month"}, "add --traffic"), ({"max_cost": "5", "traffic": "1/s"}, "50USD"),
                        ({"max_cost": "5USX/month", "traffic": "1/s"}, "USD")):
        with pytest.raises(UsageError, match=words):
            describe({"task": "image-classification", **said})


def test_the_side_of_pictures_is_that_of_the_families():
    from rightfit.models.image import _timm

    for natural in (16, 28, 32, 48, 49, 64, 100, 128, 129, 159, 160, 224, 4000):
        assert forecast.side(natural, True) == min(natural, _timm.sides(False)(natural))
        assert forecast.side(natural, False) == _timm.sides(True)(natural)


def test_the_page_says_everything():
    done = run(*ASKED, "--language", "en")
    assert done.exit_code == 0
    for said in ("Advice for image-classification", "forecast on cpu", "[image-latency-mobile]", "Metric: accuracy",
                 "transfer:", "Train:", "What would change", "rightfit choose photos/ --metric accuracy", "1. frozen"):
        assert said in done.output, said
    chinese = run(*ASKED, "--language", "zh_CN").output
    assert "模型族" in chinese and "什么会改变建议" in chinese and "Metric" not in chinese


def test_json_is_all_there_is_on_stdout():
    found = json.loads(run(*ASKED, "--json").stdout)
    assert {"picks", "out", "metric", "treatments", "place", "changes", "command", "fired", "task"} <= set(found)
    assert found["picks"][0]["forecast"]["latency_ms"]["high"] > 0


def test_explain_shows_a_rule():
    done = run("advise", "--explain", "metric-rare-positives", "--language", "en")
    assert "Saito" in done.output and "average_precision" in done.output and '"above": 9.0' in done.output
    assert json.loads(run("advise", "--explain", "metric-rare-positives", "--json").stdout)["effect"] == "metric"
    wrong = run("advise", "--explain", "metric-rare-positive").exception
    assert isinstance(wrong, UnknownName) and "metric-rare-positives" in str(wrong)


def test_a_need_file_says_the_same_and_flags_overrule_it(tmp_path):
    path = tmp_path / "need.toml"
    path.write_text('task = "text-classification"\nrows = 3000\nclasses = 4\nmax-latency = "2ms"\ntarget = "the y"\n'
                    'weights = ["w.safetensors"]\n')
    found = json.loads(run("advise", "--need", str(path), "--json").stdout)["description"]
    assert (found["rows"], found["latency_ms"], found["weights"]) == (3000, 2.0, True)
    other = json.loads(run("advise", "--need", str(path), "--rows", "90000", "--json").stdout)["description"]
    assert "--target 'the y' " in json.loads(run("advise", "--need", str(path), "--json").stdout)["command"]
    assert other["rows"] == 90000 and other["classes"] == 4


@pytest.mark.parametrize(("text", "said"), [
    ("task = ", "TOML"), (None, "readable"), ('task = "text-classification"\nrowz = 3', "did you mean 'rows'"),
    ('task = "text-classification"\nrows = "many"', "whole number"), ("rows = 5", "no task"),
    ('task = "text-classification"\nnoise = 2.0', "noise=2")])
def test_a_bad_need_file_gets_one_sentence(tmp_path, text, said):
    path = tmp_path / "need.toml"
    if text is not None:
        path.write_text(text)
    done = run("advise", "--need", str(path))
    assert isinstance(done.exception, UsageError) and said in str(done.exception) and done.stdout == ""


@pytest.mark.parametrize(("language", "heading"), [("en", "2 The data"), ("zh_CN", "二、数据")])
def test_the_questionnaire_asks_six_chapters(language, heading):
    answers = ["tabular-classification", "5000", "2", "30", "20", "", "0.1", "n", "y", "n", "", "cpu", "5ms", "", "",
               "20/s", "50USD/month", "n", "10m"]
    done = run("advise", "--language", language, "--json", given="\n".join(answers) + "\n")
    found = answered(done)
    assert heading in done.stderr
    assert (found["problem"], found["rows"], found["features"], found["imbalance"]) == ("binary", 5000, 30, 20.0)
    assert found["misses"] is True and found["latency_ms"] == 5.0 and found["budget_s"] == 600
    assert found["traffic_per_s"] == 20.0 and found["serve_usd"] == 50.0


def test_an_answer_that_cannot_be_used_is_asked_again():
    answers = ["forecasting", "12", "many", "500", *[""] * 20]
    done = run("advise", "--json", "--language", "en", given="\n".join(answers) + "\n")
    found = answered(done)
    assert found["rows"] == 500 and found["horizon"] == 12 and "rows must be a whole number" in done.stderr


@pytest.mark.parametrize(("given", "said"), [("", "pass --task"), ("\n", "pass --task"),
                                             ("image-clasification\n", "did you mean 'image-classification'"),
                                             ("forecasting\n12\n", "input ended at question=rows")])
def test_a_questionnaire_without_answers_is_one_sentence(given, said):
    done = run("advise", given=given)
    assert isinstance(done.exception, UsageError) and said in str(done.exception) and "{" not in done.stdout


@pytest.mark.parametrize(("words", "said"), [
    (["--task", "image-clasification"], "image-classification"),
    (["--task", "forecasting", "--device", "fone"], "phone"),
    (["--task", "forecasting", "--traffic", "0/s"], "traffic"),
    (["--task", "forecasting", "--traffic=-1/s"], "traffic"),
    (["--task", "tabular-regression", "--classes", "3"], "no classes"), (["--rows", "5"], "no task"),
    (["--task", "forecasting", "--language", "fr"], "zh_CN"), (["--task", "forecasting", "--budget", "0s"], "budget")])
def test_bad_flags_get_one_sentence(words, said):
    done = run("advise", *words)
    assert isinstance(done.exception, UsageError) and said in str(done.exception) and "\n" not in str(done.exception)


PROGRAM = """
import sys
from rightfit.cli import main
sys.argv = ["rightfit", *sys.argv[1:]]
try:
    main()
finally:
    print(" ".join(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def test_nothing_heavy_is_imported_and_it_is_quick():
    spent = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", PROGRAM, *ASKED], capture_output=True, text=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    loaded = set(done.stderr.split())
    assert "rightfit" in loaded and not loaded & {"torch", "pandas", "sklearn", "scipy", "onnx", "timm", "rich"}
    assert min(spent) < 1.0, "CPU seconds of the whole process"


def test_without_input_the_process_says_one_sentence():
    done = subprocess.run([sys.executable, "-m", "rightfit", "advise"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
