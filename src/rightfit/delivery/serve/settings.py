"""What a server is told, checked before anything starts."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

from rightfit.errors import PackageError, UsageError
from rightfit.records import asdict, frozen, revive

CHAMPION, CHALLENGER = "champion.json", "challenger.json"
LEAST_TOKEN = 16


@frozen
class Settings:
    """A server's settings; seconds and bytes. `queue`: requests that may wait; `rows`: of one request.

    `sample`: share of requests that are logged, 0 to 1; `omit`: columns that never reach the log. `shadow`: share of
    requests that a registry's challenger sees too. `verify`: the public key that must have signed every package.
    """

    source: str
    host: str = "127.0.0.1"
    port: int = 8000
    token_file: str | None = None
    workers: int = 1
    log: str | None = None
    sample: float = 1.0
    omit: tuple[str, ...] = ()
    queue: int = 128
    deadline: float = 1.0
    max_body: int = 10_000_000
    max_rows: int = 1000
    drain: float = 30.0
    shadow: float = 0.0
    verify: str | None = None


@frozen
class Place:
    """Where the model stands: a package, and the registry folder whose pointer named it, if one did."""

    package: Path
    registry: Path | None = None


def to_json(settings: Settings) -> str:
    """Settings as text, for the workers."""
    return json.dumps(asdict(settings))


def from_json(text: str) -> Settings:
    """The settings of `to_json`'s text."""
    return revive(Settings, json.loads(text))


def locate(source: str | Path) -> Place:
    """The package of a run, a package or a registry folder. Raises PackageError for what is none of them."""
    path = Path(source)
    if (path / CHAMPION).is_file():
        return Place(package=pointed(path), registry=path)
    if (path / "history.jsonl").is_file():
        raise UsageError(f"a registry that is served must have a champion; got source={str(source)!r} without one, "
                         "promote a version with `rightfit registry FOLDER --promote N`.")
    if path.is_dir() and not (path / "manifest.json").is_file() and (path / "package").is_dir():
        path = path / "package"
    if not path.exists():
        raise PackageError(f"a run, a package or a registry folder must exist; got source={str(source)!r}, "
                           "name one that does.")
    return Place(package=path)


def numbered(path: Path) -> int | None:
    """The version that a package of a registry folder is, None for other packages.

    >>> numbered(Path("registry/versions/3")), numbered(Path("run/package"))
    (3, None)
    """
    return int(path.name) if path.parent.name == "versions" and path.name.isdecimal() else None


def pointed(registry: Path, pointer: str = CHAMPION) -> Path:
    """The package that a registry's pointer names; it must lie inside the folder. Raises PackageError."""
    try:
        found = json.loads((registry / pointer).read_text(encoding="utf-8"))
        named = found["package"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PackageError(f'{pointer} must be JSON with "package", a relative path; got '
                           f"{type(error).__name__} in folder={str(registry)!r}, promote a version again.") from None
    inside = isinstance(named, str) and not Path(named).is_absolute()
    path = (registry / str(named)).resolve()
    if not inside or not path.is_relative_to(registry.resolve()) or path == registry.resolve():
        raise PackageError(f"{pointer} must point into its own folder; got package={str(named)[:100]!r}, "
                           "promote a version again.")
    return path


def token(settings: Settings) -> bytes | None:
    """The secret of the token file, None without one. Raises UsageError for a file that cannot be used."""
    if settings.token_file is None:
        return None
    try:
        found = Path(settings.token_file).read_bytes().strip()
    except OSError as error:
        raise UsageError(f"the token file must be readable; got token_file={settings.token_file!r} and "
                         f"{error.strerror!r}, write a secret into it.") from None
    if len(found) < LEAST_TOKEN or re.search(rb"\s", found):
        raise UsageError(f"a token must be one word of {LEAST_TOKEN} or more characters; got {len(found)} in "
                         f"token_file={settings.token_file!r}, e.g. from `openssl rand -hex 32`.")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(settings: Settings) -> Settings:
    """The settings, if a server may start with them. Raises UsageError."""
    if not is_loopback(settings.host) and settings.token_file is None:
        raise UsageError("a server that other machines can reach must have a token; got "
                         f"host={settings.host!r} without --token-file, name a file that holds a secret.")
    least: dict[str, Any] = {"port": 0, "workers": 1, "queue": 1, "max_body": 1, "max_rows": 1}
    for name, low in least.items():
        if getattr(settings, name) < low:
            raise UsageError(f"--{name.replace('_', '-')} must be {low} or more; got {name}={getattr(settings, name)}.")
    if settings.port > 65535:
        raise UsageError(f"--port must be 0 to 65535; got port={settings.port}.")
    if not 0 <= settings.sample <= 1:
        raise UsageError(f"--log-sample must be a share from 0 to 1; got log_sample={settings.sample}.")
    for name in ("deadline", "drain"):
        if not getattr(settings, name) > 0:
            raise UsageError(f"--{name} must be more than 0 seconds; got {name}={getattr(settings, name)}.")
    if not 0 <= settings.shadow <= 1:
        raise UsageError(f"--shadow must be a share from 0 to 1; got shadow={settings.shadow}.")
    if settings.log is None and (settings.omit or settings.sample != 1):
        raise UsageError("--log-omit and --log-sample need --log FOLDER; got log=None, name the folder.")
    token(settings)
    return settings
