"""The few parts that every chart is drawn from: escaped elements, axes with ticks, the width of a text."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

from markupsafe import Markup, escape

from rightfit.records import frozen

Figure = float | int


def element(tag: str, *inside: str, **attributes: str | Figure | None) -> Markup:
    """One SVG element; text inside and attributes are escaped, a trailing `_` is dropped, other `_` become `-`.

    >>> element("text", "a<b", x=1.0, class_="tick")
    Markup('<text x="1" class="tick">a&lt;b</text>')
    """
    parts = []
    for name, value in attributes.items():
        if value is None:
            continue
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"coordinates must be finite; got {tag}.{name}={value}.")
            value = f"{value:.2f}".rstrip("0").rstrip(".")
            value = "0" if value == "-0" else value
        parts.append(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"')
    content = Markup("").join(escape(one) for one in inside)
    return Markup(f"<{tag}{''.join(parts)}>{content}</{tag}>")


def drawing(width: Figure, height: Figure, title: str, desc: str, *inside: str) -> Markup:
    """A whole inline SVG of a size in pixels, which a reader of the screen hears as title and description."""
    return element("svg", element("title", title), element("desc", desc), *inside, viewBox=f"0 0 {width:g} {height:g}",
                   width=width, height=height, role="img", aria_label=f"{title}. {desc}" if desc else title)


def text_width(text: str, size: float = 12) -> float:
    """Roughly how many pixels a text takes in a sans-serif font; wide East Asian characters count full.

    >>> text_width("ab") < text_width("模型")
    True
    """
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return size * (wide + 0.58 * (len(text) - wide))


def shorten(text: str, room: float, size: float = 12) -> str:
    """The text, cut with an ellipsis where it would take more pixels than there is room.

    >>> shorten("a_very_long_column_name", 60)
    'a_very_…'
    """
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def show(value: float, span: float | None = None) -> str:
    """A figure for people: decimals follow the span that it is read against, thousands are grouped.

    >>> show(0.84213), show(123456.7), show(0.5, span=0.02), show(0.0000123), show(2.0)
    ('0.842', '123,457', '0.5000', '1.23e-05', '2.000')
    """
    size = abs(value)
    if size and ((size < 1e-3 and span is None) or size >= 1e9):
        return f"{value:.3g}"
    if span is None:
        decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    else:
        decimals = min(6, max(0, 2 - math.floor(math.log10(span)))) if span > 0 else 3
    return f"{value:,.{decimals}f}"


@frozen
class Axis:
    """Maps values low..high to pixels start..end, linear or logarithmic (then low > 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; values outside the range stay at its ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Round values within the range, with their labels."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, count)


def _ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    raw = (high - low) / max(count, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    values = [(first + i) * step for i in range(count + 3) if (first + i) * step <= high + step * 1e-9]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if round(step / unit, 2) == 2.5 else 0))
    largest = max(abs(low), abs(high))
    plain = largest < 1e7 and decimals <= 6
    return [(v, f"{v + 0.0:,.{decimals}f}" if plain else f"{v:.3g}") for v in values]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 7))
    marks: tuple[int, ...] = (1,) if last - first > 3 else (1, 2, 5)
    values = [m * 10.0**e for e in range(first, last + 1, every) for m in marks]
    return [(v, f"{v:g}" if 1e-4 <= v < 1e6 else f"{v:.0e}") for v in values if low * 0.999 <= v <= high * 1.001]


def axis(
    values: Iterable[float | None], start: float, end: float, *, log: bool = False, pad: float = 0.06
) -> Axis | None:
    """An axis that shows every value with a little air around, or None where there is none to show."""
    shown = [v for v in values if v is not None and (v > 1e-12 or not log)]
    if not shown:
        return None
    low, high = min(shown), max(shown)
    if log:
        return Axis(low=low / 1.6, high=high * 1.6, start=start, end=end, log=True)
    span = high - low
    if span <= 1e-9 * max(abs(low), abs(high), 1e-12):
        span = max(abs(low), 1e-6) * 0.2
        return Axis(low=low - span / 2, high=high + span / 2, start=start, end=end)
    return Axis(low=low - pad * span, high=high + pad * span, start=start, end=end)


def frame(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Markup]:
    """Grid lines, ticks and labels of a plot."""
    bottom, top = max(y.start, y.end), min(y.start, y.end)
    parts = []
    for value, label in y.ticks():
        parts.append(element("line", class_="grid", x1=x.start, x2=x.end, y1=y.at(value), y2=y.at(value)))
        parts.append(element("text", label, class_="tick", x=x.start - 6, y=y.at(value) + 4, text_anchor="end"))
    right = -1e9
    for value, label in x.ticks(6 if x.end - x.start > 420 else 4):
        at, half = x.at(value), text_width(label, 11) / 2
        parts.append(element("line", class_="grid", x1=at, x2=at, y1=bottom, y2=top))
        if at - half > right + 4:
            parts.append(element("text", label, class_="tick", x=at, y=bottom + 16, text_anchor="middle"))
            right = at + half
    middle = (x.start + x.end) / 2
    parts.append(element("text", x_label, class_="label", x=middle, y=bottom + 34, text_anchor="middle"))
    parts.append(element("text", y_label, class_="label", x=x.start, y=top - 10, text_anchor="start"))
    parts.append(element("line", class_="axis", x1=x.start, x2=x.end, y1=bottom, y2=bottom))
    return parts
