"""Columns of images: file paths, data URIs, encoded bytes, PIL images and arrays; in rows they are references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rightfit.data._media import decode
from rightfit.data._media.reference import reference
from rightfit.data.column_kinds import Kind
from rightfit.records import Column


def parser(column: Column) -> Callable[[Any], str | None]:
    """`reference`, with the column's own words for missing."""
    missing = frozenset(marker.strip() for marker in column.missing)

    def parse(value: Any) -> str | None:
        return None if isinstance(value, str) and value.strip() in missing else reference(value)
    return parse


def identity(values: Any) -> list[str]:
    """SHA-256 of each image's content, empty when missing. Raises ImageError for what cannot be read."""
    refs = list(values)
    known = [ref for ref in refs if ref is not None]
    found = dict(zip(known, decode.keys(known), strict=True))
    return ["" if ref is None else found[ref] for ref in refs]


SPEC = Kind(name="image", parser=parser, identity=identity)
