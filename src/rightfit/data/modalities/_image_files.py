"""Files below a folder or inside a zip: what is there, what counts as an image, safe extraction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from rightfit.data._media import decode
from rightfit.data.modalities import _zip
from rightfit.data.modalities._zip import MAX_FILES
from rightfit.errors import DataError
from rightfit.records import frozen

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"})
_HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "$recycle.bin"})


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
    with _zip.opened(path, "images") as archive:
        members = _zip.members(archive, path)
        wanted = {name: info for name, info in members.items()
                  if not name.endswith("/") and is_image(name) and not is_hidden(name)}
        folder = _zip.unpacked(archive, wanted, path, decode.MAX_BYTES, "images")
    names = [name for name in members if not name.endswith("/")]
    folders = {"/".join(parts[:n]) for parts in (name.split("/") for name in members) for n in range(1, len(parts))}
    shown = [name for name in names if not is_hidden(name)]
    return Listing(files=tuple((n, str(folder / n)) for n in sorted(shown) if is_image(n)),
                   folders=tuple(sorted(f for f in folders if not is_hidden(f))),
                   hidden=tuple(n for n in names if is_hidden(n)),
                   others=tuple(n for n in shown if not is_image(n)))
