"""Zips of files: what they hold, and safe extraction into the run's cache."""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from rightfit.data._media import scratch
from rightfit.errors import DataError

MAX_FILES = 2_000_000
MAX_RATIO = 200
FREE_BYTES = 256 * 2**20  # that a zip may always unpack to, whatever the ratio
_DRIVE = re.compile(r"[A-Za-z]:")


def is_zip(source: object) -> bool:
    """Whether a source is the path of a zip."""
    if not isinstance(source, str | Path) or "://" in str(source):
        return False
    path = Path(source).expanduser()
    return path.suffix.lower() == ".zip" and path.is_file() and zipfile.is_zipfile(path)


def names(path: Path) -> list[str]:
    """The names of its files, none where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        return []


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """The archive; what goes wrong within is a DataError. `what` it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"a zip must be whole, plain and undamaged; got path={str(path)!r}: "
                        f"{' '.join(str(error).split())[:120]}.") from error
    except OSError as error:
        raise DataError(f"a zip must be readable and its {what} must find room on the disk; got path={str(path)!r}: "
                        f"{error}.") from error


def members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Members by name. Raises DataError for names outside, twice, links, passwords, too many or too much."""
    infos = archive.infolist()
    total, packed = sum(info.file_size for info in infos), max(path.stat().st_size, 1)
    if len(infos) > MAX_FILES:
        raise DataError(f"a zip must hold at most {MAX_FILES:,} files; got {len(infos):,} in path={str(path)!r}.")
    if total > FREE_BYTES and total > MAX_RATIO * packed:
        raise DataError(f"a zip must unpack to at most {MAX_RATIO} times its size; got path={str(path)!r} with "
                        f"{packed:,} bytes for {total:,}, which looks like a bomb, do not open it.")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or "\\" in name or "\0" in name or _DRIVE.match(name) or {"", ".", ".."} & set(parts):
            raise DataError(f"names in a zip must stay inside it; got name={name[:80]!r} in path={str(path)!r}, "
                            "do not unpack it.")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"a zip must hold ordinary files only; got name={name[:80]!r} in path={str(path)!r}, "
                            "which is a link or a device, pack the files themselves.")
        if info.flag_bits & 1:
            raise DataError(f"a zip must need no password; got name={name[:80]!r} in path={str(path)!r} encrypted, "
                            "pack it without.")
        if name in found:
            raise DataError(f"names in a zip must differ; got name={name[:80]!r} twice in path={str(path)!r}, "
                            "rename one.")
        found[name] = info
    return found


def unpacked(archive: zipfile.ZipFile, wanted: Mapping[str, zipfile.ZipInfo], path: Path, most: int,
             what: str) -> Path:
    """The folder that holds these members under their names, each of at most `most` bytes.

    A larger one is a hole of most + 1 bytes, a damaged one is empty: the reader reports them one by one.
    """
    at = path.stat()
    key = f"{path.resolve()}:{at.st_size}:{at.st_mtime_ns}:{at.st_ino}:{what}"

    def fill(folder: Path) -> None:
        need, free = sum(min(info.file_size, most) for info in wanted.values()), shutil.disk_usage(folder).free
        if need > 0.9 * free:
            raise DataError(f"a zip's {what} must find room on the disk; got {need:,} bytes for {free:,} free in "
                            f"{str(folder.parent)!r}, make room.")
        for name, info in wanted.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if info.file_size > most:
                with target.open("wb") as into:
                    into.truncate(most + 1)
                continue
            try:
                with archive.open(info) as source, target.open("wb") as into:
                    shutil.copyfileobj(source, into, 1 << 20)
            except (zipfile.BadZipFile, zlib.error, EOFError):
                target.write_bytes(b"")

    return scratch.filled(key, fill)
