"""The report: stable JSON, one safe offline page in two languages, charts without NaN, a model card that parses."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit import report
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Decision, Finding, Limit, LimitCheck, Task
from rightfit.report import charts, extras, markdown, pareto, svg, wording
from rightfit.report.html import render
from rightfit.report.json import SCHEMA, read, to_json, write_json


def trial(name: str, value: float | None, latency: float | None, size: float, **more: object) -> dict[str, object]:
    half = 0.018
    metric = {
        "value": value,
        "low": None if value is None else value - half,
        "high": None if value is None else value + half,
    }
    return {
        "name": name,
        "family": name.rsplit("-", 1)[0],
        "state": "ok",
        "metric": metric,
        "latency_p95_ms": latency,
        "memory_mib": 40 + 3 * size,
        "size_mib": size,
        "fit_s": 0.4 + size,
        "error": "",
        "params": {"a": 1},
        "folds_done": 5,
    } | more


def binary() -> Decision:
    """A churn table with floors and a latency limit."""
    rng = np.random.default_rng(0)
    fpr = np.linspace(0, 1, 200)
    task = Task(
        modality="tabular",
        problem="binary",
        target=("churn",),
        metric="f1",
        classes=("no", "yes"),
        rows=7043,
        features=19,
        limits=(
            Limit(name="latency_p95_ms", limit=5.0, sense="at_most"),
            Limit(name="size_mib", limit=19.07, sense="at_most"),
            Limit(name="recall", limit=0.8, sense="at_least"),
            Limit(name="precision", limit=0.5, sense="at_least"),
        ),
    )
    trials = [
        trial("lightgbm-4b4b0af2", 0.642, 0.31, 1.4),
        trial("catboost-91fe22ab", 0.648, 0.62, 4.1),
        trial("catboost-33ab0012", 0.646, 7.4, 16.2),
        trial("xgboost-77c1d0aa", 0.639, 0.55, 2.2),
        trial("random_forest-0a0a0a0a", 0.631, 14.5, 88.0),
        trial("extra_trees-5be1f2c0", 0.622, 16.1, 120.0),
        trial("logistic-8812aa01", 0.628, 0.05, 0.01),
        trial("elastic_net-8812aa02", 0.627, 0.05, 0.01),
        trial("naive_bayes-1234abcd", 0.571, 0.06, 0.02),
        trial("knn-aaaa0001", 0.563, 9.8, 5.6),
        trial("tree-00ff00ff", 0.588, 0.03, 0.01),
        trial("mlp-de30aa11", 0.625, 0.08, 0.3),
        trial("majority-00000000", 0.419, 0.02, 0.001),
        trial("lightgbm-5c5c5c5c", 0.611, 0.33, 1.2, state="pruned"),
        trial("svm_rbf-77aa77aa", None, None, 0.0, state="timeout", error="fold 2 did not end within 31 s"),
        trial("mlp-0badbad0", None, None, 0.0, state="oom", error="used 2.1 GiB of 2.0 GiB allowed"),
    ]
    numbers = rng.normal(0.03, 0.02, 12)
    extras = {
        "roc": {"fpr": fpr, "tpr": fpr**0.25, "auc": 0.848},
        "pr": {"recall": fpr, "precision": 1 - 0.7 * fpr**2, "ap": 0.66, "base": 0.265},
        "confusion": {"labels": ["no", "yes"], "matrix": [[4120, 1054], [361, 1508]]},
        "calibration": {
            "mean_predicted": list(np.linspace(0.05, 0.95, 10)),
            "observed": list(np.linspace(0.03, 0.9, 10)),
            "count": [2100, 900, 700, 600, 520, 480, 430, 390, 340, 200],
        },
        "importance": [
            {"feature": f"{n}", "value": float(v), "low": float(v) - 0.006, "high": float(v) + 0.006}
            for n, v in zip(
                [
                    "tenure",
                    "Contract",
                    "MonthlyCharges",
                    "InternetService",
                    "TotalCharges",
                    "PaymentMethod",
                    "OnlineSecurity",
                    "TechSupport",
                    "PaperlessBilling",
                    "a_column_with_a_really_very_long_name_indeed",
                    "gender",
                    "客户编号",
                ],
                sorted(numbers, reverse=True),
                strict=True,
            )
        ],
        "learning_curve": [
            {"rows": n, "value": v, "low": v - w, "high": v + w}
            for n, v, w in [(700, 0.58, 0.03), (1400, 0.607, 0.024), (2800, 0.628, 0.02), (5634, 0.642, 0.016)]
        ],
        "overfit": {"train": 0.701, "valid": 0.642, "gap": 0.059},
        "regularisers": [
            {"name": "reg_lambda", "with": {"reg_lambda": 10.0}, "effect": 0.008, "low": 0.001, "high": 0.015},
            {
                "name": "feature_fraction",
                "with": {"feature_fraction": 0.7},
                "effect": -0.002,
                "low": -0.008,
                "high": 0.004,
            },
        ],
        "phases": [
            {"name": n, "seconds": s}
            for n, s in [
                ("read", 0.4),
                ("audit", 6.1),
                ("screen", 12.5),
                ("race", 201.0),
                ("package", 14.0),
                ("report", 3.2),
            ]
        ],
        "command": "rightfit choose train.csv --target churn --metric f1 --at-least recall=0.8 "
        "--at-least precision=0.5 --max-latency 5ms --max-size 20MB --budget 5m --seed 0 --out run/",
        "data": "train.csv",
        "created": "2026-03-01T12:00:00Z",
        "test": {"metric": "f1", "value": 0.637, "low": 0.60, "high": 0.67, "rows": 1409, "inside": True},
        "with_leaks": {"metric": "f1", "value": 0.981, "columns": ["cancel_date"]},
        "questions": [
            "Column 'customerID' repeats for 212 customers: may rows of one customer stand on both sides of a split?"
        ],
        "reasons": {
            "problem": "two values in 'churn': yes, no",
            "metric": "given with --metric",
            "positive": "'yes' is the rarer class",
        },
        "higher_is_better": True,
    }
    return Decision(
        status="chosen",
        task=task,
        chosen={
            "name": "lightgbm-4b4b0af2",
            "family": "lightgbm",
            "params": {"n_estimators": 212, "learning_rate": 0.05, "num_leaves": 31, "reg_lambda": 10.0},
            "steps": [{"name": "class_weight", "params": {"ratio": 2.7}}],
        },
        estimate={
            "metric": "f1",
            "value": 0.639,
            "low": 0.617,
            "high": 0.661,
            "level": 0.95,
            "n": 7043,
            "method": "bootstrap bias-corrected cross-validation",
        },
        measured={
            "latency_p50_ms": 0.22,
            "latency_p95_ms": 0.31,
            "memory_mib": 71.2,
            "size_mib": 1.4,
            "throughput_per_s": 91000.0,
            "fit_s": 1.8,
        },
        limits=(
            LimitCheck(name="latency_p95_ms", limit=5.0, value=0.31, met=True),
            LimitCheck(name="size_mib", limit=19.07, value=1.4, met=True),
            LimitCheck(name="recall", limit=0.8, value=0.807, met=True),
            LimitCheck(name="precision", limit=0.5, value=0.589, met=True),
        ),
        nearest=None,
        baseline={
            "name": "majority-00000000",
            "family": "majority",
            "metric": {"value": 0.419, "low": 0.4, "high": 0.43},
        },
        ties=("lightgbm-4b4b0af2", "catboost-91fe22ab", "xgboost-77c1d0aa"),
        front=("tree-00ff00ff", "logistic-8812aa01", "lightgbm-4b4b0af2", "catboost-91fe22ab"),
        trials=tuple(trials),
        rejected=(
            {"name": "random_forest-0a0a0a0a", "reason": "latency 14.5 ms is above the limit of 5 ms"},
            {"name": "tabpfn", "reason": "package of 120 MiB is above the limit of 19.1 MiB"},
        ),
        findings=(
            Finding(
                code="leak",
                severity="severe",
                column="cancel_date",
                evidence="alone reaches ROC AUC 0.998",
                consequence="dropped (--drop-leaks)",
                effect="F1 0.981 → 0.642",
            ),
            Finding(
                code="imbalance",
                severity="warning",
                evidence="26.5 % of rows are 'yes'",
                consequence="class weights 1 : 2.7",
                effect="+0.031 F1 [0.020, 0.042]",
            ),
            Finding(
                code="missing_markers",
                severity="info",
                column="TotalCharges",
                evidence="11 cells hold ' '",
                consequence="read as missing",
            ),
        ),
        what_would_change=(
            "With 8 ms instead of 5 ms catboost-33ab0012 would be feasible, but not better: +0.004 F1 [-0.006, 0.014].",
            "A recall floor of 0.85 instead of 0.80 would cost 0.04 precision.",
        ),
        spent={"wall_s": 237.0, "budget_s": 300.0, "trials": 96},
        seed=0,
        why=(
            "lightgbm-4b4b0af2 cannot be told apart from catboost-91fe22ab (p = 0.41) and is twice as fast.",
            "Class weights brought +0.031 F1.",
        ),
        machine={"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gib": 7.8, "os": "Linux"},
        versions={"rightfit": "0.1.0", "python": "3.11.9", "lightgbm": "4.7.0", "scikit-learn": "1.9.0"},
        extras=extras,
    )


def regression() -> Decision:
    """House prices, lower is better, no limits."""
    rng = np.random.default_rng(1)
    true = rng.lognormal(12, 0.4, 800)
    rows = [
        trial(n, v, lat, s)
        for n, v, lat, s in [
            ("catboost-1", 27100.0, 0.6, 3.1),
            ("lightgbm-2", 27950.0, 0.3, 1.1),
            ("ridge-3", 31200.0, 0.04, 0.02),
            ("forest-4", 30100.0, 12.0, 64.0),
            ("knn-5", 39000.0, 4.0, 2.0),
            ("mean-6", 79000.0, 0.02, 0.001),
        ]
    ]
    for row in rows:
        middle = row["metric"]["value"]  # type: ignore[index]
        row["metric"] = {"value": middle, "low": middle * 0.95, "high": middle * 1.06}
    return Decision(
        status="chosen",
        task=Task(
            modality="tabular", problem="regression", target=("SalePrice",), metric="rmse", rows=1460, features=79
        ),
        chosen={"name": "catboost-1", "family": "catboost", "params": {"depth": 6}, "steps": []},
        estimate={
            "metric": "rmse",
            "value": 27400.0,
            "low": 25100.0,
            "high": 30250.0,
            "level": 0.95,
            "n": 1460,
            "method": "nested cross-validation",
        },
        measured={"latency_p95_ms": 0.6, "size_mib": 3.1},
        limits=(),
        nearest=None,
        baseline={"name": "mean-6", "family": "mean", "value": 79000.0},
        ties=("catboost-1",),
        front=("catboost-1", "lightgbm-2", "ridge-3"),
        trials=tuple(rows),
        rejected=(),
        findings=(),
        what_would_change=(),
        spent={"wall_s": 61.0, "budget_s": 60.0, "trials": 40},
        seed=7,
        extras={
            "scatter": {"true": true, "predicted": true * rng.normal(1, 0.12, 800)},
            "higher_is_better": False,
            "learning_curve": [
                {"rows": n, "value": v, "low": v - 900, "high": v + 900}
                for n, v in [(200, 36000), (400, 31500), (730, 28300), (1460, 27400)]
            ],
            "overfit": {"train": 12000.0, "valid": 27400.0, "gap": 15400.0},
        },
    )


def infeasible() -> Decision:
    """Nothing is both fast enough and good enough."""
    classes = tuple(f"class {c}" for c in "ABCDEFGH")
    matrix = np.random.default_rng(2).integers(0, 40, (8, 8)) + np.diag([200, 180, 150, 120, 300, 90, 20, 8])
    return Decision(
        status="infeasible",
        task=Task(
            modality="tabular",
            problem="multiclass",
            target=("kind", "sub"),
            metric="macro_f1",
            classes=classes,
            limits=(
                Limit(name="latency_p95_ms", limit=0.1, sense="at_most"),
                Limit(name="macro_f1", limit=0.9, sense="at_least"),
            ),
        ),
        chosen=None,
        estimate={},
        measured={"latency_p95_ms": 0.31},
        limits=(
            LimitCheck(name="latency_p95_ms", limit=0.1, value=0.31, met=False),
            LimitCheck(name="macro_f1", limit=0.9, value=0.913, met=True),
            LimitCheck(name="memory_mib", limit=100, value=None, met=False),
        ),
        nearest={
            "name": "lightgbm-4b4b0af2",
            "family": "lightgbm",
            "binding": ["latency_p95_ms"],
            "would_take": "With 0.31 ms instead of 0.1 ms lightgbm-4b4b0af2 would meet every limit.",
        },
        baseline={"name": "majority-0", "metric": {"value": 0.11}},
        ties=(),
        front=("lightgbm-4b4b0af2", "logistic-1"),
        trials=(
            trial("lightgbm-4b4b0af2", 0.913, 0.31, 1.4),
            trial("logistic-1", 0.871, 0.04, 0.02),
            trial("majority-0", 0.11, 0.01, 0.001),
        ),
        rejected=({"name": "catboost", "reason": "latency 0.6 ms is above the limit of 0.1 ms"},),
        findings=(),
        what_would_change=(),
        spent={"wall_s": 30.0},
        seed=1,
        extras={"confusion": {"labels": classes, "matrix": matrix}},
    )


def minimal(status: Any = "infeasible") -> Decision:
    """Everything optional absent."""
    return Decision(
        status=status,
        task=Task(modality="tabular", problem="binary", target=("y",), metric="f1"),
        chosen={"name": "tree-1", "family": "tree"} if status == "chosen" else None,
        estimate={},
        measured={},
        limits=(),
        nearest=None,
        baseline={},
        ties=(),
        front=(),
        trials=(),
        rejected=(),
        findings=(),
        what_would_change=(),
        spent={},
        seed=0,
    )


CASES: dict[str, Callable[[], Decision]] = {
    "binary": binary,
    "regression": regression,
    "infeasible": infeasible,
    "minimal": minimal,
    "minimal chosen": lambda: minimal("chosen"),
}
VOID = {"meta", "input", "br", "link", "img", "hr"}


class Page(HTMLParser):
    """Holds that tags are nested well, and gathers what the page says and asks for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.mark.parametrize("language", wording.LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_page_is_one_small_offline_file(case: str, language: str) -> None:
    html = render(CASES[case](), language=language)
    page = parse(html)
    assert len(html.encode()) < 1_000_000
    for tag, attrs in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img"}
        assert not {"src", "href", "action", "poster", "srcset"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]
    assert "url(" not in html and "@import" not in html and "http:" not in html and "https:" not in html
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())
    assert not re.search(r"NaN|Infinity|\bNone\b", html)


