"""The TOML files of this chapter."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

HOME = "rightfit.advice"


@cache
def read(folder: str, name: str) -> dict[str, Any]:
    """One TOML file of a folder of the chapter.

    >>> "tabular-classification" in read("facts", "tasks")["task"]
    True
    """
    return tomllib.loads((resources.files(HOME) / folder / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def names(folder: str) -> tuple[str, ...]:
    """The TOML files of a folder, without their ending, in alphabetical order."""
    found = (entry.name for entry in (resources.files(HOME) / folder).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))
