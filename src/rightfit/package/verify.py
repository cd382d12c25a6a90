"""A package is a folder or a zip of plain files under a manifest; nothing in it is believed before it was checked.

    package.json   format, task, rule, candidate, runtime meta, parity
    schema.json    what a row must look like
    sample.json    real rows, for warming up and measuring
    manifest.json  SHA-256 and size of every other file
    manifest.sig   a signature of the manifest (see `rightfit.package.sign`), where it was signed
    ...            what the model saved

A manifest shows damage and mix-ups; unsigned, a package is as trustworthy as the place it came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from rightfit.errors import PackageError

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
REQUIRED = ("package.json", "schema.json", "sample.json")
MAX_FILES = 256
MAX_BYTES = 16 * 2**30
MAX_JSON = 64 * 2**20
MAX_MANIFEST = 2**20
MAX_SIGNATURE = 4096
MAX_RATIO = 200
FREE_RATIO = 4 * 2**20
_CHUNK = 2**20
_NAME = re.compile(r"(?!.*//)[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*){0,3}")
_HASH = re.compile(r"[0-9a-f]{64}")


def canonical(name: object) -> str:
    """The name, if it is a plain relative path of letters, digits, `_`, `-`, `.`. Raises PackageError.

    >>> canonical("model.onnx")
    'model.onnx'
    """
    if not isinstance(name, str) or len(name) > 200 or not _NAME.fullmatch(name):
        raise PackageError(f"file names in a package must be plain relative names; got name={str(name)[:80]!r}, "
                           "do not load it.")
    return name


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PackageError(f"names in a package's JSON must be unique; got twice one of {sorted(found)[:5]}.")
    return found


def parse(content: bytes, name: str, limit: int = MAX_JSON) -> Any:
    """JSON from bytes, of bounded size and depth. Raises PackageError."""
    if len(content) > limit:
        raise PackageError(f"{name} must be at most {limit} bytes; got bytes={len(content)}.")
    try:
        return json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, PackageError):
            raise
        reason = "too deep" if isinstance(error, RecursionError) else str(error)[:100]
        raise PackageError(f"{name} must be JSON of ordinary depth; got {reason!r}, the package is damaged.") from None


def _manifest(content: bytes) -> dict[str, tuple[str, int]]:
    """{name: (SHA-256, bytes)} from manifest.json."""
    found = parse(content, MANIFEST, MAX_MANIFEST)
    files = found.get("files") if isinstance(found, Mapping) else None
    if not isinstance(files, Mapping) or not 0 < len(files) <= MAX_FILES:
        raise PackageError(f"{MANIFEST} must list 1 to {MAX_FILES} files; got "
                           f"files={len(files) if isinstance(files, Mapping) else files!r}.")
    listed, lower, total = dict[str, tuple[str, int]](), set[str](), 0
    for name, entry in files.items():
        canonical(name)
        digest, size = (entry.get("sha256"), entry.get("bytes")) if isinstance(entry, Mapping) else (None, None)
        if not (isinstance(digest, str) and _HASH.fullmatch(digest) and type(size) is int and size >= 0):
            raise PackageError(f"{MANIFEST} must give sha256 and bytes of every file; got {name}={str(entry)[:80]}.")
        if name.endswith(".json") and size > MAX_JSON:
            raise PackageError(f"{name} must be at most {MAX_JSON} bytes; got bytes={size}.")
        listed[name] = digest, size
        lower.add(name.lower())
        total += size
    if len(lower) != len(listed) or MANIFEST in lower:
        raise PackageError("file names in a package must differ by more than case; got two that do not.")
    if total > MAX_BYTES:
        raise PackageError(f"a package must hold at most {MAX_BYTES} bytes; got bytes={total}.")
    for name in REQUIRED:
        if name not in listed:
            raise PackageError(f"a package must hold {name}; got a manifest without it.")
    return listed


def _present(folder: Path) -> Iterator[str]:
    """Names of all files below a folder. Raises PackageError for links, devices and strange names."""
    waiting, seen = [""], 0
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = canonical(f"{inside}{entry.name}")
                mode = entry.stat(follow_symlinks=False).st_mode
                seen += 1
                if seen > 2 * MAX_FILES:
                    raise PackageError(f"a package must hold at most {MAX_FILES} files; got more.")
                if stat.S_ISDIR(mode):
                    waiting.append(name + "/")
                elif stat.S_ISREG(mode):
                    yield name
                else:
                    raise PackageError(f"a package must hold ordinary files only; got name={name!r}, which is a link "
                                       "or a device, do not load it.")


def _same_names(present: set[str], listed: set[str]) -> None:
    if missing := sorted(listed - present):
        raise PackageError(f"a package must hold every file of its manifest; got none named {missing[0]!r}.")
    if extra := sorted(present - listed - {MANIFEST, SIGNATURE}):
        raise PackageError(f"a package must hold the files of its manifest only; got also {extra[0]!r}, "
                           "do not load it.")


def _compare(name: str, digest: str, size: int, wanted: tuple[str, int]) -> None:
    if size != wanted[1]:
        raise PackageError(f"{name} must have {wanted[1]} bytes; got bytes={size}, the package is damaged.")
    if digest != wanted[0]:
        raise PackageError(f"{name} must have the hash of the manifest; got sha256={digest[:12]}..., the package is "
                           "damaged or changed.")


def inside(folder: Path, name: object) -> Path:
    """The path of a file that a package's meta names. Raises PackageError unless it is one of the package's files."""
    path = folder / canonical(name)
    if not path.is_file():
        raise PackageError(f"a package must hold every file it names; got name={str(name)!r} and no such file.")
    return path


def digest(path: Path) -> tuple[str, int]:
    """(SHA-256, bytes) of a file."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256")
        return found.hexdigest(), file.tell()


