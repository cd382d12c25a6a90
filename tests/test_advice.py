"""The rules of the advice: valid, reachable, free of contradictions, sourced; and the description they read."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import registry
from rightfit.advice import _files, catalogue, description, rules
from rightfit.advice.description import Description, describe
from rightfit.errors import UnknownName, UsageError
from rightfit.records import Audit, Finding, Need, Task

ROOT = Path(__file__).parent.parent
WAYS = sorted({(t["modality"], p) for t in description.tasks().values()
               for p in ((t["problem"], "binary") if t["problem"] == "multiclass" else (t["problem"],))})
TAGS = {name: card.tags for name, card in catalogue.known().items()}
RAW = {"id": "x", "when": {"rows": {"below": 50}}, "prefer": ["linear"], "points": 2, "reason": "r", "zh": "z",
       "source": "s"}


def made(**changes):
    return rules.parsed({k: v for k, v in {**RAW, **changes}.items() if v is not None})


def test_there_are_rules_for_every_way():
    assert len(rules.rules()) >= 60
    for modality, problem in WAYS:
        asked = Description(modality=modality, problem=problem, rows=500)
        named = [r for r in rules.rules() if any(
            w.modality == modality and w.problem == problem for w in itertools.islice(
                rules.witnesses(r.when, [(modality, problem)]), 1)) and r.effect in rules.ON_FAMILIES]
        assert named, (modality, problem)
        assert any(r.effect == "metric" for r in rules.fired(asked)), (modality, problem)


@pytest.mark.parametrize("rule", rules.rules(), ids=lambda r: r.id)
def test_every_rule_can_fire(rule):
    witness = next(rules.witnesses(rule.when, WAYS), None)
    assert witness is not None and rule in rules.fired(witness)


@pytest.mark.parametrize("rule", rules.rules(), ids=lambda r: r.id)
def test_every_rule_names_what_exists_and_a_source(rule):
    known = {*TAGS, *(f"tag:{tag}" for tags in TAGS.values() for tag in tags)}
    if rule.effect in rules.ON_FAMILIES:
        assert set(rule.targets) <= known
        assert any(rules.falls_on(rule, name, tags) for name, tags in TAGS.items())
    if rule.effect == "place":
        assert rule.targets[0] in ("local", "cloud")
    assert re.search(r"\d{4}|benchmarks/|documentation|License|licences", rule.source), rule.source
    for path in re.findall(r"benchmarks/[\w./]+\w", rule.source):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"facts/\w+\.toml", rule.source):
        assert (ROOT / "src/rightfit/advice" / path).exists(), path
    assert re.search("[\u4e00-\u9fff]", rule.zh) and rule.said("zh_CN") == rule.zh and rule.said("en") == rule.reason


def test_a_rule_moves_a_family_that_the_condition_admits():
    """A rule on families must fall on one that solves the problem where it fires."""
    cards = catalogue.known()
    for rule in rules.rules():
        if rule.effect in rules.ON_FAMILIES:
            ways = {(w.modality, w.problem) for way in WAYS for w in itertools.islice(
                rules.witnesses(rule.when, [way]), 1)}
            assert any(c.modality == m and p in c.problems and rules.falls_on(rule, c.name, c.tags)
                       for m, p in ways for c in cards.values()), rule.id


def test_no_rules_contradict():
    assert rules.contradictions(rules.rules(), TAGS, WAYS) == []


@pytest.mark.parametrize("other", [
    {"prefer": None, "avoid": ["linear"]}, {"prefer": None, "points": None, "exclude": ["tag:linear_model"]},
    {"prefer": None, "points": None, "exclude": ["linear"], "when": {"rows": {"below": 100}}},
])
def test_contradictions_are_found(other):
    pair = (made(), made(id="y", **other))
    assert ("x", "y", "linear") in rules.contradictions(pair, TAGS, WAYS)


def test_two_metrics_for_one_condition_contradict():
    pair = [made(id=n, prefer=None, points=None, metric=n) for n in ("rmse", "mae")]
    assert rules.contradictions(pair, TAGS, WAYS) == [("rmse", "mae", "metric")]


def test_prefer_and_a_narrower_exclusion_do_not_contradict():
    pair = (made(), made(id="y", prefer=None, points=None, exclude=["linear"], when={"rows": {"below": 10}}))
    assert rules.contradictions(pair, TAGS, WAYS) == []


@pytest.mark.parametrize("when", [
    {"rows": {"below": 1}}, {"rows": {"at_least": 50, "below": 50}}, {"problem": "regression", "classes": 3},
    {"modality": "text", "problem": "detection"}, {"all": [{"weights": True}, {"not": {"weights": True}}]}])
def test_unreachable_rules_are_found(when):
    assert next(rules.witnesses(when, WAYS), None) is None


@pytest.mark.parametrize(("changes", "said"), [
    ({"avoid": ["linear"]}, "one effect"), ({"source": ""}, "source"), ({"zh": None}, "zh"), ({"when": None}, "cond"),
    ({"when": {"rowz": 5}}, "rows"), ({"when": {"rows": {"less": 5}}}, "at_least"), ({"points": 0}, "points"),
    ({"points": 99}, "points"), ({"extra": 1}, "extra"), ({"when": {"any": [{"rowz": 1}]}}, "rows"),
    ({"prefer": None, "exclude": ["linear"]}, "points")])
def test_what_is_no_rule_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        made(**changes)


def test_conditions():
    asked = Description(modality="text", problem="binary", rows=100, language="zh", weights=False)
    for when, holds in (({"rows": 100}, True), ({"rows": [5, 100]}, True), ({"rows": {"at_least": 100}}, True),
                        ({"rows": {"above": 100}}, False), ({"language": {"is_not": "en"}}, True),
                        ({"weights": False}, True), ({"noise": {"at_least": 0.0}}, False),
                        ({"not": {"noise": {"at_least": 0.1}}}, True), ({"licence": {"is_not": "any"}}, True),
                        ({"any": [{"rows": 5}, {"classes": 2}]}, True), ({"all": [{"rows": 5}, {"classes": 2}]}, False),
                        ({"rows": {"at_least": 50, "below": 100}}, False)):
        assert rules.holds(when, asked) is holds, when


def test_shift_and_exclusion():
    fired = (made(), made(id="y", prefer=["tag:readable"], points=3), made(id="z", prefer=None, avoid=["linear"]))
    assert rules.shift(fired, "linear", TAGS["linear"]) == -3 and rules.shift(fired, "lightgbm", ()) == 0
    hard = made(prefer=None, points=None, exclude=["tag:opaque"])
    assert rules.excluded((hard,), "lightgbm", TAGS["lightgbm"]) is hard
    assert rules.excluded((hard,), "linear", TAGS["linear"]) is None


def test_an_unknown_rule_is_named():
    with pytest.raises(UnknownName, match="tabular-boosting-default"):
        rules.rule("tabular-boosting-defaults")


@pytest.mark.parametrize(("said", "words"), [
    ({"task": "image-clasification"}, "image-classification"), ({}, "task"),
    ({"task": "tabular-classification", "rowz": 5}, "rows"), ({"task": "tabular-classification", "rows": 0}, "rows=0"),
    ({"task": "tabular-classification", "rows": 5, "classes": 6}, "classes=6"),
    ({"task": "tabular-regression", "classes": 6}, "no classes"),
    ({"task": "tabular-regression", "imbalance": 6.0}, "no classes"),
    ({"task": "tabular-classification", "noise": 1.5}, "noise=1.5"),
    ({"task": "tabular-classification", "imbalance": 0.5}, "imbalance"),
    ({"task": "tabular-classification", "rows": 100, "classes": 5, "rows_per_class": 60}, "rows_per_class=60"),
    ({"task": "tabular-classification", "device": "rasberry-pi-4"}, "raspberry-pi-4"),
    ({"task": "tabular-classification", "train_device": "cloudgpu"}, "cloud-gpu"),
    ({"task": "tabular-classification", "licence": "comercial"}, "commercial"),
    ({"task": "tabular-classification", "traffic": "0/s"}, "traffic"),
    ({"task": "tabular-classification", "traffic": "-3/s"}, "traffic"),
    ({"task": "tabular-classification", "max_latency": "5parsec"}, "max_latency"),
    ({"task": "tabular-classification", "rows": "many"}, "whole number"),
    ({"task": "tabular-classification", "rows": True}, "whole number"),
    ({"task": "tabular-classification", "noise": float("nan")}, "noise"),
    ({"task": "tabular-classification", "weights": 1}, "true or false")])
def test_bad_descriptions_get_one_sentence(said, words):
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        describe(said)
    assert "\n" not in str(caught.value)


def test_what_follows_is_derived():
    asked = describe({"task": "tabular-classification", "rows": 1000, "classes": 2, "imbalance": 9.0,
                      "device": "phone"})
    assert asked.problem == "binary" and asked.rows_per_class == 100 and asked.kind == "edge"
    assert asked.with_(rows=100).rows_per_class == 10 and asked.with_(device="gpu").kind == "gpu"
    assert describe({"task": "text-classification", "max_latency": "2ms", "max-size": "1GiB"}).size_mib == 1024


def test_answers_are_read():
    assert description.spoken("rows", " 1_000 ") == 1000 and description.spoken("noise", "0.1") == 0.1
    assert description.spoken("weights", "是") is True and description.spoken("natural", "No") is False
    for name, text in (("weights", "perhaps"), ("rows", "1.5"), ("noise", "few")):
        with pytest.raises(UsageError, match=name):
            description.spoken(name, text)


@settings(max_examples=200, deadline=None)
@given(way=st.sampled_from(WAYS), rows=st.none() | st.integers(1, 10**8), length=st.none() | st.integers(1, 10**5),
       noise=st.none() | st.floats(0, 0.99), weights=st.none() | st.booleans(), readable=st.none() | st.booleans(),
       latency=st.none() | st.floats(1e-3, 1e4), device=st.none() | st.sampled_from(sorted(description.devices())))
def test_any_description_fires_a_metric_and_leaves_sound_shifts(way, rows, length, noise, weights, readable, latency,
                                                                device):
    asked = Description(modality=way[0], problem=way[1], rows=rows, length=length, noise=noise, weights=weights,
                        readable=readable, latency_ms=latency, device=device)
    fired = rules.fired(asked)
    assert any(r.effect == "metric" for r in fired)
    assert all(math.isfinite(rules.shift(fired, name, tags)) for name, tags in TAGS.items())
    assert fired == rules.fired(asked)


@pytest.mark.parametrize("counts", [(950, 50), (899, 101), (901, 99), (500, 500)])
def test_the_metric_rules_agree_with_those_of_choose(counts):
    from rightfit.task import metric

    asked = Description(modality="tabular", problem="binary", rows=1000, imbalance=counts[0] / counts[1])
    told = next(r for r in rules.fired(asked) if r.effect == "metric").targets[0]
    assert told == metric.of_classes("binary", counts)[0]
    many = np.array([counts[0], counts[1], counts[1]])
    asked = Description(modality="tabular", problem="multiclass", classes=3, rows=int(many.sum()),
                        imbalance=counts[0] / counts[1])
    told = next(r for r in rules.fired(asked) if r.effect == "metric").targets[0]
    assert told == metric.of_classes("multiclass", many)[0]


def test_a_task_and_its_audit_become_a_description():
    task = Task(modality="text", problem="binary", target=("y",), metric="f1", classes=("a", "b"), rows=1000,
                features=1)
    found = (Finding(code="class_imbalance", severity="warning", data={"ratio": 4.0}),
             Finding(code="label_errors", severity="warning", data={"share": 0.08}),
             Finding(code="unspaced_script", severity="info"),
             Finding(code="text_length", severity="info", data={"p50_words": 12}))
    audit = Audit(rows=1000, columns=1, findings=found)
    asked = description.from_task(task, audit, Need(max_latency="5ms", weights=("w",), budget="1m"))
    assert (asked.imbalance, asked.noise, asked.language, asked.length) == (4.0, 0.08, "zh", 12)
    assert asked.latency_ms == 5.0 and asked.weights is True and asked.budget_s == 60 and asked.rows_per_class == 200
    bare = description.from_task(task, Audit(rows=1000, columns=1, findings=()), Need())
    assert bare.weights is None and bare.noise is None and bare.imbalance is None


def test_a_modality_of_somebody_else_is_no_fault():
    task = Task(modality="sound", problem="regression", target=("y",), metric="rmse")
    asked = description.from_task(task, Audit(rows=0, columns=0, findings=()), Need())
    assert asked.modality == "sound"


def test_the_short_list_keeps_its_order_without_rules(monkeypatch):
    from rightfit.tuning import shortlist

    task = Task(modality="tabular", problem="multiclass", target=("y",), metric="accuracy", rows=1500, features=8,
                classes=("a", "b", "c"))
    audit, need = Audit(rows=1500, columns=8, findings=()), Need(families=("linear", "tree", "naive_bayes", "knn"))
    known = registry.plugins("rightfit.models.tabular")
    assert not [r for r in rules.fired(description.from_task(task, audit, need)) if r.effect in rules.ON_FAMILIES
                and r.effect != "alike"]
    short = shortlist.shortlist(task, audit, need)
    ranked = list(dict.fromkeys(c.family for c in short.candidates))
    assert sorted(ranked[1:], key=lambda n: known[n].rank) == ranked[1:]
    monkeypatch.setattr(shortlist.rules, "fired", lambda asked: (
        made(prefer=["knn"], points=40), made(id="hard", prefer=None, points=None, exclude=["naive_bayes", "svm_rbf"])))
    short = shortlist.shortlist(task, audit, need)
    moved = list(dict.fromkeys(c.family for c in short.candidates))
    assert "knn" in moved[:2] and "naive_bayes" in moved, "what the user asks for is tried whatever a rule says"
    short = shortlist.shortlist(task, audit, Need())
    assert short.rejected["svm_rbf"] == "r [hard]" and "svm_rbf" not in {c.family for c in short.candidates}


def test_messages_exist_in_every_language():
    told = {name: _files.read("messages", name) for name in _files.names("messages")}
    assert set(told) == {"en", "zh_CN"} and set(told["en"]) == set(told["zh_CN"])
    for key in told["en"]:
        assert set(re.findall(r"{(\w+)}", told["en"][key])) == set(re.findall(r"{(\w+)}", told["zh_CN"][key])), key


def test_families_that_are_alike_stand_back_behind_each_other():
    same = made(id="same", prefer=None, alike=["tag:boosting"], points=4)
    places = {"catboost": 1.0, "lightgbm": 2.0, "xgboost": 3.0, "linear": 5.0}
    found = rules.ranked(places, (same,), TAGS)
    assert list(found) == ["catboost", "linear", "lightgbm", "xgboost"]
    assert found["lightgbm"] == 6.0 and found["xgboost"] == 11.0 and list(found.values()) == sorted(found.values())
    assert rules.ranked(places, (), TAGS) == places
    with pytest.raises(UsageError, match="points"):
        made(prefer=None, points=None, alike=["tag:boosting"])


def test_a_language_that_is_not_said_is_no_other_language():
    said = Description(modality="text", problem="binary", language="de")
    quiet = Description(modality="text", problem="binary")
    when = {"language": {"is_not": "en", "known": True}}
    assert rules.holds(when, said) and not rules.holds(when, quiet)
    assert rules.holds({"language": {"is_not": "en"}}, quiet)
    assert Description(modality="tabular", problem="binary", categorical=1.0).categorical == 1.0
