"""Quality against latency: the plot on which the decision can be seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from rightfit.records import frozen
from rightfit.report.svg import Axis, axis, drawing, element, frame, shorten, text_width

_W, _H = 880, 420


@frozen
class Point:
    """One candidate: latency in ms (> 0), quality in the metric's unit, size in MiB or None, a tip."""

    name: str
    latency: float
    quality: float
    size: float | None = None
    chosen: bool = False
    front: bool = False
    tip: str = ""


Box = tuple[float, float, float, float]


def _hits(box: Box, others: Iterable[Box]) -> bool:
    left, top, right, bottom = box
    return any(left < r and l < right and top < b and t < bottom for l, t, r, b in others)  # noqa: E741


def place(
    points: Sequence[tuple[float, float, float, str]], room: Box, lines: Sequence[Box] = ()
) -> list[tuple[float, float, str] | None]:
    """Where each label goes: (x, baseline y, text-anchor) beside its circle, or None where no place is free.

    Points are (x, y, radius, text), the most important first. Greedy over eight positions; no label touches another
    label, a circle, or the edge of `room` (left, top, right, bottom). `lines` are avoided where that is possible.
    """
    circles = [(x - r, y - r, x + r, y + r) for x, y, r, _ in points]
    taken: list[Box] = []
    found: list[tuple[float, float, str] | None] = []
    for x, y, r, text in points:
        width, gap = text_width(text), r + 5
        spots = [(x + gap, y + 4, "start"), (x - gap, y + 4, "end"), (x, y - gap, "middle"), (x, y + gap + 9, "middle"),
                 (x + gap * 0.8, y - gap * 0.8, "start"), (x - gap * 0.8, y - gap * 0.8, "end"),
                 (x + gap * 0.8, y + gap * 0.8 + 9, "start"), (x - gap * 0.8, y + gap * 0.8 + 9, "end")]
        best: tuple[float, float, str] | None = None
        for avoid, (at, base, anchor) in ((avoid, spot) for avoid in (lines, ()) for spot in spots):
            left = at - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            box = (left - 1, base - 11, left + width + 1, base + 3)
            inside = box[0] >= room[0] and box[1] >= room[1] and box[2] <= room[2] and box[3] <= room[3]
            if inside and not _hits(box, taken) and not _hits(box, circles) and not _hits(box, avoid):
                best = (at, base, anchor)
                taken.append(box)
                break
        found.append(best)
    return found


def _radius(size: float | None, largest: float) -> float:
    return 6.0 if size is None or largest <= 0 else 5 + 13 * (max(size, 0) / largest) ** 0.5


def _front(points: Sequence[Point], x: Axis, y: Axis, higher: bool) -> tuple[list[Markup], list[Box]]:
    """The staircase through the candidates that no other beats in both quality and latency, and its segments."""
    steps: list[Point] = []
    for point in sorted(points, key=lambda p: (p.latency, -p.quality if higher else p.quality)):
        if not steps or (point.quality > steps[-1].quality if higher else point.quality < steps[-1].quality):
            steps.append(point)
    if len(steps) < 2:
        return [], []
    at = [(x.at(p.latency), y.at(p.quality)) for p in steps]
    d = f"M{at[0][0]:.1f},{at[0][1]:.1f}" + "".join(f" H{right:.1f} V{top:.1f}" for right, top in at[1:])
    lines: list[Box] = []
    for (left, low), (right, top) in itertools.pairwise(at):
        lines += [(left, low - 1, right, low + 1), (right - 1, min(low, top), right + 1, max(low, top))]
    return [element("path", class_="front", d=d)], lines


def pareto(points: Sequence[Point], words: Mapping[str, str], *, higher: bool, max_latency: float | None = None,
           floor: float | None = None) -> Markup:
    """Quality against latency (log), area by size; lines show the limits, the ring shows the choice.

    `words`: title, desc, x, y, limit, floor. Quality axis is turned over when lower is better, so up is always better.
    """
    known = [p for p in points if p.latency > 1e-12]
    x = axis([*(p.latency for p in known), max_latency], 64, _W - 24, log=True) if known else None
    y = axis([*(p.quality for p in known), floor], *((_H - 50, 30) if higher else (30, _H - 50)), pad=0.1)
    if x is None or y is None:
        return Markup("")
    parts = frame(x, y, words["x"], words["y"])
    stairs, lines = _front(known, x, y, higher)
    if max_latency is not None and max_latency > 0:
        at = x.at(max_latency)
        lines.append((at - 2, 30, at + 2, _H - 50))
        parts.append(element("rect", class_="beyond", x=at, y=30, width=max(0.0, x.end - at), height=_H - 80.0))
        parts.append(element("line", class_="limit", x1=at, x2=at, y1=30, y2=_H - 50))
        parts.append(element("text", words["limit"], class_="note", x=at - 5, y=_H - 58, text_anchor="end"))
    if floor is not None:
        at = y.at(floor)
        lines.append((x.start, at - 2, x.end, at + 2))
        parts.append(
            element("rect", class_="beyond", x=x.start, y=at, width=x.end - x.start, height=max(0.0, _H - 50 - at))
        )
        parts.append(element("line", class_="limit", x1=x.start, x2=x.end, y1=at, y2=at))
        parts.append(element("text", words["floor"], class_="note", x=x.start + 6, y=at - 6))
    parts += stairs
    largest = max((p.size or 0 for p in known), default=0)
    ranked = sorted(known, key=lambda p: (not p.chosen, not p.front, -p.quality if higher else p.quality))
    circles = [
        (x.at(p.latency), y.at(p.quality), _radius(p.size, largest) + (4 if p.chosen else 0), shorten(p.name, 170))
        for p in ranked
    ]
    for p, (cx, cy, r, _) in sorted(zip(ranked, circles, strict=True), key=lambda one: -one[1][2]):
        kind = "chosen" if p.chosen else "onfront" if p.front else "other"
        if p.chosen:
            parts.append(element("circle", class_="ring", cx=cx, cy=cy, r=r))
        parts.append(element("circle", element("title", p.tip or p.name), class_=f"bubble {kind}", cx=cx, cy=cy,
                             r=r - 4 if p.chosen else r, data_name=p.name))
    for p, spot, (_, _, _, name) in zip(
        ranked, place(circles, (x.start, 30, x.end + 20, _H - 52), lines), circles, strict=True
    ):
        if spot:
            parts.append(
                element(
                    "text", name, class_="pin strong" if p.chosen else "pin", x=spot[0], y=spot[1], text_anchor=spot[2]
                )
            )
    return drawing(_W, _H, words["title"], words["desc"], *parts)

