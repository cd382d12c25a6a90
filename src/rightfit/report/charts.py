"""Every chart of the report: small pure functions from figures to inline SVG; colours come from the page's style.

All take finite figures as `extras.usable` leaves them, and give "" when there is nothing to draw. Nothing is told by
colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rightfit.report.extras import number
from rightfit.report.svg import Axis, axis, drawing, element, frame, shorten, show, text_width

WIDE, HALF, TALL = 880, 420, 300
_EMPTY = Markup("")
Words = Mapping[str, str]


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    return "M" + " L".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in points)


def _bounds(row: Mapping[str, Any], value: str = "value") -> tuple[float, float, float] | None:
    """(low, value, high) of a row with an interval; a missing end is the value itself."""
    middle = number(row.get(value))
    if middle is None:
        return None
    low, high = number(row.get("low")), number(row.get("high"))
    return (min(middle if low is None else low, middle), middle, max(middle if high is None else high, middle))


def interval(row: Mapping[str, Any], scale: Axis | None, baseline: float | None, title: str, kind: str = "") -> Markup:
    """One value with its interval on a scale shared by a table's rows; the dashed line is the baseline."""
    bounds = _bounds(row)
    if bounds is None or scale is None:
        return _EMPTY
    low, value, high = (scale.at(one) for one in bounds)
    parts = [element("line", class_="rail", x1=scale.start, x2=scale.end, y1=11, y2=11)]
    if baseline is not None:
        parts.append(element("line", class_="dashed", x1=scale.at(baseline), x2=scale.at(baseline), y1=2, y2=20))
    parts.append(element("line", class_=f"range {kind}".strip(), x1=low, x2=high, y1=11, y2=11))
    parts.append(element("circle", class_=f"dot {kind}".strip(), cx=value, cy=11, r=4.5))
    return drawing(scale.end + 6, 22, title, "", *parts)


def gauge(value: float | None, limit: float, at_least: bool, title: str, met: bool) -> Markup:
    """A measured value as a bar against its limit, the upright line."""
    measured = number(value)
    if measured is None or number(limit) is None or measured < 0 or limit <= 0:
        return _EMPTY
    top = max(measured, limit) * 1.12
    scale = Axis(low=0, high=top, start=2, end=158)
    kind = "met" if met else "missed"
    return drawing(
        160,
        22,
        title,
        "at least" if at_least else "at most",
        element("rect", class_="rail-bar", x=2, y=7, width=156, height=8, rx=4),
        element("rect", class_=f"bar {kind}", x=2, y=7, width=max(3.0, scale.at(measured) - 2), height=8, rx=4),
        element("line", class_="limit", x1=scale.at(limit), x2=scale.at(limit), y1=2, y2=20),
    )


def curve(points: Sequence[tuple[float, float]], words: Words, *, chance: Sequence[tuple[float, float]] = (),
          note: str = "") -> Markup:
    """A curve over the unit square (ROC, precision-recall) with the line that guessing would give."""
    if len(points) < 2:
        return _EMPTY
    x, y = Axis(low=0, high=1, start=46, end=HALF - 12), Axis(low=0, high=1, start=TALL - 44, end=28)
    parts = frame(x, y, words["x"], words["y"])
    if chance:
        parts.append(element("path", class_="chance", d=_path(chance, x, y)))
    parts.append(element("path", class_="line", d=_path(points, x, y)))
    if note:
        parts.append(element("text", note, class_="note", x=x.end - 6, y=y.start - 10, text_anchor="end"))
    return drawing(HALF, TALL, words["title"], words["desc"], *parts)


def reliability(part: Mapping[str, Any], words: Words) -> Markup:
    """Observed share against mean predicted probability per bin; the area of a point grows with the rows in its bin."""
    pairs = list(zip(part["mean_predicted"], part["observed"], strict=True))
    given = part.get("count")
    counts = (
        [number(c) or 0 for c in given] if isinstance(given, list) and len(given) == len(pairs) else [1.0] * len(pairs)
    )
    most = max(counts, default=0) or 1
    x, y = Axis(low=0, high=1, start=46, end=HALF - 12), Axis(low=0, high=1, start=TALL - 44, end=28)
    parts = [*frame(x, y, words["x"], words["y"]), element("path", class_="chance", d=_path([(0, 0), (1, 1)], x, y))]
    if len(pairs) > 1:
        parts.append(element("path", class_="line", d=_path(sorted(pairs), x, y)))
    for (a, b), count in zip(pairs, counts, strict=True):
        tip = f"{show(a)} → {show(b)}" + (f" (n={count:,.0f})" if given else "")
        radius = 3 + 6 * (max(count, 0) / most) ** 0.5
        parts.append(element("circle", element("title", tip), class_="point", cx=x.at(a), cy=y.at(b), r=radius))
    return drawing(HALF, TALL, words["title"], words["desc"], *parts)


