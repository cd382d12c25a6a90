"""Kinds of columns that a modality adds to those of tables, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rightfit.records import Column, frozen


@frozen
class Kind:
    """A kind's SPEC. `parser(column)` gives the function from one raw value to the value kept in rows: a str, or None
    when missing; it raises `rightfit.data.values.Unreadable`. `identity(values) -> list[str]`: one text per value of
    a column, equal for equal content whatever the place it lies in.
    """

    name: str
    parser: Callable[[Column], Callable[[Any], Any]]
    identity: Callable[[Any], list[str]]