def folder(path: Path) -> None:
    """Check a folder against its manifest. Raises PackageError."""
    present = set(_present(path))
    if MANIFEST not in present:
        raise PackageError(f"a package must hold {MANIFEST}; got path={str(path)!r} without it.")
    if (size := (path / MANIFEST).stat().st_size) > MAX_MANIFEST:
        raise PackageError(f"{MANIFEST} must be at most {MAX_MANIFEST} bytes; got bytes={size}.")
    listed = _manifest((path / MANIFEST).read_bytes())
    _same_names(present, set(listed))
    for name, wanted in listed.items():
        if (size := (path / name).stat().st_size) != wanted[1]:
            _compare(name, "", size, wanted)
        _compare(name, *digest(path / name), wanted)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_FILES + 1:
        raise PackageError(f"a package must hold at most {MAX_FILES} files; got files={len(infos)}.")
    found = {}
    for info in infos:
        name = canonical(info.orig_filename)
        if name in found:
            raise PackageError(f"names in a zip package must be unique; got name={name!r} twice, do not load it.")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise PackageError(f"a package must hold ordinary files only; got name={name!r}, which is a link or "
                               "encrypted, do not load it.")
        if info.file_size > max(FREE_RATIO, MAX_RATIO * info.compress_size):
            raise PackageError(f"a zip package must not blow up more than {MAX_RATIO} times; got name={name!r} from "
                               f"{info.compress_size} to {info.file_size} bytes, do not load it.")
        found[name] = info
    return found


def _extract(source: IO[bytes], target: Path, name: str, wanted: tuple[str, int]) -> None:
    """Write at most the promised bytes, whatever the archive's own header says."""
    hashed, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > wanted[1]:
                _compare(name, "", size, wanted)
            hashed.update(chunk)
            file.write(chunk)
    _compare(name, hashed.hexdigest(), size, wanted)


def _unzip(path: Path, into: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = _members(archive)
        if MANIFEST not in members:
            raise PackageError(f"a package must hold {MANIFEST}; got path={str(path)!r} without it.")
        with archive.open(members[MANIFEST]) as file:
            content = file.read(MAX_MANIFEST + 1)
        listed = _manifest(content)
        _same_names(set(members), set(listed))
        (into / MANIFEST).write_bytes(content)
        for name, wanted in listed.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(members[name]) as file:
                _extract(file, into / name, name, wanted)
        if SIGNATURE in members:
            with archive.open(members[SIGNATURE]) as file:
                (into / SIGNATURE).write_bytes(file.read(MAX_SIGNATURE + 1))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The verified folder of a package directory or zip; a zip's folder is gone afterwards. Raises PackageError."""
    if path.is_dir():
        folder(path)
        yield path
    elif path.is_file():
        into = Path(tempfile.mkdtemp(prefix="rightfit-"))
        try:
            try:
                _unzip(path, into)
            except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError,
                    ValueError, zlib.error) as error:
                if isinstance(error, PackageError):
                    raise
                raise PackageError(f"a package file must be a whole zip; got path={str(path)!r} and "
                                   f"{str(error)[:100]!r}.") from None
            yield into
        finally:
            shutil.rmtree(into, ignore_errors=True)
    else:
        raise PackageError(f"a package must be a folder or a zip; got path={str(path)!r}, which does not exist.")
