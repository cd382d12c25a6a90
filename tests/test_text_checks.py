"""The audit of texts: each trap is found where it was planted, and clean texts stay quiet."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rightfit.data.audit import audit
from rightfit.data.checks._shingles import near
from rightfit.records import Column, Dataset, Finding, Schema, Task
from rightfit.registry import plugins

N = 600
FILL = [a + b for a in ("ba", "ke", "lo", "mi", "nu", "po", "ra", "se", "ti", "vu") for b in
        ("den", "lar", "mo", "nix", "per", "quo", "rit", "sal", "tam", "ver", "wik", "zon")]
GOOD, BAD = FILL[:20], FILL[20:40]


def dataset(texts: Any, y: Any = None, **columns: Any) -> Dataset:
    frame = pd.DataFrame({"text": pd.Series(list(texts), dtype=object),
                          **{name: pd.Series(list(values), dtype=object) for name, values in columns.items()}})
    return Dataset(X=frame, y=y, schema=Schema(columns=tuple(Column(name=str(n), kind="text") for n in frame)))


def task_for(y: Any, classes: int = 0) -> Task:
    whole = y is None or np.issubdtype(np.asarray(y).dtype, np.integer)
    k = classes or (int(np.max(y)) + 1 if whole and y is not None else 2)
    problem: Any = "regression" if not whole else "multilabel" if np.ndim(y) == 2 else "binary" if k == 2 else \
        "multiclass"
    names = ("neg", "pos") if k == 2 else tuple(f"c{i}" for i in range(k))
    return Task(modality="text", problem=problem, target=("y",), metric="accuracy", rows=N,
                classes=() if problem == "regression" else names)


def sentences(n: int, seed: int = 0, y: Any = None, length: int = 12) -> list[str]:
    """Different texts of random words; with y, three of them from a list for each class."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        words = list(rng.choice(FILL[40:], int(rng.integers(length - 4, length + 5))))
        if y is not None:
            words[:3] = rng.choice(GOOD if y[i] else BAD, 3)
        found.append(" ".join(rng.permutation(words)))
    return found


def clean(n: int = N, seed: int = 0) -> tuple[list[str], Any]:
    y = (np.random.default_rng(seed + 99).random(n) < 0.5).astype(np.int64)
    return sentences(n, seed, y), y


def found(code: str, data: Dataset, task: Task, **more: Any) -> Finding | None:
    result = audit(data, task, **more)
    assert not result.of("check_failed"), result.of("check_failed")
    return next(iter(result.of(code)), None)


def sure(code: str, data: Dataset, task: Task, **more: Any) -> Finding:
    finding = found(code, data, task, **more)
    assert finding is not None, code
    assert finding.evidence and finding.consequence and finding.data
    return finding


def test_clean_texts_stay_quiet() -> None:
    texts, y = clean()
    other, y2 = clean(300, 5)
    codes = [f.code for f in audit(dataset(texts, y), task_for(y), test=dataset(other, y2)).findings]
    assert codes == ["text_length"]
    values = np.random.default_rng(1).normal(size=N)
    assert [f.code for f in audit(dataset(texts, values), task_for(values)).findings] == ["text_length"]


def test_every_check_is_a_plugin_for_texts_and_survives_little() -> None:
    names = {name for name, check in plugins("rightfit.data.checks").items() if "text" in check.modalities}
    assert names == {f"text_{n}" for n in ("empty", "duplicates", "near_duplicates", "length", "boilerplate",
                                           "language", "label_errors", "layout", "leakage", "shift")}
    for texts in (["a"], [None, None], ["😀"] * 3, ["x", "y"] * 60, [None] * 200, ["\x00", "\ud800 lone"] * 60):
        y = np.arange(len(texts)) % 2
        data = dataset(texts, y)
        for test in (None, data):
            assert not audit(data, task_for(y, 2), test=test).of("check_failed")
        assert not audit(dataclasses.replace(data, y=None), task_for(y, 2)).of("check_failed")


def test_empty_and_wordless_texts() -> None:
    texts, y = clean()
    texts[3], texts[10], texts[20], texts[30] = None, " \n", ":-)", "\uff1f\uff01"  # type: ignore[call-overload]
    data = dataset(texts, y)
    assert sure("empty_texts", data, task_for(y)).data["rows"] == [3, 10]
    assert sure("wordless_texts", data, task_for(y)).data["rows"] == [20, 30]
    assert found("duplicates", data, task_for(y)) is None


def test_duplicates_conflicts_and_copies_in_the_test() -> None:
    texts, y = clean()
    texts[500:530] = texts[:30]
    y[500:530] = y[:30]
    texts[31] = texts[30].upper() + "  "
    y[31] = 1 - y[30]
    data = dataset(texts, y)
    finding = sure("duplicates", data, task_for(y))
    assert finding.severity == "warning" and finding.data["rows"] == 31 and [30, 31] in finding.data["pairs"]
    assert "1 of them in other case" in finding.evidence
    assert sure("conflicting_labels", data, task_for(y)).data["pairs"] == [[30, 31]]
    other, y2 = clean(200, 5)
    other[:10] = texts[100:110]
    across = sure("duplicates_across_test", data, task_for(y), test=dataset(other, y2))
    assert across.data["rows"] == 10 and across.data["pairs"][0] == [100, 0]