def scatter(true: Sequence[float], predicted: Sequence[float], words: Words, *, residuals: bool = False) -> Markup:
    """Predicted against true values, or their difference against the prediction; the line is a perfect model."""
    if not true:
        return _EMPTY
    down = [p - t for t, p in zip(true, predicted, strict=True)] if residuals else list(predicted)
    across = list(predicted) if residuals else list(true)
    x = axis(across if residuals else [*true, *predicted], 58, HALF - 12)
    y = axis([*down, 0.0] if residuals else [*true, *predicted], TALL - 44, 28)
    if x is None or y is None:
        return _EMPTY
    ideal = [(x.low, 0.0), (x.high, 0.0)] if residuals else [(x.low, x.low), (x.high, x.high)]
    parts = [*frame(x, y, words["x"], words["y"]), element("path", class_="chance", d=_path(ideal, x, y))]
    parts += [
        element("circle", class_="speck", cx=x.at(a), cy=y.at(b), r=2.6) for a, b in zip(across, down, strict=True)
    ]
    return drawing(HALF, TALL, words["title"], words["desc"], *parts)


def confusion(labels: Sequence[str], matrix: Sequence[Sequence[float]], words: Words) -> Markup:
    """Counts by true (row) and predicted (column) class, shaded by the share of the row; for up to 16 classes."""
    k = len(labels)
    left = 30 + min(120.0, max(text_width(one, 11) for one in labels))
    cell = max(24.0, min(72.0, (WIDE / 2 - left) / k))
    turned = any(text_width(one, 11) > cell - 4 for one in labels)
    top = 34 + (min(70.0, 0.8 * max(text_width(one, 11) for one in labels)) if turned else 14)
    parts = [element("text", words["x"], class_="label", x=left + k * cell / 2, y=14, text_anchor="middle"),
             element("text", words["y"], class_="label", x=14, y=top + k * cell / 2, text_anchor="middle",
                     transform=f"rotate(-90 14 {top + k * cell / 2:.1f})")]
    for i, label in enumerate(labels):
        name, middle = shorten(label, 86 if turned else cell - 4, 11), (i + 0.5) * cell
        turn = f"rotate(-50 {left + middle:.1f} {top - 8:.1f})" if turned else None
        parts.append(element("text", name, class_="tick", x=left + middle, y=top - 8, transform=turn,
                             text_anchor="start" if turned else "middle"))
        parts.append(
            element("text", shorten(label, 118, 11), class_="tick", x=left - 6, y=top + middle + 4, text_anchor="end")
        )
        total = sum(matrix[i]) or 1
        for j, count in enumerate(matrix[i]):
            share = count / total
            kind = "right" if i == j else "wrong"
            tip = element("title", f"{label} → {labels[j]}: {count:,.0f} ({share:.1%})")
            parts.append(element("rect", tip, class_=f"cell {kind}", x=left + j * cell + 1, y=top + i * cell + 1, rx=3,
                                 width=cell - 2, height=cell - 2, fill_opacity=0.06 + 0.84 * share))
            parts.append(element("text", f"{count:,.0f}" if count < 1e4 or cell > 50 else f"{count:.0e}",
                                 class_="count strong" if share > 0.55 else "count", x=left + (j + 0.5) * cell,
                                 y=top + middle + 4, text_anchor="middle", font_size=13 if cell > 40 else 10))
    return drawing(left + k * cell + (44 if turned else 8), top + k * cell + 6, words["title"], words["desc"], *parts)


def bars(
    rows: Sequence[Mapping[str, Any]], words: Words, *, label: str, value: str = "value", unit: str = ""
) -> Markup:
    """Horizontal bars with error whiskers, in the order given; a bar left of zero means the opposite sign."""
    known = [(str(row[label]), bounds) for row in rows if (bounds := _bounds(row, value))]
    if not known:
        return _EMPTY
    left = min(170.0, 16 + max(text_width(name) for name, _ in known))
    x = axis([0.0, *(end for _, ends in known for end in ends)], left, HALF - 62, pad=0)
    if x is None:
        return _EMPTY
    parts, zero, height = [], x.at(0), 26 * len(known) + 10
    parts.append(element("line", class_="axis", x1=zero, x2=zero, y1=2, y2=height - 6))
    span = max(abs(x.low), abs(x.high))
    for i, (name, (low, middle, high)) in enumerate(known):
        y, end = 26 * i + 18, x.at(middle)
        parts.append(
            element(
                "text",
                element("title", name),
                shorten(name, left - 12),
                class_="name",
                x=left - 8,
                y=y + 4,
                text_anchor="end",
            )
        )
        parts.append(element("rect", class_="bar negative" if middle < 0 else "bar", x=min(zero, end), y=y - 7, rx=2,
                             width=max(1.0, abs(end - zero)), height=14))
        if high > low:
            parts.append(element("line", class_="whisker", x1=x.at(low), x2=x.at(high), y1=y, y2=y))
            parts += [
                element("line", class_="whisker", x1=x.at(e), x2=x.at(e), y1=y - 4, y2=y + 4) for e in (low, high)
            ]
        parts.append(element("text", show(middle, span) + unit, class_="tick", x=HALF - 4, y=y + 4, text_anchor="end"))
    return drawing(HALF, height, words["title"], words["desc"], *parts)


