"""A registry folder: numbered packages that never change, a champion and a challenger, and why each became what it is.

    versions/N/       a package, verified when it came in, read-only
    champion.json     {"package": "versions/N", "version": N}, replaced in one step: servers poll it
    challenger.json   the same, there only while somebody challenges
    history.jsonl     one event a line, numbered, append-only; a torn last line is no event

An event is written before the pointer that follows from it, so that whoever opens the folder next for writing carries
out what was decided before a crash; what came in but was never announced is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rightfit.errors import DataError, UsageError
from rightfit.package import load, verify
from rightfit.records import asdict, frozen, revive

CHAMPION, CHALLENGER, HISTORY, VERSIONS, LOCK = "champion", "challenger", "history.jsonl", "versions", ".lock"
EVENTS = ("add", "challenge", "promote", "rollback", "dismiss", "keep")
POINTS = ("copied", "placed", "logging", "logged", "pointing", "pointed")
"""Where a crash is tested: see `at`."""


@frozen
class Event:
    """One line of the history. `data`: fingerprint of the labelled rows; `run`: where it was trained; `details`: JSON.

    `parent`: the champion when it happened, None before the first.
    """

    number: int
    event: str
    when: str
    version: int | None = None
    parent: int | None = None
    data: str = ""
    run: str = ""
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Registry:
    """What a folder says: versions that were announced, the aliases, the history, oldest first."""

    folder: Path
    versions: tuple[int, ...]
    champion: int | None
    challenger: int | None
    history: tuple[Event, ...]

    def package(self, version: int) -> Path:
        """The folder of one version."""
        return self.folder / VERSIONS / str(version)

    def lineage(self, version: int) -> Event:
        """How a version came in. Raises UsageError for one that did not."""
        for event in self.history:
            if event.event == "add" and event.version == version:
                return event
        raise UsageError(f"a version must be one of {', '.join(map(str, self.versions)) or 'none yet'}; got "
                         f"version={version}.")


def at(point: str) -> None:
    """Called at every point named in POINTS; tests put a crash here."""


def is_registry(path: str | Path) -> bool:
    """Whether a path is a registry folder.

    >>> is_registry("no such folder")
    False
    """
    return (Path(path) / HISTORY).is_file()


def read(folder: str | Path) -> Registry:
    """The registry as its history tells it, whatever crashed before; takes no lock. Raises UsageError, DataError."""
    folder = Path(folder)
    if not is_registry(folder):
        raise UsageError(f"a registry must be a folder with {HISTORY}; got path={str(folder)!r} without it, make one "
                         "with `rightfit registry FOLDER --add PACKAGE`.")
    history = _events(folder)
    stack, challenger = _fold(history)
    versions = tuple(e.version for e in history if e.event == "add" and e.version is not None)
    return Registry(folder=folder, versions=versions, champion=stack[-1] if stack else None, challenger=challenger,
                    history=history)


def champion(folder: str | Path) -> Path:
    """The champion's package, as servers see it. Raises UsageError where there is none, DataError."""
    path = Path(folder) / f"{CHAMPION}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Path(folder) / str(verify.canonical(found["package"]))
    except FileNotFoundError:
        raise UsageError(f"a registry must have a champion; got path={str(folder)!r} without one, promote a version "
                         "with `rightfit registry FOLDER --promote N`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} must hold package and version; got path={str(path)!r}: {error}.") from None


def add(folder: str | Path, package: str | Path, *, data: str = "", run: str = "", why: str = "",
        details: Mapping[str, Any] | None = None) -> int:
    """Copy a package in, verified, as the next version; its number. The first registry call makes the folder.

    Raises PackageError for a package that is damaged, unsafe or of a newer format; nothing changes then.
    """
    folder = Path(folder)
    with verify.opened(Path(package)) as source, locked(folder, new=True) as now:
        version = max(now.versions, default=0) + 1
        part = folder / VERSIONS / f".{version}.part-{secrets.token_hex(4)}"
        try:
            shutil.copytree(source, part)
            load(part)
            _settle(part)
            at("copied")
            part.rename(now.package(version))
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        _sync(folder / VERSIONS)
        at("placed")
        _append(now, "add", version, data=data, run=run, why=why, details=details or {})
    return version


def promote(folder: str | Path, version: int, *, why: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Make a version the champion, in one step. Raises UsageError, or PackageError for one that was damaged since."""
    _move(folder, "promote", version, why, details)


def challenge(folder: str | Path, version: int, *, why: str = "") -> None:
    """Make a version the challenger. Raises UsageError, PackageError."""
    _move(folder, "challenge", version, why, None)


def dismiss(folder: str | Path, *, why: str = "", details: Mapping[str, Any] | None = None) -> None:
    """The challenger goes, the champion stays; the reason is kept."""
    with locked(folder) as now:
        _append(now, "dismiss", now.challenger, why=why, details=details or {})
        _point(read(now.folder))


def keep(folder: str | Path, *, why: str, data: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Note that an update was looked at and the champion stays."""
    with locked(folder) as now:
        _append(now, "keep", now.champion, why=why, data=data, details=details or {})


def rollback(folder: str | Path, *, why: str = "") -> int:
    """Back to the champion before this one; its version. Raises UsageError where there is none, PackageError."""
    with locked(folder) as now:
        stack, _ = _fold(now.history)
        if len(stack) < 2:
            raise UsageError(f"a rollback needs a champion before this one; got champion="
                             f"{stack[-1] if stack else None} as the first, promote another version instead.")
        verify.folder(now.package(stack[-2]))
        _append(now, "rollback", stack[-2], why=why)
        _point(read(now.folder))
    return stack[-2]


@contextlib.contextmanager
def locked(folder: str | Path, new: bool = False) -> Iterator[Registry]:
    """The registry for one writer at a time, with what a crash left undone carried out; a folder that is none yet
    becomes one only when `new`, else UsageError."""
    import fcntl

    folder = Path(folder)
    if not new:
        read(folder)
    if folder.exists() and not is_registry(folder) and (not folder.is_dir() or _strange(folder)):
        raise UsageError(f"a registry must be an empty or new folder, or one already; got path={str(folder)!r}, which "
                         "holds something else.")
    (folder / VERSIONS).mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / HISTORY).touch()
        yield _recover(folder)


