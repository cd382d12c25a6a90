"""Parquet files."""

from __future__ import annotations

from typing import Any

from rightfit.data.readers._arrow import columns
from rightfit.data.readers._files import is_path, locate, suffix
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need


def accepts(source: Any) -> bool:
    """By suffix: .parquet, .pq."""
    return is_path(source) and suffix(source) in (".parquet", ".pq")


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """The table with its own types. Raises DataError."""
    import pyarrow as pa
    from pyarrow import parquet

    path = locate(source)
    try:
        frame = columns(parquet.read_table(str(path), partitioning=None))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"a Parquet file must be undamaged; got path={str(path)!r}: {reason}.") from error
    return frame, {"path": str(path)}


SPEC = Reader(name="parquet", accepts=accepts, read=read)
