"""ARFF (Weka) and KEEL .dat: a real header with declared kinds, then comma-separated rows, dense or sparse."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from rightfit.data.readers import _text
from rightfit.data.readers._files import head, is_path, locate, opened, suffix
from rightfit.data.readers.delimited import ragged
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need

_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)\s*(.*)""", re.IGNORECASE)
_KINDS = {"numeric": "numeric", "real": "numeric", "integer": "numeric", "date": "datetime"}


def accepts(source: Any) -> bool:
    """By suffix .arff, or by content: a file named .dat or .txt that starts with @relation."""
    if not is_path(source):
        return False
    if suffix(source) == ".arff":
        return True
    path = Path(source).expanduser()
    if suffix(source) not in (".dat", ".txt", ".data") or not path.is_file() or not path.stat().st_size:
        return False
    lines = (line.strip() for line in head(path, 4096).splitlines())
    first = next((line for line in lines if line and not line.startswith(b"%")), b"")
    return first.lower().startswith(b"@relation")


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """All cells as text, with the declared kinds in origin["kinds"]. Raises DataError."""
    import pandas as pd

    path = locate(source)
    encoding = _text.encoding(_text.scan(path), path, need.options.get("encoding"))
    with opened(path) as file:
        lines = file.read().decode(encoding, errors="strict").removeprefix("\ufeff").splitlines()
    names: list[str] = []
    kinds: dict[str, str] = {}
    defaults: list[str] = []
    start = None
    for position, line in enumerate(lines):
        word = line.split(None, 1)[0].lower() if line.strip() else ""
        if word == "@data":
            start = position + 1
            break
        if word == "@attribute":
            name, kind, default = _attribute(line.strip(), path, position + 1)
            names.append(name)
            defaults.append(default)
            if kind:
                kinds[name] = kind
    if start is None or not names:
        raise DataError(f"an ARFF file must declare @attribute lines and then @data; got path={str(path)!r} with "
                        f"{len(names)} attributes and {'no' if start is None else 'a'} @data line.")
    rows = _rows(lines, start, defaults, path)
    frame = pd.DataFrame({i: pd.Series(column, dtype="str") for i, column in enumerate(zip(*rows, strict=True))})
    if not len(frame):
        raise DataError(f"the data must hold at least one row after @data; got path={str(path)!r} with rows=0.")
    frame.columns = pd.Index(names)
    return frame, {"path": str(path), "encoding": encoding, "separator": ",", "header": True, "kinds": kinds}


def _attribute(line: str, path: Path, position: int) -> tuple[str, str, str]:
    found = _ATTRIBUTE.fullmatch(line)
    if not found:
        raise DataError(f"an @attribute line must hold a name and a kind; got path={str(path)!r} with {line[:60]!r} in "
                        f"line={position}.")
    name, declared = found[1], found[2].strip()
    if name[0] in "'\"":
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    if declared.startswith("{"):
        first = next(csv.reader([declared.strip("{} ")], quotechar="'", skipinitialspace=True), [""])
        return name, "categorical", first[0].strip()
    word = re.split(r"[\s\[]", declared, maxsplit=1)[0].lower()
    return name, _KINDS.get(word, ""), "0" if _KINDS.get(word) == "numeric" else ""


def _rows(lines: list[str], start: int, defaults: list[str], path: Path) -> list[list[str]]:
    rows = []
    for position in range(start, len(lines)):
        line = lines[position].strip()
        if not line or line.startswith("%"):
            continue
        if line.startswith("{"):
            row = list(defaults)
            for pair in _cells(line.strip("{} ")):
                place, _, value = pair.partition(" ")
                if not place.isdigit() or int(place) >= len(row):
                    raise DataError(f"a sparse ARFF row must hold pairs of position and value; got "
                                    f"path={str(path)!r} with "
                                    f"{pair[:40]!r} in line={position + 1}.")
                row[int(place)] = value.strip().strip("'\"")
        else:
            row = _cells(line)
        if len(row) != len(defaults):
            raise ragged(path, position + 1, len(defaults), len(row))
        rows.append(row)
    return rows


def _cells(line: str) -> list[str]:
    if "'" not in line and '"' not in line:
        return [cell.strip() for cell in line.split("," if "," in line else "\t")]
    quote = '"' if '"' in line and "'" not in line else "'"
    cells = next(csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True, doublequote=False))
    return [cell.strip() for cell in cells]


SPEC = Reader(name="arff", accepts=accepts, read=read)