@pytest.mark.parametrize("language", wording.LANGUAGES)
def test_page_says_what_was_decided_first(language: str) -> None:
    page = parse(render(binary(), language=language))
    order = [attrs.get("id") for tag, attrs in page.tags if tag == "section"]
    assert order[:2] == ["limits", "why"]
    said = page.text
    assert said.index("0.639") < said.index("310")
    for part in (
        "cancel_date",
        "class weights 1 : 2.7",
        "+0.031 F1 [0.020, 0.042]",
        "used 2.1 GiB of 2.0 GiB allowed",
        "fold 2 did not end within 31 s",
        "120 MiB is above the limit",
        "AMD EPYC 7B13",
        "--budget 5m",
        "0.637",
    ):
        assert part in said, part


def test_every_chart_is_there_when_its_figures_are() -> None:
    said = parse(render(binary())).text + parse(render(regression())).text
    for key in (
        "roc",
        "pr",
        "confusion",
        "calibration",
        "importance",
        "learning",
        "overfit",
        "regularisers",
        "phases",
        "pareto",
        "scatter",
        "residuals",
    ):
        assert wording.messages("en")[f"h.{key}"] in said, key


def test_absent_parts_leave_no_empty_sections() -> None:
    page = parse(render(minimal()))
    assert [attrs.get("id") for tag, attrs in page.tags if tag == "section"] == ["reproduce"]
    assert "svg" not in [tag for tag, _ in page.tags] and "script" not in [tag for tag, _ in page.tags]


