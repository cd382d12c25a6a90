"""What every command shares: the application and the options that mean the same everywhere."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from rightfit.errors import UsageError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Which model should I use for this task, on this data, within these limits?")

Text = str | None
Data = Annotated[str, typer.Argument(help="A file, a folder or zip of pictures or texts, or a SQLAlchemy URL such as "
                                         "sqlite:///shop.db::orders")]
Modality = Annotated[Text, typer.Option(help="Overrule what the data are: tabular, text, image or sequence")]
Target = Annotated[Text, typer.Option(help="Target column: name or position; several separated by commas")]
Json = Annotated[bool, typer.Option("--json", help="Print decision.json on stdout and nothing else there")]


def pairs(items: list[str] | None, name: str) -> dict[str, float]:
    """`key=number` items as a mapping. Raises UsageError.

    >>> pairs(["recall=0.9"], "at-least")
    {'recall': 0.9}
    """
    found: dict[str, float] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        try:
            if not equals or not key.strip():
                raise ValueError
            found[key.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--{name} must be written NAME=NUMBER; got {name}={item!r}.") from None
    return found


def several(text: str | None) -> tuple[str, ...]:
    """A comma-separated list.

    >>> several("a, b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def position(text: str) -> str | int:
    """A column by its position when the text is a number, else by its name."""
    return int(text) if text.lstrip("-").isdigit() else text


def modality_of(asked: str | None) -> str | None:
    """The name of a modality that is known. Raises UnknownName."""
    from rightfit.registry import plugin

    return None if asked is None else str(plugin("rightfit.data.modalities", asked, "modality").name)


def language_of(asked: str | None) -> str:
    """The language asked for, else that of the environment."""
    from rightfit.report import wording

    return asked or wording.language_of(os.environ.get("LC_ALL") or os.environ.get("LANG"))

