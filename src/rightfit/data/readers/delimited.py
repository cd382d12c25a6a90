"""Delimited text: CSV, TSV and their relatives, whatever the separator, quoting, encoding and compression."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from rightfit.data.readers import _text
from rightfit.data.readers._files import is_path, locate, opened
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need

_BLOCK = 8 << 20


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """All cells as text, and the encoding, separator and header that were found. Raises DataError."""
    path = locate(source)
    seen = _text.scan(path)
    encoding = _text.encoding(seen, path, need.options.get("encoding"))
    damaged = encoding.startswith("utf-8") and not seen.utf8
    text = _text.sample(seen, encoding, path, "replace" if damaged and not need.options.get("encoding") else "strict")
    if damaged and need.options.get("encoding"):
        raise DataError(f"the file must be text in one encoding; got path={str(path)!r} with encoding={encoding!r} and "
                        "bytes that do not belong to it, name the right one.")
    form = _text.dialect(text, path, need.options)
    if seen.whole and form.header and len(_text.records(text, form.separator, form.quoted, form.padded)) < 2:
        raise DataError(f"the data must hold at least one row below the header; got path={str(path)!r} with rows=0.")
    try:
        table = _by_csv(path, encoding, form, "replace" if damaged else "strict") if damaged or \
            _unusual(text, form) else _by_arrow(path, encoding, form)
    except UnicodeError as error:
        raise DataError(f"the file must be text in one encoding; got path={str(path)!r} with encoding={encoding!r} "
                        f"({error}), "
                        "name the right one.") from error
    frame = table.to_pandas(strings_to_categorical=False)
    origin = {"path": str(path), "encoding": encoding, "separator": form.separator, "header": form.header}
    if damaged:
        origin["replaced"] = sum(int(frame[name].str.count("\ufffd").sum()) for name in frame.columns)
    if form.separator in ";\t":
        frame = _decimal_points(frame)
    return frame, origin


def _unusual(text: str, form: _text.Dialect) -> bool:
    return form.separator == " " or (form.padded and '"' in text)


def _names(form: _text.Dialect) -> list[str]:
    from rightfit.data.readers import names

    return names(list(form.columns))


def _by_arrow(path: Path, encoding: str, form: _text.Dialect) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    names = _names(form)
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "error"

    as_read = [f"c{i}" for i in range(len(names))]
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    parse = arrow_csv.ParseOptions(delimiter=form.separator, quote_char='"' if form.quoted else False,
                                   invalid_row_handler=note, newlines_in_values=form.quoted)
    types = dict.fromkeys(as_read, pa.large_string())
    convert = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    # the header may hold line breaks, so it is read as a row and then cut off
    load = arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=as_read, encoding=codec)
    with opened(path) as file:
        for block in (_BLOCK, 2 * _text.LONGEST_LINE):
            load.block_size = block
            try:
                table = arrow_csv.read_csv(file, load, parse, convert)
                break
            except pa.ArrowInvalid as error:
                if bad:
                    raise ragged(path, bad[0].number, len(names), bad[0].actual_columns) from error
                if "straddl" not in str(error) or block > _BLOCK:
                    raise DataError(f"the file must be delimited text; got path={str(path)!r}: "
                                    f"{' '.join(str(error).split())}.") from error
                file.seek(0)
    if form.header:
        table = table.slice(1)
    if form.padded:
        table = pa.table([pc.ascii_ltrim_whitespace(column) for column in table.columns], as_read)
    return table.rename_columns(names)


def _by_csv(path: Path, encoding: str, form: _text.Dialect, errors: str = "strict") -> Any:
    import pyarrow as pa

    names = _names(form)
    columns: list[list[str]] = [[] for _ in names]
    with opened(path) as file, \
            io.TextIOWrapper(file, encoding=encoding, newline="", errors=errors) as text:
        lines = (" ".join(line.split()) + "\n" for line in text) if form.separator == " " else iter(text)
        rows = csv.reader(lines, delimiter=form.separator, skipinitialspace=form.padded,
                          quoting=csv.QUOTE_MINIMAL if form.quoted else csv.QUOTE_NONE)
        skip = form.header
        for row in rows:
            if not row:
                continue
            if skip:
                skip = False
                continue
            if len(row) != len(names):
                raise ragged(path, rows.line_num, len(names), len(row))
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    return pa.table([pa.array(column, pa.large_string()) for column in columns], names)


def ragged(path: Path, line: int | None, expected: int, found: int) -> DataError:
    """The error for a row that has too many or too few cells."""
    return DataError(f"every row must have as many cells as the first; got path={str(path)!r} with {found} cells "
                     f"instead of "
                     f"{expected} in line={line}, correct that line or its quotes.")


def _decimal_points(frame: Any) -> Any:
    for name in frame.columns:
        filled = frame[name][frame[name].str.strip() != ""]
        commas = len(filled) and filled.str.contains(",", regex=False).any()
        if commas and filled.str.fullmatch(r"\s*[-+]?\d+(,\d+)?\s*").all():
            frame[name] = frame[name].str.replace(",", ".", regex=False)
    return frame


def accepts(source: Any) -> bool:
    """Any path but a folder's: what no other reader knows is tried as text."""
    return is_path(source) and not Path(source).expanduser().is_dir()


SPEC = Reader(name="delimited", accepts=accepts, read=read, last_resort=True)
