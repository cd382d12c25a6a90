"""What is learned about this machine and kept for later runs: small JSON files in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def place(name: str, key: Sequence[Any]) -> Path:
    """The file of a name and of whatever makes its content another one; the folder may not be there yet.

    >>> place("fits", ["a"]).name
    'fits-0eb5b8d6f81bc677.json'
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "rightfit" / f"{name}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"


def keep(path: Path, found: Mapping[str, Any]) -> None:
    """Write the file whole; a home that cannot be written costs the next run what it would have learned, no more."""
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(found), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
