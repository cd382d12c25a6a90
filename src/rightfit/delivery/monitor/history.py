"""Earlier looks in a file of JSON lines, one a window, so that persistence and trends outlive a process."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rightfit.delivery.monitor.compare import Past
from rightfit.delivery.monitor.records import Monitoring
from rightfit.errors import DataError
from rightfit.records import asdict


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a history, oldest first; none where there is no file. A torn last line is left out.

    Raises DataError for a file that is no history.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            if not isinstance(one, dict) or not isinstance(one.get("p"), dict):
                raise ValueError("no window")
            found.append(one)
        except ValueError:
            if number == len(lines):
                break
            raise DataError(f"a history must hold one window a line; got path={str(path)!r} with another line="
                            f"{number}, name another file.") from None
    return found


def past(lines: list[dict[str, Any]]) -> list[Past]:
    """What later windows must know of earlier ones."""
    return [Past(p=line["p"], significant=tuple(line.get("significant", ()))) for line in lines]


def append(path: Path, found: Monitoring, kept: Past, source: str = "") -> None:
    """Add one window, in one write. Raises OSError."""
    from rightfit.delivery.evidence import plain

    torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "source": source, **asdict(kept),
            "monitoring": plain(asdict(found))}
    with path.open("ab") as file:
        file.write((b"\n" if torn else b"") + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
