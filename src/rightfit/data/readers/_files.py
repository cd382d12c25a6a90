"""Finding and opening files, compressed or not."""

from __future__ import annotations

import difflib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from rightfit.errors import DataError

COMPRESSED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
_MAGIC = ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zst"),
          (b"PK\x03\x04", "zip"))


def is_path(source: Any) -> bool:
    """Whether a source names a file: a Path, or a text that is not a URL."""
    return isinstance(source, Path) or (isinstance(source, str) and "://" not in source)


def suffix(source: Any) -> str:
    """The lower-case suffix of a path below its compression: .csv for data.CSV.gz.

    >>> suffix("data.CSV.gz")
    '.csv'
    """
    path = Path(source)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def locate(source: Any) -> Path:
    """An existing, non-empty file. Raises DataError: the closest name in the folder is offered."""
    path = Path(source).expanduser()
    if path.is_dir():
        raise DataError(f"the data must be a file; got path={str(path)!r}, which is a directory, name a file in it.")
    if not path.is_file():
        folder = path.parent
        near = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        close = difflib.get_close_matches(path.name, near, n=1, cutoff=0.5)
        hint = f", did you mean {str(folder / close[0])!r}?" if close else "."
        raise DataError(f"the data file must exist; got path={str(path)!r}{hint}")
    if path.stat().st_size == 0:
        raise DataError(f"the data file must not be empty; got path={str(path)!r} with 0 bytes.")
    return path


def compression(path: Path) -> str:
    """How a file is compressed, from its first bytes: gz, bz2, xz, zst, zip or an empty text."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of a file as bytes, decompressed. Raises DataError when the compressed data are damaged."""
    kind = compression(path)
    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path)) as member:
                yield cast(BinaryIO, member)
        else:
            with _plain(path, kind) as file:
                yield file
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError) or not kind:
            raise DataError(f"the data file must be readable; got path={str(path)!r}: {error}.") from error
        raise DataError(f"a compressed file must be whole and undamaged; got path={str(path)!r}: {error}.") from error


def _plain(path: Path, kind: str) -> BinaryIO:
    import bz2
    import gzip

    if kind == "zst":
        import pyarrow as pa

        return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))
    openers: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open, "": Path.open}
    return cast(BinaryIO, openers[kind](path, "rb"))


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    held = [i.filename for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX")]
    if len(held) != 1:
        raise DataError(f"a zip archive must hold one file; got path={str(path)!r} with {len(held)}, unpack "
                        f"it first.")
    return held[0]


def head(path: Path, size: int) -> bytes:
    """The first bytes of a file, decompressed."""
    with opened(path) as file:
        return file.read(size)
