"""Excel workbooks (.xlsx, .xlsm): the first sheet that holds cells, or the one named by the option `sheet`."""

from __future__ import annotations

from typing import Any

from rightfit.data.readers._files import is_path, locate, suffix
from rightfit.data.readers._text import has_header
from rightfit.data.table import Reader
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.records import Need


def accepts(source: Any) -> bool:
    """By suffix: .xlsx, .xlsm."""
    return is_path(source) and suffix(source) in (".xlsx", ".xlsm")


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """The cells with their own types, formulas as their stored results. Raises DataError, UsageError, UnknownName."""
    import pandas as pd

    path = locate(source)
    try:
        import openpyxl
    except ImportError:
        raise UsageError("an .xlsx file needs the package openpyxl; got none, install rightfit[files].") from None
    import zipfile

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"an Excel file must be an undamaged workbook; got path={str(path)!r}: {error}.") from error
    try:
        wanted = need.options.get("sheet")
        if wanted is not None and wanted not in book.sheetnames:
            raise UnknownName("sheet", str(wanted), book.sheetnames)
        sheet, rows = wanted, []
        for sheet in [wanted] if wanted is not None else book.sheetnames:
            rows = [row for row in book[sheet].iter_rows(values_only=True) if any(cell is not None for cell in row)]
            if rows:
                break
    finally:
        book.close()
    if not rows:
        raise DataError(f"the workbook must hold cells; got path={str(path)!r} with empty sheets only.")
    width = max(i + 1 for row in rows for i, cell in enumerate(row) if cell is not None)
    rows = [(*row[:width], *(None,) * (width - len(row))) for row in rows]
    header = need.options.get("header")
    if header is None:
        header = has_header([["" if cell is None else str(cell) for cell in row] for row in rows[:500]])
    names = list(rows[0]) if header else [str(i) for i in range(width)]
    body = rows[1:] if header else rows
    columns = [pd.Series([row[i] for row in body], dtype=object).infer_objects() for i in range(width)]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    frame.columns = names
    return frame, {"path": str(path), "sheet": sheet, "header": bool(header)}


SPEC = Reader(name="xlsx", accepts=accepts, read=read)