def test_infeasible_names_the_binding_limit_and_what_it_would_take() -> None:
    said = parse(render(infeasible())).text
    assert "No model meets every limit: latency (p95, one row) cannot be met." in said
    assert "With 0.31 ms instead of 0.1 ms" in said and "Measured on the nearest candidate, lightgbm-4b4b0af2." in said
    assert "not measured" in said and "at most 100 µs" in said and "at least 0.900" in said


def test_regression_ranks_low_errors_first() -> None:
    names = [a["data-name"] for t, a in parse(render(regression())).tags if t == "tr" and "data-name" in a]
    assert names[0] == "catboost-1" and names[-1] == "mean-6"


def test_direction_is_known_from_the_metric() -> None:
    decision = dataclasses.replace(regression(), extras={})
    names = [a["data-name"] for t, a in parse(render(decision)).tags if t == "tr" and "data-name" in a]
    assert names[0] == "catboost-1"


HOSTILE = "<script>alert(1)</script>\"'&</style></title>--><img src=x onerror=alert(2)>"
HOSTILE += "{{ 7*7 }}{0}\n---\n| `x` \ud800\x1b[31m"


def hostile(value: Any) -> Any:
    """The same record with every text replaced, but for those by which the page is steered."""
    if isinstance(value, str):
        return (
            value
            if value in {"ok", "chosen", "f1", "tabular", "binary", "at_most", "at_least", "infeasible"}
            else value + HOSTILE
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: hostile(getattr(value, f.name)) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {k: hostile(v) for k, v in value.items()}
    return type(value)(map(hostile, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("case", ["binary", "infeasible"])
def test_hostile_names_stay_text(case: str, tmp_path: Path) -> None:
    paths = report.write(hostile(CASES[case]()), tmp_path)
    page = parse(paths[0].read_text(encoding="utf-8"))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert len(scripts) <= 2 and "img" not in [tag for tag, _ in page.tags]
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}{0}" in page.text
    card = paths[2].read_text(encoding="utf-8")
    body = card.split("\n---\n", 1)[1]
    assert card.count("\n---\n") == 1 and "\x1b" not in card
    assert "<script" not in "\n".join(line for line in body.splitlines() if not line.startswith("    "))
    assert "\x1b" not in markdown.summary(hostile(CASES[case]()))
    assert read(tmp_path)["task"]["target"][0].startswith(("c", "k"))


def test_the_script_is_the_one_the_policy_allows() -> None:
    import base64
    import hashlib

    html = render(binary())
    script = re.findall(r"<script>(.*?)</script>", html, re.S)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_json_holds_the_stable_fields_and_no_others() -> None:
    data = to_json(binary())
    assert list(data) == [
        "schema",
        "status",
        "task",
        "chosen",
        "estimate",
        "measured",
        "limits",
        "nearest",
        "ties",
        "front",
        "baseline",
        "trials",
        "rejected",
        "findings",
        "what_would_change",
        "spent",
        "machine",
        "versions",
        "seed",
        "why",
        "extras",
    ]
    assert set(data["task"]) == {"modality", "problem", "target", "metric"} and data["task"]["target"] == "churn"
    assert set(data["chosen"]) == {"name", "family", "params", "steps"}
    assert set(data["estimate"]) == {"metric", "value", "low", "high", "level", "n", "method"}
    assert set(data["measured"]) == {
        "latency_p50_ms",
        "latency_p95_ms",
        "memory_mib",
        "size_mib",
        "throughput_per_s",
        "fit_s",
    }
    assert {frozenset(row) for row in data["limits"]} == {frozenset({"name", "limit", "value", "met"})}
    assert {frozenset(row) for row in data["trials"]} == {
        frozenset({"name", "family", "state", "metric", "latency_p95_ms", "memory_mib", "size_mib", "fit_s", "error"})
    }
    assert {frozenset(row["metric"]) for row in data["trials"]} == {frozenset({"value", "low", "high"})}
    assert {frozenset(row) for row in data["findings"]} == {
        frozenset({"code", "severity", "column", "evidence", "consequence"})
    }
    assert data["extras"]["trials"]["tree-00ff00ff"] == {"params": {"a": 1}, "folds_done": 5}
    assert data["extras"]["findings"][1]["effect"] == "+0.031 F1 [0.020, 0.042]"
    assert to_json(infeasible())["task"]["target"] == ["kind", "sub"]


def test_json_is_safe_and_comes_back(tmp_path: Path) -> None:
    odd = {
        "value": np.float64("nan"),
        "n": np.int64(3),
        "level": math.inf,
        "extra": np.array([1.0, np.nan]),
        "on": np.bool_(True),
    }
    decision = dataclasses.replace(minimal(), estimate=odd, machine={"path": Path("a")})
    path = write_json(decision, tmp_path / "run")
    again = read(tmp_path / "run")
    assert again == to_json(decision) == read(path)
    assert again["estimate"] | {"metric": None} == {
        "metric": None,
        "value": None,
        "low": None,
        "high": None,
        "level": None,
        "n": 3,
        "method": None,
        "extra": [1.0, None],
        "on": True,
    }
    assert [p.name for p in path.parent.iterdir()] == ["decision.json"]
    assert read(write_json(again, tmp_path / "copy")) == again


def test_page_from_the_file_is_the_page_from_the_record(tmp_path: Path) -> None:
    paths = report.write(binary(), tmp_path)
    assert [p.name for p in paths] == ["report.html", "decision.json", "model_card.md"]
    assert render(read(tmp_path)) == paths[0].read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(minimal(), tmp_path)
    before = (tmp_path / "decision.json").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(binary(), tmp_path)
    assert (tmp_path / "decision.json").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_bad_input_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must hold decision.json; got folder="):
        read(tmp_path)
    file = tmp_path / "decision.json"
    for content, what in (
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[]", "schema='list'"),
        (b'{"schema": 9}', "schema=9"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=what):
            read(tmp_path)
    with pytest.raises(UsageError, match="must be writable"):
        report.write(minimal(), file / "below")
    with pytest.raises(UnknownName, match="did you mean 'zh_CN'"):
        report.write(minimal(), tmp_path, language="zh_cn")


def test_messages_are_complete_and_used() -> None:
    english, chinese = (wording.messages(one) for one in wording.LANGUAGES)
    assert set(english) == set(chinese)
    for key, text in english.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", chinese[key])), key
        assert text and chinese[key]
    home = Path(wording.__file__).parent
    sources = "".join(p.read_text(encoding="utf-8") for p in [*home.glob("*.py"), *home.glob("templates/*")])
    composed = ("stage.", "n.", "watch.", "state.", "severity.", "tag.", "badge.", "cost.c.", "cost.line.",
                "cost.on demand", "cost.spot", "cost.bought", "cost.run", "cost.retrain", "cost.refit")
    assert [key for key in english if not key.startswith(composed) and f'"{key}"' not in sources] == []


def test_malformed_extras_are_named_not_drawn() -> None:
    bad = {
        "roc": {"fpr": [0, 1], "tpr": [0]},
        "confusion": {"labels": ["a"], "matrix": [[1, 2]]},
        "importance": "x",
        "calibration": {"mean_predicted": [math.nan], "observed": [1]},
        "overfit": {"train": 1},
        "learning_curve": [{"rows": 1}],
    }
    page = parse(render(dataclasses.replace(minimal(), extras=bad)))
    assert "svg" not in [tag for tag, _ in page.tags]
    for name in bad:
        assert name in page.text.split("expected shape:")[1]


def test_points_are_thinned_and_ends_kept() -> None:
    good, _ = extras.usable({"scatter": {"true": np.arange(20_000.0), "predicted": np.arange(20_000.0)}})
    assert len(good["scatter"]["true"]) == 500
    assert (good["scatter"]["true"][0], good["scatter"]["true"][-1]) == (0.0, 19_999.0)


def test_many_classes_are_told_as_confusions() -> None:
    k = 40
    matrix = np.eye(k) * 50
    matrix[3, 7] = 9
    page = parse(
        render(
            dataclasses.replace(
                minimal(), extras={"confusion": {"labels": [f"c{i}" for i in range(k)], "matrix": matrix}}
            )
        )
    )
    assert "Most frequent confusions" in page.text and "c3 → c7" in page.text


def test_many_trials_stay_under_a_megabyte() -> None:
    rows = tuple(trial(f"family-{i:08x}", 0.5 + i / 10_000, 0.1 + i / 100, 1.0) for i in range(2000))
    html = render(dataclasses.replace(minimal(), trials=rows))
    assert len(html.encode()) < 1_000_000 and "1950 more are in decision.json" in html


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(500, 0.60), (1000, 0.70)], "still rises"),
        ([(500, 0.69), (1000, 0.70)], "may help a little"),
        ([(500, 0.70), (1000, 0.70)], "would buy little"),
    ],
)
def test_learning_curve_says_whether_more_data_pays(rows: list[tuple[int, float]], says: str) -> None:
    curve = [{"rows": n, "value": v, "low": v - 0.02, "high": v + 0.02} for n, v in rows]
    assert says in parse(render(dataclasses.replace(minimal(), extras={"learning_curve": curve}))).text


