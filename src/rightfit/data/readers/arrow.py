"""Arrow IPC files, streams and Feather."""

from __future__ import annotations

from typing import Any

from rightfit.data.readers._arrow import columns
from rightfit.data.readers._files import is_path, locate, opened, suffix
from rightfit.data.table import Reader
from rightfit.errors import DataError
from rightfit.records import Need


def accepts(source: Any) -> bool:
    """By suffix: .arrow, .feather, .ipc, .arrows."""
    return is_path(source) and suffix(source) in (".arrow", ".feather", ".ipc", ".arrows")


def read(source: Any, need: Need) -> tuple[Any, dict[str, Any]]:
    """The table with its own types. Raises DataError."""
    import pyarrow as pa
    from pyarrow import feather, ipc

    path = locate(source)
    try:
        with opened(path) as file:
            content = pa.BufferReader(file.read())
        start = content.read(6)
        content.seek(0)
        if start.startswith(b"FEA1") or start == b"ARROW1":
            frame = columns(feather.read_table(content))
        else:
            frame = columns(ipc.open_stream(content).read_all())
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"an Arrow file must be undamaged; got path={str(path)!r}: {reason}.") from error
    return frame, {"path": str(path)}


SPEC = Reader(name="arrow", accepts=accepts, read=read)
