"""Sentences of decisions in Chinese: every sentence of the code is known, and values pass through."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rightfit
from rightfit.report.sentences import patterns, say

CODE = Path(rightfit.__file__).parent
CHINESE = re.compile(r"[\u4e00-\u9fff]")
BRACES = re.compile(r"\{(\w+)\}")
FOLDERS = ("data", "task", "tuning", "question.py", "decide.py")


def templates(node: ast.AST) -> list[str]:
    """The texts that an expression may give, with 7 in place of its values; none where it is not spelled out."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.IfExp):
        return templates(node.body) + templates(node.orelse)
    if isinstance(node, ast.JoinedStr):
        said = [""]
        for value in node.values:
            parts = ["7"]
            if isinstance(value, ast.Constant):
                parts = [value.value]
            elif isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.IfExp):
                parts = templates(value.value) or ["7"]
            said = [one + part for one in said for part in parts]
        return said
    return []


def findings() -> Iterator[tuple[str, str]]:
    """(file, sentence) of every finding that the code spells out."""
    homes = [CODE / name for name in FOLDERS]
    for path in sorted(path for home in homes for path in ([home] if home.is_file() else home.rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                for keyword in node.keywords:
                    if keyword.arg in ("evidence", "consequence"):
                        yield from ((path.name, text) for text in templates(keyword.value) if " " in text)


# Put together from fragments that the code names elsewhere; said as they come out.
COMPOSED = {
    "few_rows.py": "97 rows of class yes for 60 features, 1.6 a feature.",
    "image_leakage.py": "The size in pixels alone tells cat from the others (ROC AUC 0.990): 100% of cat are 32 x 32.",
    "redundant.py": "Each value goes with exactly one value of pclass.",
    "text_boilerplate.py": "30 of 100 different texts begin with 'Dear'.",
    "text_duplicates.py": "3 of 90 texts repeat an earlier one, 2 of them in other case or blanks (3.3%), such as 'a'.",
    "image.py": "",  # the file's name and the reason of whoever could not read it
}


def test_every_finding_is_known_in_chinese():
    found = list(findings())
    unknown = [(name, text) for name, text in found if not CHINESE.search(say(text, "zh_CN"))]
    assert len(found) > 120
    assert {name for name, _ in unknown} == set(COMPOSED), unknown
    assert len(unknown) == len(COMPOSED)
    assert all(CHINESE.search(say(text, "zh_CN")) for text in COMPOSED.values() if text)


def test_translations_use_the_values_of_their_sentence():
    text = (resources.files("rightfit.report") / "messages" / "sentences.zh_CN.json").read_text(encoding="utf-8")
    said = json.loads(text)
    assert len(said) == len(json.loads(text, object_pairs_hook=list))
    for sentence, translation in said.items():
        assert set(BRACES.findall(sentence)) == set(BRACES.findall(translation)), sentence
        assert len(BRACES.findall(sentence)) == len(set(BRACES.findall(sentence))), sentence
        assert CHINESE.search(translation)


@pytest.mark.parametrize(("text", "expected"), [
    ("' ' 11 times in 7043 values", "7043 个值中 ' ' 出现 11 次"),
    ("All 3 values are {0} {v}.", "全部 3 个值都是 {0} {v}。"),
    ("f1=0.5 against a limit of 0.7", "f1=0.5\uff0c限制为 0.7"),
    ("No sentence of ours.", "No sentence of ours."),
    ("Treated as missing. Left out.", "按缺失处理。已去掉。"),
])
def test_said(text, expected):
    assert say(text, "zh_CN") == expected


def test_a_sentence_inside_a_sentence_is_said_too():
    said = say("Yes is the positive class of churn: it is the usual name of what is looked for, beside No.", "zh_CN")
    assert said == "Yes 是 churn 的正类\uff1a它是通常要寻找的那一类的名称\uff0c另一类为 No。"


@given(st.text(max_size=200))
def test_any_text_is_said_and_english_stays(text):
    assert say(text, "en") == text
    assert isinstance(say(text, "zh_CN"), str)


def test_a_long_text_is_left_alone():
    text = "All " + "7" * 5000 + " values are 7."
    assert say(text, "zh_CN") == text


def test_there_is_one_pattern_for_each_sentence():
    assert len({pattern.pattern for pattern, _ in patterns("zh_CN")}) == len(patterns("zh_CN"))
