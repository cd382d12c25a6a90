"""Tables with a column of images: which column it is, and what its values refer to."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit.data._media import decode
from rightfit.data._media.reference import reference
from rightfit.data.modalities._image_files import is_image
from rightfit.data.readers._files import head, is_path, suffix
from rightfit.data.values import Unreadable
from rightfit.errors import RightfitError, UsageError
from rightfit.records import Need

LOOK = 20
_HEAD = 1 << 16
_BASE64 = ("/9j/4", "iVBORw0KGgo", "R0lGODlh", "R0lGODdh", "UklGR")


def like_image(value: Any) -> bool:
    """Whether a value looks like an image: a path with an image's suffix, a data URI, encoded bytes, a picture.

    >>> like_image("a/b.jpg"), like_image("https://x.org/b.jpg"), like_image(3)
    (True, False, False)
    """
    if isinstance(value, str):
        inline = value.startswith("data:image/") or (value.startswith(_BASE64) and len(value) > 64)
        return inline or (len(value) < 4096 and "\n" not in value and is_image(value.strip()) and "://" not in value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bool(decode.sniff(bytes(value[:16])))
    if isinstance(value, Mapping):
        return like_image(value.get("bytes")) or like_image(value.get("path"))
    if isinstance(value, os.PathLike):
        return is_image(str(value))
    return type(value).__module__.startswith("PIL.")


def image_column(columns: Mapping[str, Sequence[Any]], need: Need) -> str | None:
    """The column that holds images: the one named so by the need, else the first of which four in five look so."""
    named = [name for name, kind in need.kinds.items() if kind == "image"]
    if len(named) > 1:
        raise UsageError(f"only one column must hold images; got {', '.join(named)} of kind image, name one.")
    if named and named[0] in columns:
        return named[0]
    for name, values in columns.items():
        known = [value for value in values if not _absent(value)][:LOOK]
        if known and sum(map(like_image, known)) >= 0.8 * len(known):
            return name
    return None


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or value == ""


def claims(source: Any, need: Need) -> bool:
    """Whether a table's first rows hold images: inline ones, or paths of which one is there.

    Paths of which none is there are believed when the table has nothing else to learn from.
    """
    import pyarrow as pa

    try:
        columns = peek(source)
        name = image_column(columns, need) if columns else None
    except (OSError, ValueError, csv.Error, pa.ArrowException, RightfitError):
        return False  # its own reader says what is wrong with it
    if name is None:
        return False
    if need.kinds.get(name) == "image":
        return True
    values = [v for v in columns[name] if not _absent(v)]
    paths = [str(v) for v in values if isinstance(v, str | os.PathLike) and is_image(str(v).strip())]
    if len(paths) < len(values) or located(paths, base(source)) is not None:
        return True
    asked = need.target if isinstance(need.target, tuple) else () if need.target is None else (need.target,)
    return len(columns) <= 1 + max(len(asked), 1)


def base(source: Any) -> Path:
    """The folder that relative paths in a table start from: the table's own, or the current one."""
    return Path(source).expanduser().absolute().parent if is_path(source) else Path.cwd()


def located(paths: Sequence[str], folder: Path) -> Path | None:
    """The folder below which one of the first paths is there: `folder`, or one of those in it; None if none."""
    some = [_plain(path) for path in paths[:LOOK]]
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())[:100]] if folder.is_dir() else [folder]
    return next((place for place in places if any((place / path).is_file() for path in some)), None)


def _plain(path: str) -> str:
    text = os.path.expanduser(path.strip())
    return text.replace("\\", "/") if os.sep == "/" and "/" not in text else text


def references(values: Iterable[Any], folder: Path) -> tuple[list[str | None], dict[int, str]]:
    """A reference for each value, relative paths starting from `folder`; {position: reason} of those that are none."""
    found: list[str | None] = []
    wrong: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            if isinstance(value, str | os.PathLike) and is_image(str(value).strip()) and "://" not in str(value):
                value = str(folder / _plain(str(value)))
            found.append(reference(value))
        except (Unreadable, ValueError):
            found.append(None)
            wrong[position] = "a URL, which is not fetched" if "://" in str(value)[:12] else "no reference to an image"
    return found, wrong


# --- a first look -----------------------------------------------------------------------------------------------------

def peek(source: Any) -> dict[str, list[Any]]:
    """The first values of every column, without reading the whole; empty for what is not looked into."""
    if not is_path(source):
        return _in_memory(source)
    path = Path(source).expanduser()
    if not path.is_file() or not path.stat().st_size:
        return {}
    kind = suffix(source)
    if kind in (".parquet", ".pq"):
        return _parquet(path)
    if kind in (".jsonl", ".ndjson"):
        return _lines(head(path, _HEAD))
    return _delimited(head(path, _HEAD)) if kind in (".csv", ".tsv", ".txt", ".tab") else {}


def _in_memory(source: Any) -> dict[str, list[Any]]:
    if isinstance(source, Mapping):
        return {str(name): list(values[:LOOK]) for name, values in source.items() if hasattr(values, "__getitem__")}
    if isinstance(source, list):
        return _records(source[:LOOK]) if source and isinstance(source[0], Mapping) else {}
    kind = f"{type(source).__module__.split('.')[0]}.{type(source).__name__}"
    if kind == "pandas.DataFrame":
        return {str(name): source.iloc[:LOOK, position].tolist() for position, name in enumerate(source.columns)}
    if kind in ("polars.DataFrame", "polars.LazyFrame"):
        few = source.head(LOOK)
        return dict((few.collect() if kind.endswith("LazyFrame") else few).to_dict(as_series=False))
    return dict(source.slice(0, LOOK).to_pydict()) if kind in ("pyarrow.Table", "pyarrow.RecordBatch") else {}


def _records(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(str(name) for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _parquet(path: Path) -> dict[str, list[Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return next((dict(batch.to_pydict()) for batch in file.iter_batches(batch_size=LOOK)), {})


def _lines(content: bytes) -> dict[str, list[Any]]:
    """JSON lines; a last line that is cut off does not count, unless it is the only one."""
    records = []
    for line in content.decode("utf-8-sig", errors="replace").splitlines()[:LOOK]:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return _records([record for record in records if isinstance(record, Mapping)])


def _delimited(content: bytes) -> dict[str, list[Any]]:
    lines = content.decode("utf-8-sig", errors="replace").splitlines()[:LOOK + 1]
    if len(lines) < 2:
        return {}
    separator = max(",;\t|", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=separator))
    return {name.strip(): [row[i].strip() for row in rows[1:] if i < len(row)] for i, name in enumerate(rows[0])}


def nested(path: Path, name: str) -> list[Any] | None:
    """The values of a Parquet column of structs {bytes, path}, as the datasets library writes images; else None."""
    import pyarrow as pa
    from pyarrow import parquet

    field = parquet.read_schema(path).field(name)
    if not pa.types.is_struct(field.type):
        return None
    return list(parquet.read_table(path, columns=[name], partitioning=None).column(0).to_pylist())
