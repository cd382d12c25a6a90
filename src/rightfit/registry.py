"""Finds plug-ins: one file in a plug-in folder that holds one SPEC; other distributions add theirs by entry point."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

from rightfit.errors import UnknownName


def modules(package: str) -> Iterator[str]:
    """The names of the modules below a package that may hold a plug-in; nothing but the package is imported."""
    home = importlib.import_module(package)
    for info in pkgutil.iter_modules(home.__path__):
        if not info.name.startswith("_"):
            name = f"{package}.{info.name}"
            yield from modules(name) if info.ispkg else (name,)


@cache
def plugins(package: str) -> dict[str, Any]:
    """All SPECs below a package, by name, in alphabetical order.

    Files whose name starts with an underscore, and files without SPEC, are no plug-ins. Entry points of the group
    named like the package (`rightfit.models`, ...) are added. Raises ValueError when two SPECs share a name.

    >>> "accuracy" in plugins("rightfit.metrics")
    True
    """
    found: dict[str, Any] = {}
    specs: list[Any] = [getattr(importlib.import_module(name), "SPEC", None) for name in modules(package)]
    specs += [entry.load() for entry in importlib.metadata.entry_points(group=package)]
    for spec in (one for some in specs if some is not None for one in (some if isinstance(some, tuple) else (some,))):
        if spec.name in found:
            raise ValueError(f"plug-in names must be unique; got name={spec.name!r} twice below {package}.")
        found[spec.name] = spec
    return dict(sorted(found.items()))


def plugin(package: str, name: str, what: str) -> Any:
    """One SPEC by name. Raises UnknownName with the closest match."""
    found = plugins(package)
    if name not in found:
        raise UnknownName(what, name, found)
    return found[name]
