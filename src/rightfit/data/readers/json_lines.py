"""JSON: one object per line, or one array of objects."""

from __future__ import annotations

import json
from typing import Any

from rightfit.data.readers._files import is_path, locate, opened, suffix
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need


def accepts(source: Any) -> bool:
    """By suffix: .jsonl, .ndjson, .json."""
    return is_path(source) and suffix(source) in (".jsonl", ".ndjson", ".json")


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """One row per object, one column per key; nested values become JSON text. Raises DataError."""
    import pandas as pd

    path = locate(source)
    with opened(path) as file:
        content = file.read()
    encoding = str(need.options.get("encoding") or json.detect_encoding(content))
    try:
        text = content.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"JSON must be text in its encoding; got path={str(path)!r} with encoding={encoding!r}: "
                        f"{error}.") from error
    array = text.lstrip("\ufeff \t\r\n").startswith("[")
    rows = _array(text, str(path)) if array else _lines(text, str(path))
    if not rows:
        raise DataError(f"the data must hold at least one row; got path={str(path)!r} with rows=0.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pd.Series([_flat(row.get(name)) for row in rows], dtype=object) for name in names}
    return pd.DataFrame(columns).infer_objects(), {"path": str(path), "encoding": encoding, "array": array}


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _array(text: str, path: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        raise DataError(f"a JSON array must be well formed; got path={path!r} with {error.msg} in "
                        f"line={error.lineno}.") from error
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"a JSON array must hold objects; got path={path!r} with {type(row).__name__} in "
                            f"row={position}.")
    return list(rows)


def _lines(text: str, path: str) -> list[dict[str, Any]]:
    rows = []
    for position, line in enumerate(text.lstrip("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"every line must be one JSON object; got path={path!r} with {error.msg} in "
                            f"line={position}.") from error
        if not isinstance(row, dict):
            raise DataError(f"every line must be one JSON object; got path={path!r} with {type(row).__name__} in "
                            f"line={position}.")
        rows.append(row)
    return rows


SPEC = Reader(name="json", accepts=accepts, read=read)