def test_summary_is_short_and_complete() -> None:
    text = markdown.summary(binary(), path="run/report.html")
    lines = text.splitlines()
    assert lines[0].startswith("Use lightgbm: F1 0.639") and lines[-1] == "Report: run/report.html" and len(lines) < 20
    assert "✓ recall" in text and sum(bool(re.match(r"  \d\. ", line)) for line in lines) == 5
    assert "✗ latency" in markdown.summary(infeasible()) and "建议使用" in markdown.summary(binary(), language="zh_CN")
    assert markdown.summary(minimal()) == "No model meets every limit.\n"
    late = "No model but the baseline was finished in time: give more time (--budget)."
    found = dataclasses.replace(binary(), why=("Tried.", "Best.", late))
    plain = dataclasses.replace(found, chosen={**(found.chosen or {}), "name": (found.baseline or {})["name"]})
    assert late in markdown.summary(plain) and late not in markdown.summary(found)


def test_model_card_head_is_yaml_for_the_hub() -> None:
    card = markdown.model_card(binary())
    _, head, body = card.split("---\n", 2)
    fields = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in head.splitlines())}
    assert fields["library_name"] == "rightfit" and fields["pipeline_tag"] == "tabular-classification"
    assert fields["model-index"][0]["results"][0]["metrics"][0] == {
        "type": "f1",
        "name": "f1",
        "value": 0.639,
        "verified": False,
    }
    assert "| lightgbm-4b4b0af2 | 0.642 |" in body.replace("\\_", "_") and 'rf.load("package")' in body
    assert "model-index" not in markdown.model_card(infeasible())


