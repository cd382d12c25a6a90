"""Every heading and fixed sentence of the report, by language; the texts are in messages/*.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from markupsafe import Markup, escape

from rightfit import units
from rightfit.errors import UnknownName
from rightfit.records import frozen
from rightfit.report.sentences import say
from rightfit.report.svg import show

LANGUAGES = ("en", "zh_CN")
DASH = "\N{EN DASH}"


@cache
def messages(language: str) -> Mapping[str, str]:
    """All messages of one language, by key. Raises UnknownName.

    >>> messages("en")["h.limits"]
    'Limits'
    """
    if language not in LANGUAGES:
        raise UnknownName("language", language, LANGUAGES)
    folder = resources.files("rightfit.report") / "messages"
    return MappingProxyType(json.loads((folder / f"{language}.json").read_text(encoding="utf-8")))


def language_of(locale: str | None) -> str:
    """The report's language for a LANG value: Chinese for zh_*, English for everything else.

    >>> language_of("zh_CN.UTF-8"), language_of("de_DE"), language_of(None)
    ('zh_CN', 'en', 'en')
    """
    return "zh_CN" if (locale or "").lower().startswith("zh") else "en"


@frozen
class Words:
    """Messages of one language: `words("key", name=value)` fills the braces of a message."""

    language: str

    def __call__(self, key: str, **values: object) -> str:
        return messages(self.language)[key].format(**values)

    def rich(self, key: str, **values: object) -> Markup:
        """The message as HTML with its values escaped, save those that are Markup already."""
        return escape(messages(self.language)[key]).format(**values)

    def __contains__(self, key: str) -> bool:
        return key in messages(self.language)

    def say(self, text: object) -> str:
        """A sentence of the decision in this language, where its pattern is known."""
        return say(str(text or ""), self.language)

    def join(self, sentences: Iterable[str]) -> str:
        """Sentences one after another; Chinese ones need no space between."""
        return ("" if self.language == "zh_CN" else " ").join(sentences)

    def name(self, measured: str) -> str:
        """A measured name or a metric for people; one that has no message keeps its name."""
        if measured.startswith("cost_") and measured.endswith("_per_month"):
            return self("n.cost_per_month")
        return self(f"n.{measured}") if f"n.{measured}" in self else measured


def figure(name: str, value: float | None) -> str:
    """A measured value for people, in the unit of its name's suffix; an unknown one is a dash.

    >>> figure("latency_p95_ms", 0.25), figure("size_mib", 3.21), figure("f1", 0.84213)
    ('250 µs', '3.21 MiB', '0.842')
    """
    if value is None:
        return DASH
    if name.startswith("cost_") and name.endswith("_per_month"):
        return f"{value:,.2f} {name.split('_')[1].upper()}"
    if name.endswith("_ms"):
        return units.show_seconds(value / 1e3)
    if name.endswith("_mib"):
        return (
            f"{value * 1024:.3g} KiB"
            if 0 < value < 0.1
            else f"{value:,.0f} MiB"
            if value >= 100
            else f"{value:.3g} MiB"
        )
    if name.endswith("_per_s"):
        return f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s"
    if name.endswith("_s"):
        return units.show_seconds(value)
    return show(value)