def learning(rows: Sequence[Mapping[str, Any]], words: Words) -> Markup:
    """The metric on held-out rows against the number of training rows, with its interval as a band."""
    known = sorted(
        (size, *ends) for row in rows if (size := number(row.get("rows"))) and size > 0 and (ends := _bounds(row))
    )
    if len(known) < 2:
        return _EMPTY
    x = axis([row[0] for row in known], 58, HALF - 12, pad=0.03)
    y = axis([end for row in known for end in row[1:]], TALL - 44, 28)
    if x is None or y is None:
        return _EMPTY
    around = [(n, high) for n, _, _, high in known] + [(n, low) for n, low, _, _ in reversed(known)]
    parts = [*frame(x, y, words["x"], words["y"]), element("path", class_="band", d=_path(around, x, y) + " Z"),
             element("path", class_="line", d=_path([(n, v) for n, _, v, _ in known], x, y))]
    for n, low, value, high in known:
        tip = f"{n:,.0f}: {show(value)} [{show(low)}, {show(high)}]"
        parts.append(element("circle", element("title", tip), class_="point", cx=x.at(n), cy=y.at(value), r=4))
    return drawing(HALF, TALL, words["title"], words["desc"], *parts)


def epochs(rows: Sequence[Mapping[str, Any]], value: str, words: Words) -> Markup:
    """A figure of every epoch, one line for each fold."""
    lines: dict[float, list[tuple[float, float]]] = {}
    for row in rows:
        fold, epoch, height = number(row.get("fold")), number(row.get("epoch")), number(row.get(value))
        if fold is not None and epoch is not None and height is not None:
            lines.setdefault(fold, []).append((epoch, height))
    points = [point for line in lines.values() for point in line]
    if len(points) < 2:
        return _EMPTY
    x = axis([epoch for epoch, _ in points], 58, HALF - 12, pad=0.03)
    y = axis([height for _, height in points], TALL - 44, 28)
    if x is None or y is None:
        return _EMPTY
    parts = [*frame(x, y, words["x"], words["y"])]
    for fold, line in sorted(lines.items()):
        parts.append(element("path", class_="line", d=_path(sorted(line), x, y)))
        parts += [element("circle", element("title", f"{fold:.0f}: {epoch:g}, {show(height)}"), class_="point",
                          cx=x.at(epoch), cy=y.at(height), r=3) for epoch, height in line]
    return drawing(HALF, TALL, words["title"], words["desc"], *parts)


def dumbbell(train: float, valid: float, words: Words) -> Markup:
    """The metric on training and on held-out rows on one line; the distance is the over-fit gap."""
    x = axis([train, valid], 60, HALF - 60, pad=0.25)
    if x is None:
        return _EMPTY
    a, b = x.at(train), x.at(valid)
    sides = ("end", "start") if a <= b else ("start", "end")
    shift = (-9, 9) if a <= b else (9, -9)
    parts = [
        element("line", class_="rail", x1=20, x2=HALF - 20, y1=42, y2=42),
        element("line", class_="gap", x1=a, x2=b, y1=42, y2=42),
        element("circle", class_="dot hollow", cx=a, cy=42, r=6),
        element("circle", class_="dot", cx=b, cy=42, r=6),
    ]
    for at, value, word, side, by in (
        (a, train, words["train"], sides[0], shift[0]),
        (b, valid, words["valid"], sides[1], shift[1]),
    ):
        parts.append(element("text", word, class_="name", x=at + by, y=28, text_anchor=side))
        parts.append(element("text", show(value), class_="tick", x=at + by, y=64, text_anchor=side))
    return drawing(HALF, 76, words["title"], words["desc"], *parts)


def timeline(rows: Sequence[Mapping[str, Any]], words: Words) -> Markup:
    """Seconds by phase as one stacked bar; the table below names the parts."""
    known = [(str(row["name"]), max(0.0, number(row["seconds"]) or 0.0)) for row in rows]
    total = sum(seconds for _, seconds in known)
    if total <= 0:
        return _EMPTY
    parts, at = [], 0.0
    for i, (name, seconds) in enumerate(known):
        width = WIDE * seconds / total
        tip = element("title", f"{name}: {seconds:.3g} s")
        parts.append(
            element("rect", tip, class_=f"part part{i % 6}", x=at, y=2, width=max(0.0, width - 2), height=28, rx=3)
        )
        if width > text_width(name, 11) + 12:
            parts.append(element("text", name, class_="onpart", x=at + width / 2 - 1, y=20, text_anchor="middle"))
        at += width
    return drawing(WIDE, 32, words["title"], words["desc"], *parts)
