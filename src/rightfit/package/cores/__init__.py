"""Formats of model cores, one file each: a matrix of encoded features in, scores out."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from rightfit.records import frozen

THREADS: ContextVar[int] = ContextVar("threads", default=1)
"""How many threads a core that is loaded now may use for one call."""


@frozen
class Core:
    """A core format's SPEC: `load(path)` gives float32 (n, f) -> float (n, k); `requires` names distributions."""

    name: str
    load: Callable[[Path], Callable[[Any], Any]]
    requires: tuple[str, ...] = ()
