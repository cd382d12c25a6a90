"""What stands after the scheme: a name and options, `name?key=value&key=value`, and the user's code behind a name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rightfit.errors import UsageError
from rightfit.records import Task


def split(source: str) -> tuple[str, dict[str, Any]]:
    """The name and its options; values are JSON where they can be, else text, with commas a list.

    >>> split("my.py:net?width=64&pool=avg&mean=0.5,0.4")
    ('my.py:net', {'width': 64, 'pool': 'avg', 'mean': [0.5, 0.4]})
    """
    name, _, rest = source.partition("?")
    options = {}
    for entry in filter(None, rest.split("&")):
        key, equals, value = entry.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"options of a brought model must be written name=value; got option={entry!r} in "
                             f"{source!r}.")
        options[key] = _value(unquote(value))
    if not name:
        raise UsageError(f"a brought model must be named after its scheme; got source={source!r}.")
    return name, options


def _value(text: str) -> Any:
    if "," in text and not text.startswith(("[", "{", '"')):
        return [_value(part) for part in text.split(",")]
    try:
        return json.loads(text)
    except ValueError:
        return text


def found(name: str, what: str) -> Any:
    """The object that a name stands for: module:attribute, file.py:attribute, or module.Class.

    The module is imported, so its code runs, as the user asked; one in the working directory is found too. Raises
    UsageError for what is not there.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon:
        place, _, attribute = name.rpartition(".")
    if not place or not attribute:
        raise UsageError(f"{what} must be written module:name; got {name!r}.")
    value: Any = _module(place, what)
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise UsageError(f"{what} must exist in its module; got name={attribute!r}, which {place} does not have.")
        value = getattr(value, part)
    return value


@cache
def _module(name: str, what: str) -> Any:
    path = Path.cwd() / (name if name.endswith(".py") else name.replace(".", "/") + ".py")
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not name.startswith(missing.name) or not path.is_file():
            raise UsageError(f"{what} must be importable; got module={name!r}: {missing}.") from missing
    if not path.is_file():
        raise UsageError(f"{what} must be in a module that can be imported or a .py file; got file={name!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def made(name: str, offered: Mapping[str, Any], options: Mapping[str, Any], what: str) -> Any:
    """What the factory gives: it is called with the options, and with those of `offered` that it has parameters for.

    A factory with one parameter that is none of these gets the number of outputs. Raises UsageError when it needs more
    or fails.
    """
    factory = found(name, what)
    if not callable(factory):
        raise UsageError(f"{what} must be a function or a class; got {name!r}, a {type(factory).__name__}.")
    try:
        wanted = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # built in C: it says nothing of its parameters
        wanted = inspect.signature(lambda: None).parameters
    known = {key: value for key, value in offered.items() if key in wanted and key not in options}
    open_ = [p.name for p in wanted.values() if p.default is p.empty and p.name not in {*known, *options}
             and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(open_) > 1 or (open_ and "outputs" not in offered):
        raise UsageError(f"{what} must need nothing but {', '.join(offered)} and its options; got {name!r}, which also "
                         f"asks for {', '.join(open_)}.")
    try:
        return factory(*([offered["outputs"]] if open_ else []), **known, **options)
    except Exception as error:  # the user's code raises what it likes
        raise UsageError(f"{what} must be made by {name!r} with options={dict(options)!r}; got "
                         f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.") from error


def outputs(task: Task) -> int:
    """How many figures a network gives for each row."""
    return max(len(task.classes), 1) if task.classifies else max(task.outputs, 1)


def parted(source: str, recipe: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """(name, options of the recipe, options of the user's code): the recipe's are those that `recipe` has names of.

    >>> parted("my:net?epochs=3&width=64", {"epochs": 20})
    ('my:net', {'epochs': 3}, {'width': 64})
    """
    name, options = split(source)
    return (name, {k: v for k, v in options.items() if k in recipe},
            {k: v for k, v in options.items() if k not in recipe})


def known(source: str, recipe: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, options), all of them the recipe's. Raises UsageError for another one."""
    name, own, strange = parted(source, recipe)
    if strange:
        raise UsageError(f"options of a brought model must be among {', '.join(sorted(recipe))}; got "
                         f"option={min(strange)!r} in {source!r}.")
    return name, own
