"""The record of a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rightfit.records import frozen


@frozen
class View:
    """How columns of some kinds are seen. see(values (n,) of a coerced column) gives what the drift tests take:

    number: float64 (n,), NaN missing; category: object (n,) of str, None missing; vectors: float32 (n, d), a row of
    NaN missing. `test`: the drift test by default.
    """

    name: str
    kinds: tuple[str, ...]
    on: Literal["number", "category", "vectors"]
    test: str
    see: Callable[[Any], Any]