def test_near_duplicates_within_and_across() -> None:
    texts, y = clean()
    for i in range(15):
        texts[400 + i] = texts[i] + " indeed"
    other, y2 = clean(200, 5)
    other[0] = texts[50] + "!"
    data = dataset(texts, y)
    finding = sure("near_duplicates", data, task_for(y), test=dataset(other, y2))
    assert finding.data["rows"] == 30 and {tuple(p[:2]) for p in finding.data["pairs"]} == {(i, 400 + i)
                                                                                           for i in range(15)}
    assert sure("near_duplicates_across_test", data, task_for(y), test=dataset(other, y2)).data["pairs"][0][:2] == \
        [50, 0]
    assert found("duplicates", data, task_for(y)) is None


def test_near_copies_agree_with_the_exact_jaccard() -> None:
    rng = np.random.default_rng(3)
    texts = sentences(150, 8, length=18)
    for i in range(50):
        words = texts[i].split()
        words[int(rng.integers(len(words)))] = str(rng.choice(FILL))
        texts.append(" ".join(words))
    texts = list(dict.fromkeys(texts))

    def runs(text: str) -> set[str]:
        return {text[k:k + 5] for k in range(len(text) - 4)}

    sets = [runs(t) for t in texts]
    exact = {(a, b) for a in range(len(sets)) for b in range(a + 1, len(sets))
             if len(sets[a] & sets[b]) / len(sets[a] | sets[b]) >= 0.8}
    assert len(exact) > 20 and {(a, b) for a, b, _ in near(texts, 0.8)} == exact
    assert near([], 0.8) == near(["a"], 0.8) == [] and near(["a", "b"], 0.8) == []


def test_lengths() -> None:
    texts = ["word " * 10] * 95 + ["word " * 100] * 5
    data = sure("text_length", dataset(texts), task_for(None)).data
    assert data["p50_words"] == 10 and data["p99_words"] == 100 and data["max_chars"] == 500
    assert 10 <= data["p95_words"] <= 100
    assert sure("text_length", dataset(["味道非常好"] * 30), task_for(None)).data["p95_words"] == 5
    texts = [*clean()[0][:200], "again and " * 10_000]
    assert sure("giant_texts", dataset(texts), task_for(None)).data["rows"] == [200]


@pytest.mark.parametrize("where", ["begin", "end"])
def test_boilerplate(where: str) -> None:
    texts, y = clean()
    said = "this message was sent from my new phone"
    texts[::4] = [f"{said} {t}" if where == "begin" else f"{t} {said}" for t in texts[::4]]
    finding = sure("boilerplate", dataset(texts, y), task_for(y))
    assert finding.data["text"] == said and finding.data["where"] == where and finding.data["texts"] == 150


def test_boilerplate_in_chinese_and_repeated_mentions() -> None:
    rng = np.random.default_rng(0)
    texts = [f"感谢您选择我们的酒店入住{''.join(rng.permutation(list('甲乙丙丁戊己庚辛')))}" for _ in range(80)]
    assert sure("boilerplate", dataset(texts), task_for(None)).data["text"] == "感谢您选择我们的酒店入住"
    mentions = [f"@user @user @user @user @user @user {t}" for t in clean()[0]]
    assert found("boilerplate", dataset(mentions), task_for(None)) is None


def test_scripts() -> None:
    texts, _ = clean()
    chinese = ["这家餐厅的味道非常好" + c for c in "甲乙丙丁戊己庚辛壬癸"]
    mixed = sure("mixed_scripts", dataset(texts[:90] + chinese), task_for(None))
    assert mixed.data["scripts"] == {"latin": 0.9, "han": 0.1} and "n-grams" in mixed.consequence
    assert sure("unspaced_script", dataset(chinese), task_for(None)).data["unspaced"] == 1.0
    assert sure("script", dataset(["очень хороший ресторан"]), task_for(None)).data["scripts"] == {"cyrillic": 1.0}
    assert sure("emoji", dataset([f"{t} 😀" for t in texts[:20]] + texts[20:100]), task_for(None)).data["emoji"] == 0.2


