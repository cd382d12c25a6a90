"""Where members of archives and bytes of tables lie as files while they are needed."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rightfit import cache
from rightfit.data._media import decode

INLINE_BYTES = 32 * 2**20  # of bytes in a table, beyond which they become files
_own: dict[int, Path] = {}


def place() -> Path:
    """The run's cache, or a folder of this process that is deleted when it ends."""
    folder = cache.place()
    if folder is None:
        folder = _own.get(os.getpid())
        if folder is None:
            folder = _own[os.getpid()] = Path(tempfile.mkdtemp(prefix="rightfit-images-"))
            atexit.register(_remove, os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove(owner: int) -> None:
    if os.getpid() == owner and owner in _own:
        shutil.rmtree(_own.pop(owner), ignore_errors=True)


def filled(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder of that name, filled by fill(folder) unless it is there already; never half full."""
    done = place() / f"files-{hashlib.sha256(name.encode()).hexdigest()[:20]}"
    if done.is_dir():
        return done
    part = done.with_name(f".{done.name}-{secrets.token_hex(4)}")
    part.mkdir()
    try:
        fill(part)
        with contextlib.suppress(OSError):  # another process was first
            part.rename(done)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return done


def out_of_line(refs: Sequence[str]) -> list[str]:
    """The same references, data URIs as files where together they exceed INLINE_BYTES."""
    inline = [ref for ref in refs if ref.startswith("data:")]
    if sum(map(len, inline)) <= INLINE_BYTES:
        return list(refs)

    folder = filled("inline", lambda folder: None)

    def kept(ref: str) -> str:
        try:
            encoded = decode.content(ref)
        except decode.ImageError:
            return ref  # reported when it is decoded
        path = folder / f"{hashlib.sha256(encoded).hexdigest()}.{decode.sniff(encoded) or 'bin'}"
        if not path.exists():
            part = folder / f".{secrets.token_hex(6)}"
            part.write_bytes(encoded)
            part.replace(path)
        return str(path)

    return [kept(ref) if ref.startswith("data:") else ref for ref in refs]
