"""Files below a folder or inside a zip: what is there, what counts as an image, safe extraction."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from rightfit.data._media import decode, scratch
from rightfit.errors import DataError
from rightfit.records import frozen

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"})
MAX_FILES = 2_000_000
MAX_RATIO = 200
FREE_BYTES = 256 * 2**20  # that a zip may always unpack to, whatever the ratio
_HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "$recycle.bin"})
_DRIVE = re.compile(r"[A-Za-z]:")


@frozen
class Listing:
    """Images and folders by their names relative to the source, with "/" between the parts.

    `files`: (name, path on disk). `folders`: every one, empty ones too. `hidden`, `others`: what was ignored.
    """

    files: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    hidden: tuple[str, ...] = field(default=())
    others: tuple[str, ...] = field(default=())


def is_hidden(name: str) -> bool:
    """Whether a system or an editor put it there.

    >>> is_hidden("a/.DS_Store"), is_hidden("__MACOSX/b.jpg"), is_hidden("a/b.jpg")
    (True, True, False)
    """
    return any(part.startswith(".") or part.lower() in _HIDDEN for part in name.split("/"))


def is_image(name: str) -> bool:
    """By suffix.

    >>> is_image("a/B.JPG"), is_image("notes.txt")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in SUFFIXES


def below(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file and folder below, sorted, links followed, each real folder once: (relative name, entry)."""
    seen: set[tuple[int, int]] = set()

    def walk(inside: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        at = os.stat(folder / inside)
        if (at.st_dev, at.st_ino) in seen:
            return
        seen.add((at.st_dev, at.st_ino))
        try:
            with os.scandir(folder / inside) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"a folder of images must be readable; got path={str(folder / inside)!r}: "
                            f"{error.strerror}.") from error
        for entry in found:
            name = f"{inside}{entry.name}"
            yield name, entry
            if entry.is_dir() and not is_hidden(entry.name):
                yield from walk(name + "/")

    yield from walk("")


def of_folder(folder: Path) -> Listing:
    """What lies below a folder. Raises DataError where it cannot be read."""
    files, folders, hidden, others = list[tuple[str, str]](), list[str](), list[str](), list[str]()
    root = os.path.abspath(folder)
    for name, entry in below(folder):
        if is_hidden(name):
            hidden.append(name)
        elif entry.is_dir():
            folders.append(name)
        elif is_image(name) or ("." not in entry.name and entry.is_file() and _sniffed(entry.path)):
            files.append((name, os.path.join(root, name)))
        else:
            others.append(name)
        if len(files) > MAX_FILES:
            raise DataError(f"a folder must hold at most {MAX_FILES:,} images; got more in {str(folder)!r}, split it.")
    return Listing(files=tuple(files), folders=tuple(folders), hidden=tuple(hidden), others=tuple(others))


def _sniffed(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return bool(decode.sniff(file.read(16)))
    except OSError:
        return False


# --- zip --------------------------------------------------------------------------------------------------------------

def of_zip(path: Path) -> Listing:
    """What a zip holds, its images unpacked into the run's cache. Raises DataError for what is damaged or unsafe."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            folder = _unpacked(archive, members, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"a zip must be whole, plain and undamaged; got path={str(path)!r}: "
                        f"{' '.join(str(error).split())[:120]}.") from error
    except OSError as error:
        raise DataError(f"a zip must be readable and its images must find room on the disk; got path={str(path)!r}: "
                        f"{error}.") from error
    names = [name for name in members if not name.endswith("/")]
    folders = {"/".join(parts[:n]) for parts in (name.split("/") for name in members) for n in range(1, len(parts))}
    shown = [name for name in names if not is_hidden(name)]
    return Listing(files=tuple((n, str(folder / n)) for n in sorted(shown) if is_image(n)),
                   folders=tuple(sorted(f for f in folders if not is_hidden(f))),
                   hidden=tuple(n for n in names if is_hidden(n)),
                   others=tuple(n for n in shown if not is_image(n)))


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
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


def _unpacked(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> Path:
    """The folder that holds the zip's images under their names."""
    wanted = [info for name, info in members.items()
              if not name.endswith("/") and is_image(name) and not is_hidden(name)]
    at = path.stat()
    key = f"{path.resolve()}:{at.st_size}:{at.st_mtime_ns}:{at.st_ino}"

    def fill(folder: Path) -> None:
        need, free = sum(min(info.file_size, decode.MAX_BYTES) for info in wanted), shutil.disk_usage(folder).free
        if need > 0.9 * free:
            raise DataError(f"a zip's images must find room on the disk; got {need:,} bytes for {free:,} free in "
                            f"{str(folder.parent)!r}, make room.")
        for info in wanted:
            target = folder / info.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            if info.file_size > decode.MAX_BYTES:
                with target.open("wb") as into:
                    into.truncate(decode.MAX_BYTES + 1)  # a hole of that size: reported as too large, never unpacked
                continue
            try:
                with archive.open(info) as source, target.open("wb") as into:
                    shutil.copyfileobj(source, into, 1 << 20)
            except (zipfile.BadZipFile, zlib.error, EOFError):
                target.write_bytes(b"")  # one damaged member is one unreadable image

    return scratch.filled(key, fill)