def _strange(folder: Path) -> list[str]:
    return sorted({p.name for p in folder.iterdir()} - {VERSIONS, LOCK})


def _recover(folder: Path) -> Registry:
    now = read(folder)
    for path in (folder / VERSIONS).iterdir():
        if not path.name.isdigit() or int(path.name) not in now.versions:
            shutil.rmtree(path)
    for path in folder.glob(".*.json.part-*"):
        path.unlink()
    _point(now)
    return now


def _move(folder: str | Path, event: str, version: int, why: str, details: Mapping[str, Any] | None) -> None:
    with locked(folder) as now:
        now.lineage(version)
        if event == "promote" and version == now.champion:
            raise UsageError(f"a promoted version must not be the champion already; got version={version}.")
        verify.folder(now.package(version))
        _append(now, event, version, why=why, details=details or {})
        _point(read(now.folder))


def _fold(history: tuple[Event, ...]) -> tuple[list[int], int | None]:
    """(champions since the first, without those rolled back, the last is now; challenger)."""
    stack, challenger = list[int](), None
    for event in history:
        if event.event == "promote" and event.version is not None:
            stack.append(event.version)
            challenger = None if challenger == event.version else challenger
        elif event.event == "rollback":
            stack.pop()
        elif event.event == "challenge":
            challenger = event.version
        elif event.event == "dismiss":
            challenger = None
    return stack, challenger


def _events(folder: Path) -> tuple[Event, ...]:
    content = (folder / HISTORY).read_bytes()
    found = list[Event]()
    for line in content.split(b"\n")[:-1]:  # what follows the last line break is torn, or nothing
        try:
            event = revive(Event, json.loads(line))
        except (ValueError, TypeError) as error:
            raise DataError(f"every whole line of {HISTORY} must be an event; got line={len(found) + 1} of "
                            f"path={str(folder)!r}: {str(error)[:80]}.") from None
        if event.number != len(found) + 1 or event.event not in EVENTS:
            raise DataError(f"the events of {HISTORY} must be numbered without a gap; got number={event.number!r}, "
                            f"event={event.event!r} in line={len(found) + 1} of path={str(folder)!r}.")
        found.append(event)
    return tuple(found)


def _append(now: Registry, event: str, version: int | None, **said: Any) -> None:
    line = Event(number=len(now.history) + 1, event=event, when=datetime.now(UTC).isoformat(timespec="seconds"),
                 version=version, parent=now.champion, **said)
    content = json.dumps(asdict(line), ensure_ascii=False, default=str).encode() + b"\n"
    with (now.folder / HISTORY).open("r+b") as file:
        whole = file.read()
        file.seek(whole.rfind(b"\n") + 1)
        file.truncate()
        half = len(content) // 2
        file.write(content[:half])
        file.flush()
        at("logging")
        file.write(content[half:])
        file.flush()
        os.fsync(file.fileno())
    at("logged")


def _point(now: Registry) -> None:
    """Bring both pointers to what the history says."""
    for name, version in ((CHAMPION, now.champion), (CHALLENGER, now.challenger)):
        path = now.folder / f"{name}.json"
        if version is None:
            path.unlink(missing_ok=True)
            continue
        wanted = json.dumps({"package": f"{VERSIONS}/{version}", "version": version}) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == wanted:
            continue
        part = now.folder / f".{name}.json.part-{secrets.token_hex(4)}"
        with part.open("x", encoding="utf-8") as file:
            file.write(wanted)
            file.flush()
            os.fsync(file.fileno())
        at("pointing")
        os.replace(part, path)
        _sync(now.folder)
        at("pointed")


def _settle(part: Path) -> None:
    """On disk before it has a name, and read-only."""
    for path in sorted(part.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
        _sync(path)
    _sync(part)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def table(now: Registry) -> str:
    """The registry as text: its versions with their aliases, and the last events."""
    lines = [f"{now.folder}: champion {now.champion or 'none'}, challenger {now.challenger or 'none'}"]
    for version in now.versions:
        came = now.lineage(version)
        alias = {now.champion: " champion", now.challenger: " challenger"}.get(version, "")
        lines.append(f"  {version}{alias}: {came.when}, parent {came.parent or 'none'}, data "
                     f"{came.data[:12] or 'unknown'}, run {came.run or 'unknown'}; {came.why or 'no reason given'}")
    lines.append("history:")
    lines += [f"  {e.number} {e.when} {e.event} {e.version or ''}: {e.why or 'no reason given'}" for e in now.history]
    return "\n".join(lines)


__all__ = ["Event", "Registry", "add", "challenge", "champion", "dismiss", "is_registry", "keep",
           "promote", "read", "rollback", "table"]