numbers = st.one_of(st.floats(), st.none(), st.integers(-(10**30), 10**30), st.floats(-1, 1))
texts = st.text(max_size=12)


def sound(drawn: str) -> None:
    """Well-formed, and every coordinate a number."""
    if drawn:
        for node in ElementTree.fromstring(re.sub(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]", "", drawn)).iter():
            for name, value in node.attrib.items():
                if name not in {"class", "aria-label", "data-name", "role", "text-anchor"}:
                    assert "nan" not in value and "inf" not in value, (name, value)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, numbers), max_size=8), st.lists(texts, min_size=1, max_size=4), st.booleans()
)
def test_no_chart_draws_what_is_not_a_number(rows: list[tuple[Any, Any, Any]], names: list[str], higher: bool) -> None:
    a, b, c = ([row[i] for row in rows] for i in range(3))
    named = [
        {
            "feature": names[i % len(names)],
            "name": "n",
            "value": v,
            "effect": v,
            "low": lo,
            "high": hi,
            "rows": hi,
            "seconds": v,
        }
        for i, (v, lo, hi) in enumerate(rows)
    ]
    good, _ = extras.usable(
        {
            "roc": {"fpr": a, "tpr": b},
            "calibration": {"mean_predicted": a, "observed": b, "count": c},
            "scatter": {"true": a, "predicted": b},
            "importance": named,
            "learning_curve": named,
            "phases": named,
            "confusion": {
                "labels": names,
                "matrix": [[a[(i + j) % len(a)] if a else 1 for j in range(len(names))] for i in range(len(names))],
            },
        }
    )
    words = dict.fromkeys(("title", "desc", "x", "y", "limit", "floor", "train", "valid"), "word")
    drawn: list[str] = []
    if "roc" in good:
        drawn.append(charts.curve(list(zip(good["roc"]["fpr"], good["roc"]["tpr"], strict=True)), words))
    if "calibration" in good:
        drawn.append(charts.reliability(good["calibration"], words))
    if part := good.get("scatter"):
        drawn += [charts.scatter(part["true"], part["predicted"], words, residuals=one) for one in (False, True)]
        drawn.append(charts.dumbbell(part["true"][0], part["predicted"][0], words))
        drawn.append(charts.gauge(part["true"][0], part["predicted"][0], higher, "t", True))
        points = [
            pareto.Point(name=names[i % len(names)], latency=abs(x), quality=y, size=abs(y), chosen=i == 0)
            for i, (x, y) in enumerate(zip(part["true"], part["predicted"], strict=True))
        ]
        drawn.append(
            pareto.pareto(points, words, higher=higher, max_latency=abs(part["true"][0]), floor=part["predicted"][0])
        )
    if "confusion" in good:
        drawn.append(charts.confusion(good["confusion"]["labels"], good["confusion"]["matrix"], words))
    drawn.append(charts.bars(good.get("importance", []), words, label="feature"))
    drawn.append(charts.learning(good.get("learning_curve", []), words))
    drawn.append(charts.timeline(good.get("phases", []), words))
    scale = svg.axis([v for v in map(extras.number, a) if v is not None], 6, 194)
    drawn += [charts.interval(row, scale, extras.number(row["low"]), "t") for row in named]
    for one in drawn:
        sound(one)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 880), st.floats(0, 420), st.floats(3, 20), st.text("abcdef模型", max_size=20)),
        max_size=40,
    )
)
def test_labels_never_collide(points: list[tuple[float, float, float, str]]) -> None:
    boxes = []
    for spot, (_, _, _, text) in zip(pareto.place(points, (0, 0, 880, 420)), points, strict=True):
        if spot:
            left = spot[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[spot[2]] * svg.text_width(text)
            boxes.append((left, spot[1] - 11, left + svg.text_width(text), spot[1] + 3))
    for i, one in enumerate(boxes):
        assert one[0] >= 0 and one[2] <= 880 and one[1] >= 0 and one[3] <= 420
        for other in boxes[:i]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_a_lonely_label_stands_to_the_right() -> None:
    assert pareto.place([(100, 100, 6, "a")], (0, 0, 400, 400)) == [(111, 104, "start")]
    assert pareto.place([(390, 100, 6, "abcdef")], (0, 0, 400, 400))[0] == (379, 104, "end")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e149, 1e149), min_size=1, max_size=5), st.booleans())
def test_ticks_lie_within_the_axis(values: list[float], log: bool) -> None:
    found = svg.axis([abs(v) for v in values] if log else values, 0, 100, log=log)
    if found is not None:
        ticks = found.ticks()
        assert len(ticks) <= 40 and all(-0.5 <= found.at(v) <= 100.5 for v, _ in ticks)


def test_coordinates_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        svg.element("line", x1=math.nan)


def test_schema_is_named() -> None:
    assert to_json(minimal())["schema"] == SCHEMA == "rightfit.decision/1"
