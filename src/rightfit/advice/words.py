"""Headings, questions and fixed sentences of the advice, by language; the texts are in messages/*.toml."""

from __future__ import annotations

from rightfit import units
from rightfit.advice import _files
from rightfit.errors import UnknownName
from rightfit.records import frozen


@frozen
class Words:
    """Messages of one language: `words("key", name=value)` fills the braces of a message.

    Raises UnknownName for a language that has no messages.

    >>> Words(language="en")("n.size_mib")
    'size'
    """

    language: str

    def __post_init__(self) -> None:
        if self.language not in _files.names("messages"):
            raise UnknownName("language", self.language, _files.names("messages"))

    def __call__(self, key: str, **values: object) -> str:
        return str(_files.read("messages", self.language)[key]).format(**values)

    def __contains__(self, key: str) -> bool:
        return key in _files.read("messages", self.language)

    def figure(self, name: str, value: float) -> str:
        """A value for people, in the unit of its name's suffix.

        >>> Words(language="en").figure("latency_ms", 0.25)
        '250 µs'
        """
        if name.endswith("_ms"):
            return units.show_seconds(value / 1e3)
        if name.endswith("_mib"):
            return f"{value:.3g} MiB" if value < 1000 else f"{value / 1024:.3g} GiB"
        if name.endswith("_per_s"):
            return f"{value:,.0f}/s" if value >= 10 else f"{value:.2g}/s"
        if name.endswith("_usd"):
            return f"{value:.2f} USD" if value >= 0.01 else "< 0.01 USD"
        if value < 100:
            return units.show_seconds(value)
        return f"{value / 60:.3g} min" if value < 6000 else f"{value / 3600:.3g} h"
