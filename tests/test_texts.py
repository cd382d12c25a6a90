"""The text modality: what it claims, what it reads, and what it says of bad input."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rightfit.data import readers, table
from rightfit.data.assemble import assemble
from rightfit.data.modalities.text import SPEC
from rightfit.data.readers import lines
from rightfit.data.readers._decode import decode
from rightfit.data.table import Table
from rightfit.errors import DataError, UsageError
from rightfit.records import Dataset, Need, Problem, Task
from rightfit.task.understand import understand

DATA = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[1] / "../shared/data")) / "text"
RNG = np.random.default_rng(0)
SUBJECTS = ("the waiter", "my cousin", "this old film", "a second team", "our train", "the little bakery", "some actor")
VERBS = ("arrived late on", "was praised for", "could not explain", "quietly enjoyed", "has ruined", "will remember")
OBJECTS = ("the rainy morning", "its bright colours", "a plate of noodles", "every single joke", "the long way home")


def sentences(n: int = 60) -> list[str]:
    return [f"{RNG.choice(SUBJECTS)} {RNG.choice(VERBS)} {RNG.choice(OBJECTS)}{' again' * (i % 3)}" for i in range(n)]


def frame(n: int = 60, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"text": sentences(n), "label": ["good", "bad"] * (n // 2), **columns})


def opened(source: Any, need: Need) -> tuple[Table, Dataset, Task]:
    modality = table.pick(source, need)
    assert modality.name == "text"
    read = modality.read(source, need)
    task = understand(read.frame, read.schema, read.need or need, modality.name)
    return read, assemble(read.frame, read.schema, task), task


def folder(root: Path, layout: dict[str, int], text: str = "a {} text, number {}") -> Path:
    for name, count in layout.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.txt").write_text(text.format(Path(name).name, i), encoding="utf-8")
    return root


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_table_files(tmp_path: Path, suffix: str) -> None:
    data, path = frame(), tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        data.to_parquet(path)
    elif suffix == "jsonl":
        data.to_json(path, orient="records", lines=True)
    else:
        data.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    read, rows, task = opened(path, Need(target="label"))
    assert [(c.name, c.kind) for c in read.schema.features] == [("text", "text")]
    assert rows.X["text"].tolist() == data["text"].tolist() and task.problem == "binary"


def test_the_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    calls = []
    reader = readers.find(tmp_path / "t.csv")
    assert reader is not None
    spied = type(reader)(name=reader.name, accepts=reader.accepts, last_resort=True,
                         read=lambda source, need: (calls.append(source), reader.read(source, need))[1])
    monkeypatch.setattr(readers, "find", lambda source: spied)
    opened(tmp_path / "t.csv", Need(target="label"))
    assert len(calls) == 1
    need = Need(target="label")
    first = readers.look(tmp_path / "t.csv", need)
    frame(80).to_csv(tmp_path / "t.csv", index=False)
    assert len(first) == 60 and len(readers.read(tmp_path / "t.csv", need)[0]) == 80


def test_what_tables_keep() -> None:
    need = Need(target="label")
    kinds = ["red", "green", "blue"] * 20
    for more in ({"price": np.arange(60) * 1.5}, {"colour": kinds}, {"flag": ["yes", "no"] * 30}):
        assert table.pick(frame(60, **more), need).name == "tabular"
    numbers = pd.DataFrame({"a": RNG.normal(size=60), "label": ["x", "y"] * 30})
    assert table.pick(numbers, need).name == "tabular"
    assert table.pick(pd.DataFrame({"title": ["Mr", "Mrs", "Dr"] * 20, "label": ["x", "y"] * 30}), need).name == \
        "tabular"
    assert table.pick(frame(60, colour=kinds), Need(target="label", drop=("colour",))).name == "text"
    assert table.pick(frame(60, id=range(100, 160)), need).name == "text"


def test_several_text_columns() -> None:
    data = frame(60, title=sentences())
    read, rows, _ = opened(data, Need(target="label"))
    assert [c.name for c in read.schema.features] == ["text", "title"] == list(rows.X)


@pytest.mark.parametrize("column", ["review", "问题", "商品评论", "tweet"])
def test_short_texts_count_where_the_name_says_text(column: str) -> None:
    words = [f"{a}{b}" for a in "快慢好坏热冷" for b in "的了吃喝点些菜饭汤面"]
    data = pd.DataFrame({column: words, "label": ["x", "y"] * 30})
    read, _, _ = opened(data, Need(target="label"))
    assert read.schema.features[0].kind == "text"
    plain = data.rename(columns={column: "code"})
    assert table.pick(plain, Need(target="label")).name == "tabular"
    assert table.pick(plain, Need(target="label", kinds={"code": "text"})).name == "text"


@pytest.mark.parametrize(("problem", "target"), [
    ("multiclass", ["a", "b", "c"] * 20), ("regression", list(np.round(RNG.normal(size=60), 3)))])
def test_other_problems(problem: Problem, target: list[Any]) -> None:
    _, rows, task = opened(pd.DataFrame({"text": sentences(), "y": target}), Need(target="y"))
    assert task.problem == problem and len(rows) == 60 and task.modality == "text"


def test_multilabel_by_columns_delimiter_and_lists(tmp_path: Path) -> None:
    flags = pd.DataFrame({"text": sentences(), "a": [0, 1] * 30, "b": [1, 1, 0] * 20})
    assert opened(flags, Need(target=("a", "b")))[2].problem == "multilabel"
    joined = pd.DataFrame({"text": sentences(), "y": ["sun|rain", "rain", "sun"] * 20})
    assert opened(joined, Need(target="y", delimiter="|"))[2].classes == ("rain", "sun")
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps({"text": t, "y": y}) for t, y in
                              zip(sentences(), [["sun", "rain"], ["rain"], ["sun"]] * 20, strict=True)))
    _, rows, task = opened(path, Need(target="y"))
    assert task.problem == "multilabel" and task.classes == ("rain", "sun") and rows.y[:2].tolist() == [[1, 1], [1, 0]]


def test_asked_for_as_text_the_rest_is_left_out() -> None:
    data = frame(60, price=np.arange(60) * 1.5, colour=["red", "green", "blue"] * 20)
    read = SPEC.read(data, Need(target="label", modality="text"))
    assert [c.name for c in read.schema.features] == ["text"]
    finding = next(f for f in read.findings if f.code == "columns_left_out")
    assert finding.severity == "ask" and finding.data["columns"] == ["price", "colour"]


def test_numbers_asked_for_as_text_get_one_sentence() -> None:
    data = pd.DataFrame({"amount": [str(i * 3) for i in range(60)], "label": ["x", "y"] * 30})
    with pytest.raises(DataError, match=r"column that holds words; got columns=amount \(numbers\)"):
        SPEC.read(data, Need(target="label", modality="text"))
    with pytest.raises(DataError, match="must hold words; got column='amount' with numbers in all 60 rows"):
        SPEC.read(data, Need(target="label", modality="text", kinds={"amount": "text"}))


def test_short_words_are_texts_when_asked_for() -> None:
    data = pd.DataFrame({"name": [f"{a}{b}" for a in "abcdef" for b in "uvwxyz"] * 2, "label": ["x", "y"] * 36})
    assert [c.kind for c in SPEC.read(data, Need(target="label", modality="text")).schema.features] == ["text"]


def test_rows_without_a_target_are_read(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["one", "two"]}).to_csv(tmp_path / "new.csv", index=False)
    read = SPEC.read(tmp_path / "new.csv", Need(modality="text", options={"header": True}))
    assert read.frame["text"].tolist() == ["one", "two"]


def test_empty_texts_stay_as_missing_rows(tmp_path: Path) -> None:
    data = frame()
    data.loc[[3, 4], "text"] = ["", "   "]
    data.to_csv(tmp_path / "t.csv", index=False)
    _, rows, _ = opened(tmp_path / "t.csv", Need(target="label"))
    assert len(rows) == 60 and rows.X["text"].isna().sum() == 2


def test_texts_without_a_word_get_one_sentence() -> None:
    with pytest.raises(DataError, match=r"texts must hold words; got 30 rows with column=text empty in all"):
        opened(pd.DataFrame({"text": ["", " ", None] * 10, "label": ["a", "b"] * 15}), Need(target="label",
                                                                                            modality="text"))


def test_a_text_of_a_megabyte(tmp_path: Path) -> None:
    data = frame()
    data.loc[0, "text"] = "long story " * 100_000
    data.to_csv(tmp_path / "t.csv", index=False)
    assert len(opened(tmp_path / "t.csv", Need(target="label"))[1].X["text"][0]) == 1_100_000


def test_bad_bytes_do_not_turn_a_chinese_file_into_nonsense(tmp_path: Path) -> None:
    rows = [f"{i % 2},这家店的菜第{i}次也很好吃".encode() for i in range(40)]
    rows[7] += b"\xff"
    (tmp_path / "t.csv").write_bytes(b"label,review\n" + b"\n".join(rows) + b"\n")
    read, data, _ = opened(tmp_path / "t.csv", Need(target="label"))
    assert data.X["review"][0] == "这家店的菜第0次也很好吃" and data.X["review"][7].endswith("吃\ufffd")
    assert [f.code for f in read.findings if f.code == "text_encoding"] == ["text_encoding"]


def test_legacy_encodings() -> None:
    assert decode("déjà vu à l'école".encode("latin-1"), Path("x"))[0] == "déjà vu à l'école"
    assert decode("餐厅的味道非常好".encode("gb18030"), Path("x"))[0] == "餐厅的味道非常好"
    with pytest.raises(DataError, match="binary"):
        decode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x01\x00" * 20, Path("x.txt"))


def test_labels_in_two_spellings_are_asked_about() -> None:
    data = frame()
    data["label"] = ["Spam", "ham", "spam ", "ham"] * 15
    finding = next(f for f in SPEC.read(data, Need(target="label")).findings if f.code == "label_spelling")
    assert finding.severity == "ask" and set(finding.data["labels"][0]) == {"Spam", "spam "}
    assert not [f for f in SPEC.read(frame(), Need(target="label")).findings if f.code == "label_spelling"]


# --- lines ------------------------------------------------------------------------------------------------------------

def test_label_blank_text(tmp_path: Path) -> None:
    path = tmp_path / "mood.train"
    path.write_bytes("".join(f"{i % 2} {t} né\n" for i, t in enumerate(sentences())).encode("latin-1"))
    read, rows, task = opened(path, Need(target=0))
    assert read.origin["lines"] == "labelled" and read.origin["encoding"] in ("latin-1", "cp1252")
    assert task.target == ("label",) and rows.X["text"].str.endswith("né").all() and set(rows.y) == {0, 1}


def test_fasttext_marks_make_several_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("".join(f"__label__a {'__label__b ' * (i % 2)}{t}\n" if i % 3 else f"__label__c {t}\n"
                            for i, t in enumerate(sentences())))
    _, rows, task = opened(path, Need(target="label"))
    assert task.problem == "multilabel" and task.classes == ("a", "b", "c") and rows.y.sum() == 60 + 20


def test_labels_in_a_file_beside(tmp_path: Path) -> None:
    texts = sentences()
    texts[5] = ""
    (tmp_path / "train_text.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (tmp_path / "train_labels.txt").write_text("0\n1\n" * 30)
    _, rows, _ = opened(tmp_path / "train_text.txt", Need(target="label"))
    assert rows.y.tolist() == [0, 1] * 30 and rows.X["text"][5] is None
    (tmp_path / "other.txt").write_text("0\n1\n")
    with pytest.raises(DataError, match=r"as many as the texts; got 2 in .* for 60 texts"):
        SPEC.read(tmp_path / "train_text.txt", Need(target="label", options={"labels": str(tmp_path / "other.txt")}))


def test_plain_lines_without_labels(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("where is my card, please?\n\nthe film was fun\n")
    found = readers.read(tmp_path / "new.txt", Need(options={"header": True}))[0]
    assert found["text"].tolist() == ["where is my card, please?", "", "the film was fun"]


@pytest.mark.parametrize("content", [
    "a,b\n1,2\n3,4\n", "a\tb c d\n1\tx y z\n", "1 2 3\n4 5 6\n7 8 9\n", "A11 no 3 old\nA12 yes 4 new\nA14 no 5 old\n",
    "label,text\nx,\"one, two three\"\ny,\"four, five, six\"\n"])
def test_tables_are_not_taken_for_lines(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.txt").write_text(content)
    assert not lines.accepts(tmp_path / "t.txt")


def test_first_words_are_no_labels() -> None:
    starts = ("What", "How", "Who", "Where", "Is", "Can", "Name", "In", "Which", "When")
    some = [f"{starts[min(int(RNG.exponential(2)), 9)] if i % 12 else f'Word{i}'} {t} ?" for i, t in
            enumerate(sentences(200))]
    assert lines.form("\n".join(some)) == "plain"
    with pytest.raises(UsageError, match="lines must be one of plain, labelled"):
        lines.read(__file__, Need(options={"lines": "odd"}))


# --- folders ----------------------------------------------------------------------------------------------------------

def test_class_folders(tmp_path: Path) -> None:
    read, rows, task = opened(folder(tmp_path, {"pos": 5, "neg": 6, "odd": 0}), Need())
    assert task.classes == ("neg", "pos") and task.target == ("label",) and len(rows) == 11
    assert read.origin["paths"][0] == "neg/0.txt" and rows.X["text"][0] == "a neg text, number 0"
    assert [f.column for f in read.findings if f.code == "empty_class"] == ["odd"] and read.held is None


def test_folders_with_parts(tmp_path: Path) -> None:
    layout = {f"{part}/{name}": n for part, n in (("train", 4), ("val", 2), ("test", 3)) for name in ("1", "2", "3")}
    read, rows, task = opened(folder(tmp_path, {**layout, "train/unsup": 2}), Need())
    assert len(rows) == 18 and read.held is not None and len(read.held) == 9 and task.problem == "multiclass"
    assert task.classes == ("1", "2", "3") and len(assemble(read.held, read.schema, task)) == 9
    assert {"validation_joined", "unlabelled_items"} <= {f.code for f in read.findings}


def test_a_zip_of_class_folders_reads_as_the_folder(tmp_path: Path) -> None:
    place = folder(tmp_path / "f", {"train/a": 4, "train/b": 3, "test/a": 2, "test/b": 2})
    packed = shutil.make_archive(str(tmp_path / "f"), "zip", place)
    (plain, _, _), (read, data, task) = opened(str(place), Need()), opened(packed, Need())
    assert read.frame.equals(plain.frame) and len(read.held) == 4 and task.classes == ("a", "b")
    assert read.origin["format"] == "zip" and read.origin["paths"] == plain.origin["paths"] and len(data) == 7


def test_a_zip_with_a_path_outside_gets_one_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for name in ("a/1.txt", "b/2.txt", "../c/3.txt"):
            archive.writestr(name, "some words")
    with pytest.raises(DataError, match=r"must stay inside it; got name='\.\./c/3\.txt'"):
        opened(str(tmp_path / "z.zip"), Need())
    assert not (tmp_path.parent / "c").exists()


def test_a_folder_without_classes_is_for_prediction(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    assert readers.find(tmp_path) is None
    read = SPEC.read(tmp_path, Need(modality="text"))
    assert read.frame["text"].tolist() == ["first", "second"] and read.origin["paths"] == ["a.md", "b.txt"]


def test_unreadable_files_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    root = folder(tmp_path, {"pos": 5, "neg": 5})
    (root / "pos" / "fake.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\1\2\3" * 50)
    (root / "pos" / "empty.txt").write_bytes(b"")
    (root / "neg" / "old.txt").write_bytes("déjà vu".encode("latin-1"))
    read, rows, _ = opened(root, Need())
    finding = next(f for f in read.findings if f.code == "unreadable_items")
    assert len(rows) == 12 and finding.data["count"] == 1 and finding.data["items"][0]["item"].endswith("fake.txt")
    assert "déjà vu" in set(rows.X["text"]) and rows.X["text"].isna().sum() == 1


def test_one_class_or_no_text_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two or more class folders"):
        SPEC.read(folder(tmp_path / "one", {"pos": 3}), Need())
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="must hold files that end in"):
        SPEC.read(tmp_path / "none", Need())
    assert not SPEC.claims(tmp_path / "none", Need())


def test_a_table_of_fractions_is_told_at_a_glance(monkeypatch):
    frame = pd.DataFrame({"review": ["good stuff here"] * 30, "price": ["1.5"] * 30, "y": ["a", "b"] * 15})
    monkeypatch.setattr("rightfit.data.modalities._text_columns.kinds", None)  # the long look is not taken
    assert not SPEC.claims(frame, Need(target="y"))


# --- the conformance suite's rows -------------------------------------------------------------------------------------

@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel", "regression"])
def test_example(problem: Problem) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    assert SPEC.example is not None
    data, task = SPEC.example(problem, 300, 1)
    again, _ = SPEC.example(problem, 300, 1)
    assert data.X.equals(again.X) and (data.y == again.y).all() and task.problem == problem and task.modality == "text"
    matrix = TfidfVectorizer().fit_transform(data.X["text"])
    model = Ridge(0.3) if problem == "regression" else OneVsRestClassifier(LogisticRegression(C=30))
    guess = model.fit(matrix[:200], data.y[:200]).predict(matrix[200:])
    error = np.mean((guess - data.y[200:]) ** 2) / np.var(data.y[200:]) if problem == "regression" else \
        np.mean(guess != data.y[200:])
    assert error < 0.15
    noisy, _ = SPEC.example(problem, 300, 1, True)
    assert sorted(map(str, noisy.y)) == sorted(map(str, data.y)) and (noisy.y != data.y).any()


def test_hard_rows_fit_the_schema() -> None:
    from rightfit.data.schema import coerce

    assert SPEC.example is not None and SPEC.hard is not None
    data, _ = SPEC.example("binary", 20)
    for name, rows in SPEC.hard().items():
        assert list(rows) == ["text"] and len(coerce(rows, data.schema)) == len(rows), name


@pytest.mark.shared
@pytest.mark.parametrize(("name", "target", "rows", "classes"), [
    ("banking77/train.csv.gz", "category", 10003, 77), ("sst2/stsa.binary.train.gz", 0, 6920, 2),
    ("trec/TREC.train.gz", 0, 5452, 50), ("sms_spam.csv.gz", "type", 5574, 2), ("ag_news_test.csv.gz", 0, 7600, 4),
    ("tweeteval/emotion/train_text.txt.gz", "label", 3257, 4), ("zh/THUCNews_dev.txt.gz", 1, 10000, 10),
    ("zh/waimai_10k.csv.gz", "label", 11987, 2)])
def test_real_texts(name: str, target: Any, rows: int, classes: int) -> None:
    if not DATA.exists():
        pytest.skip("the real texts are not here")
    _, data, task = opened(DATA / name, Need(target=target))
    assert len(data) == rows and len(task.classes) == classes
