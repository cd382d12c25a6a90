"""Every heading and fixed sentence of the report, by language; the texts are in messages/*.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from rightfit.errors import UnknownName
from rightfit.records import frozen

LANGUAGES = ("en", "zh_CN")


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

    def __contains__(self, key: str) -> bool:
        return key in messages(self.language)

    def name(self, measured: str) -> str:
        """A measured name for people; metrics keep theirs."""
        return self(f"n.{measured}") if f"n.{measured}" in self else measured
