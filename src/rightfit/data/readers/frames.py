"""Frames in memory: pandas, Polars, Arrow, a mapping of columns, a list of records, a two-dimensional array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.data.readers._arrow import columns
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need


def _library(source: Any) -> str:
    return f"{type(source).__module__.split('.')[0]}.{type(source).__name__}"


def accepts(source: Any) -> bool:
    """By type, without importing the library that made it."""
    known = ("pandas.DataFrame", "polars.DataFrame", "polars.LazyFrame", "pyarrow.Table", "pyarrow.RecordBatch")
    if _library(source) in known or isinstance(source, Mapping):
        return True
    if isinstance(source, list):
        return bool(source) and isinstance(source[0], Mapping)
    return _library(source) == "numpy.ndarray" and source.ndim == 2


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """A pandas frame that shares no column with the source. Raises DataError when columns differ in length."""
    import pandas as pd

    library = _library(source)
    try:
        if library == "polars.LazyFrame":
            source = source.collect()
        if library.startswith("polars."):
            frame = columns(source.to_arrow())
        elif library.startswith("pyarrow."):
            import pyarrow as pa

            batch = library == "pyarrow.RecordBatch"
            frame = columns(pa.Table.from_batches([source]) if batch else source)
        else:
            frame = pd.DataFrame(source).copy()
    except (ValueError, TypeError) as error:
        raise DataError(f"columns must have one length; got source={type(source).__name__}: {error}.") from error
    if isinstance(frame.columns, pd.MultiIndex):
        frame.columns = pd.Index(["_".join(map(str, name)) for name in frame.columns])
    return frame, {"path": "", "library": library.split(".")[0]}


SPEC = Reader(name="frame", accepts=accepts, read=read)
