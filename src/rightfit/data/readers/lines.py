"""Files of one text per line: plain, with the label before the first blank, or with the labels in a file beside."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from rightfit.data.readers import _text
from rightfit.data.readers._decode import decode
from rightfit.data.readers._files import head, is_path, locate, opened, suffix
from rightfit.data.table import Reader
from rightfit.errors import DataError, UsageError
from rightfit.records import Need

SUFFIXES = frozenset({".txt", ".text", ".train", ".dev", ".val", ".valid", ".test"})
FORMS = ("plain", "labelled")
MARK = "__label__"
_LOOK = 1 << 17
_HAN = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_SHAPES = (re.compile(r"-?\d+"), re.compile(MARK + r"\S+"), re.compile(r"\w+[:_]\S+"), re.compile(r"[A-Z][A-Z0-9_-]*"))


def accepts(source: Any) -> bool:
    """By suffix and by content: lines of words that no separator cuts into as many cells each."""
    if not is_path(source) or suffix(source) not in SUFFIXES:
        return False
    path = Path(source).expanduser()
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        text, _, _ = decode(head(path, _LOOK), path)
    except DataError:
        return False  # the general reader says what is wrong
    return bool(form(text))


def form(text: str) -> str:
    """What lines of text are: labelled, plain, or empty when they look like a table.

    >>> form("0 a dull film\\n1 what a wonderful story\\n0 slow\\n1 a joy to watch\\n")
    'labelled'
    >>> form("a dull film\\nwhat a wonderful story\\n"), form("a,b\\n1,2\\n"), form("0.5 1.5 2\\n1 3 4\\n")
    ('plain', '', '')
    """
    lines = [line for line in text.split("\n") if line.strip()][:2000]
    if not lines:
        return ""
    wordy = sum(_words(line) >= 3 and sum(c.isalpha() for c in line) > 0.4 * len(line.strip()) for line in lines)
    if wordy < 0.6 * len(lines) or _tabular(text, lines):
        return ""
    return "labelled" if _labelled(lines) else "plain"


def _words(line: str) -> float:
    return len(line.split()) + len(_HAN.findall(line)) / 2


def _tabular(text: str, lines: list[str]) -> bool:
    for separator in (",", "\t", ";", "|"):
        rows = _text.records("\n".join(lines) + "\n", separator, separator != "\t", False)
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width >= 2 and count >= 0.9 * len(rows) and len(rows) > 1:
            return True
    widths = Counter(len(line.split()) for line in lines)
    return len(lines) > 2 and widths.most_common(1)[0][1] >= 0.95 * len(lines) and max(widths) > 1


def _labelled(lines: list[str]) -> bool:
    """First words like labels: numbers, marks or capitals that repeat, or a few words of which none is rare (first
    words of sentences have a long tail).
    """
    counts = Counter(line.split(maxsplit=1)[0] for line in lines)
    n, distinct = len(lines), len(counts)
    if distinct > max(n / 4, min(n / 2, 10)):
        return False
    if any(all(shape.fullmatch(word) for word in counts) for shape in _SHAPES):
        return n >= 4 and distinct > 1
    return n >= 50 and 2 <= distinct <= 20 and min(counts.values()) >= max(3, 0.005 * n)


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """Columns text and, where there are labels, label. `need.options`: lines ("plain" or "labelled") overrules what is
    detected, labels names the file of labels, encoding. Raises DataError, UsageError.
    """
    path = locate(source)
    with opened(path) as file:
        content = file.read()
    text, encoding, bad = decode(content, path, need.options.get("encoding"))
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    beside = _beside(path, need)
    what = need.options.get("lines") or (beside is None and form(text[:_LOOK])) or "plain"
    if what not in FORMS:
        raise UsageError(f"lines must be one of {', '.join(FORMS)}; got lines={what!r}.")
    origin: dict[str, Any] = {"path": str(path), "encoding": encoding, "lines": what, "replaced": bad, "header": False}
    if what == "labelled":
        return _cut(lines, origin)
    name = "text"
    if beside is None and len(lines) > 1 and lines[0].strip().casefold() in ("text", "sentence", "文本"):
        name, lines = lines[0].strip(), lines[1:]
    columns = {name: lines}
    if beside is not None:
        with opened(beside) as file:
            labels = decode(file.read(), beside)[0].removesuffix("\n").split("\n")
        if len(labels) != len(lines):
            raise DataError(f"the labels must be as many as the texts; got {len(labels)} in {str(beside)!r} for "
                            f"{len(lines)} texts in {str(path)!r}.")
        columns["label"] = [label.removesuffix("\r") for label in labels]
        origin["labels"] = str(beside)
    return _frame(columns), origin


def _cut(lines: list[str], origin: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    labels, texts = [], []
    for line in (line for line in lines if line.strip()):
        words = line.split(maxsplit=1)
        found, rest = [words[0].removeprefix(MARK)], words[1] if len(words) > 1 else ""
        while words[0].startswith(MARK) and rest.startswith(MARK):
            mark, _, rest = rest.partition(" ")
            found.append(mark.removeprefix(MARK))
        labels.append(";".join(found))
        texts.append(rest)
    if any(";" in label for label in labels):
        origin["delimiter"] = ";"
    return _frame({"label": labels, "text": texts}), origin


def _frame(columns: dict[str, list[str]]) -> Any:
    import pandas as pd
    import pyarrow as pa

    return pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()}).to_pandas(
        types_mapper={pa.large_string(): pd.StringDtype(na_value=float("nan"))}.get)


def _beside(path: Path, need: Need) -> Path | None:
    """The file of labels: named, or of the same name with _labels for _text."""
    given = need.options.get("labels")
    if given:
        return locate(given)
    if "_text" not in path.name:
        return None
    head_, _, tail = path.name.rpartition("_text")
    names = (head_ + "_labels" + tail, head_ + "_labels" + tail.removesuffix(path.suffix), head_ + "_labels" + tail
             + ".gz")
    return next((path.with_name(n) for n in names if n != path.name and path.with_name(n).is_file()), None)


SPEC = Reader(name="lines", accepts=accepts, read=read)