@pytest.mark.parametrize("sign", ["label: {}", "[{}]", "#{}:"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_sign_that_tells_the_label(sign: str, place: str) -> None:
    texts, y = clean()
    signs = [sign.format(("neg", "pos")[k]) for k in y]
    told = [f"{s} {t}" if place == "first" else f"{t} {s}" for s, t in zip(signs, texts, strict=True)]
    finding = sure("text_leak", dataset(told, y), task_for(y))
    assert finding.severity == "severe" and set(finding.data["signs"]) == {"neg", "pos"}


@pytest.mark.parametrize(("sign", "lay"), [
    ("two blanks in a row", lambda t: t.replace(" ", "  ", 1)), ("a line break", lambda t: t.replace(" ", " \n", 1)),
    ("a blank at the end", lambda t: t + " "), ("an invisible sign", lambda t: "\u200b" + t)])
def test_a_layout_that_tells_the_label(sign: str, lay: Any) -> None:
    texts, y = clean()
    rng = np.random.default_rng(0)
    told = [lay(t) if rng.random() < (0.9 if k else 0.2) else t for t, k in zip(texts, y, strict=True)]
    finding = sure("text_layout", dataset(told, y), task_for(y))
    assert set(finding.data["signs"]) == {"pos"} and finding.data["signs"]["pos"]["sign"] == sign
    even = [lay(t) if rng.random() < 0.5 else t for t in texts]
    assert found("text_layout", dataset(even, y), task_for(y)) is None
    values = np.random.default_rng(1).normal(size=N)
    assert found("text_layout", dataset(told, values), task_for(values)) is None


def test_no_family_of_bags_reads_a_layout() -> None:
    from rightfit.models.text._grams import normalise

    assert normalise("  so  it\tgoes \n on\u00a0\u3000now ") == "so it goes on now" == normalise("so it goes on now")


def test_a_sign_without_blanks_and_a_sign_of_one_class() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    told = [("甲类" if k else "乙类") + "".join(rng.choice(list("天地玄黄宇宙洪荒日月盈昃"), 12)) for k in y]
    assert sure("text_leak", dataset(told, y), task_for(y)).severity == "severe"
    three = rng.integers(0, 3, N)
    texts = [f"{t} zzz" if k == 2 else t for t, k in zip(clean()[0], three, strict=True)]
    assert sure("text_leak", dataset(texts, three), task_for(three)).severity == "ask"
    flags = np.column_stack([three == 2, three == 0]).astype(np.int8)
    assert sure("text_leak", dataset(texts, flags), task_for(flags, 2)).severity == "ask"


def test_the_target_written_in_the_text() -> None:
    values = np.round(np.random.default_rng(1).normal(size=N) * 100, 1)
    texts = [f"{t} for {v} in all" for t, v in zip(clean()[0], values, strict=True)]
    assert sure("text_leak", dataset(texts, values), task_for(values)).severity == "severe"


def test_label_errors_are_ranked_first() -> None:
    texts, y = clean()
    wrong = np.arange(0, N, 40)
    y = y.copy()
    y[wrong] = 1 - y[wrong]
    finding = sure("label_errors", dataset(texts, y), task_for(y))
    rows = finding.data["rows"]
    assert len(set(rows) & set(wrong.tolist())) >= 13 and len(set(rows) - set(wrong.tolist())) <= 2
    assert finding.data["items"][0]["instead"] in ("neg", "pos")
    values = y + 0.05 * np.random.default_rng(0).normal(size=N)
    values = np.where(np.isin(np.arange(N), wrong), 1 - values, values)
    values[7] = 60.0
    assert sure("label_errors", dataset(texts, values), task_for(values)).data["rows"][0] == 7


def test_shift() -> None:
    texts, y = clean()
    other, y2 = clean(300, 5)
    moved = [f"{t} sequel" if i % 2 else t for i, t in enumerate(other)]
    finding = sure("train_test_shift", dataset(texts, y), task_for(y), test=dataset(moved, y2))
    assert finding.severity == "warning" and finding.data["auc"] > 0.6 and "sequel" in finding.data["test_words"]


def test_several_columns_are_read_together() -> None:
    texts, y = clean()
    data = dataset(texts, y, title=[None] * 300 + ["same title"] * 300)
    assert found("duplicates", data, task_for(y)) is None and found("empty_texts", data, task_for(y)) is None
    assert sure("text_length", data, task_for(y)).data["texts"] == N


def test_imbalance_and_rare_classes_run_for_texts() -> None:
    texts, _ = clean()
    y = np.r_[np.zeros(590), np.ones(7), np.full(3, 2)].astype(np.int64)
    codes = {f.code for f in audit(dataset(texts, y), task_for(y)).findings}
    assert {"class_imbalance", "rare_classes", "few_examples"} <= codes


def test_nothing_is_changed_and_the_same_is_found_again() -> None:
    texts, y = clean()
    data = dataset(texts, y)
    before = data.X.copy()
    first = audit(data, task_for(y))
    pd.testing.assert_frame_equal(data.X, before)
    assert audit(data, task_for(y)) == first


def test_many_and_long_texts_take_seconds() -> None:
    y = (np.arange(8_000) % 2).astype(np.int64)
    texts = sentences(8_000, 3, y, 40)
    texts[:5] = [t * 2_000 for t in texts[:5]]
    started = time.process_time()
    audit(dataset(texts, y), task_for(y))
    assert time.process_time() - started < 30
