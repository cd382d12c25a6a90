"""What is asked, read from a TOML file: its keys are the fields of `Need`, written as in Python or as flags."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from rightfit.errors import UnknownName, UsageError
from rightfit.records import Need

FLAGS = {"family": "families", "kind": "kinds"}  # flags that are named otherwise than their field


def read(path: str | Path) -> dict[str, Any]:
    """The fields of a `Need` that a file sets. Raises UsageError, UnknownName for a key that is no field.

    A list stands for a tuple, a table for a mapping: `max_latency = "5ms"`, `target = "churn"`, `drop = ["id"]`,
    `[at_least]` and then `recall = 0.9`.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"a need file must be readable; got need={str(path)!r}: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"a need file must be TOML; got need={str(path)!r}: {error}.") from None
    return {(name := _field(key)): _value(name, value) for key, value in raw.items()}


def _field(key: str) -> str:
    known = {field.name for field in dataclasses.fields(Need)} - {"options"}
    name = FLAGS.get(key, key.replace("-", "_"))
    if name not in known:
        raise UnknownName("key of a need file", name, known)
    return name


def _value(name: str, value: Any) -> Any:
    """The value as the field takes it: right kind or one clear sentence."""
    kind = get_type_hints(Need)[name]
    kinds = get_args(kind) if type(None) in get_args(kind) else (kind,)
    names = {str(getattr(k, "__name__", k)).lower() for k in kinds if k is not type(None)}
    if isinstance(value, list):
        wanted = any("tuple" in n for n in names)
        value = tuple(value)
        kinds_in = int | float if name == "quantiles" else str | int
        fits = wanted and all(isinstance(item, kinds_in) for item in value)
    elif isinstance(value, Mapping):
        inside = str if name == "kinds" else int | float
        fits = "mapping" in names and all(isinstance(v, inside) and not isinstance(v, bool) for v in value.values())
    elif isinstance(value, bool):
        fits = "bool" in names
    elif isinstance(value, int | float):
        fits = "float" in names or ("int" in names and isinstance(value, int))
    else:
        fits = isinstance(value, str) and not ("bool" in names or names <= {"int", "float", "tuple", "mapping"})
    if not fits:
        raise UsageError(f"{name} of a need file must be written as its flag is; got {name}={value!r}, correct it.")
    return value
