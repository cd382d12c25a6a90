"""What a row is, wherever its content lies: values that point to files are replaced by their content's hash."""

from __future__ import annotations

from typing import Any

from rightfit.records import Schema
from rightfit.registry import plugins


def identities(frame: Any, schema: Schema) -> Any:
    """The frame with every column of an added kind as texts that are equal for equal content; others as they are."""
    added = plugins("rightfit.data.column_kinds")
    kinds = {c.name: c.kind for c in schema.columns}
    pointing = [name for name in frame.columns if kinds.get(name) in added]
    return frame.assign(**{name: added[kinds[name]].identity(frame[name]) for name in pointing}) if pointing else frame
