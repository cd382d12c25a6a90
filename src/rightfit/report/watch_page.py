"""What the monitor saw, and a replay of production, as offline pages, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from rightfit.report.page import environment
from rightfit.report.svg import axis, drawing, element, frame, show
from rightfit.report.wording import Words

_W, _H, MOST = 860, 300, 30
COLOURS = ("var(--p0)", "var(--p1)", "var(--p2)", "var(--p3)", "var(--p4)")
Line = tuple[str, Sequence[float | None]]


def render(found: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = (), *, name: str = "",
           language: str = "en") -> str:
    """One look of the monitor as HTML; `history`: earlier ones, for trends. Raises UnknownName for a language."""
    t = Words(language=language)
    drifted = [f for f in found["features"] if f["significant"]]
    key = "watch.short" if not found["enough"] else "watch.alarm" if found["alarm"] else "watch.calm"
    verdict = t(key, drifted=len(drifted), tests=len(found["features"]), rows=found["rows"])
    parts = [_performance(found, t), _columns(drifted, t), *_trends(history, t), _outside(found, t)]
    return _whole(t, t("watch.title", name=name), verdict, [t("watch.lede")], [part for part in parts if part])


def render_replay(found: Mapping[str, Any], *, name: str = "", language: str = "en") -> str:
    """A replay as HTML: the three policies over time, and what each came to. Raises UnknownName for a language."""
    t = Words(language=language)
    metric = t.name(found["metric"])
    head = [t(f"watch.c.{c}", metric=metric) for c in ("policy", "mean", "looked", "updated", "seconds")]
    rows = [[t(f"watch.p.{s['policy']}"), show(s["value"]), str(s["looked"]), str(s["updated"]),
             f"{s['seconds']:.1f}"] for s in found["sums"]]
    lines = [(t(f"watch.p.{p}"), [one[p]["value"] for one in found["periods"]]) for p in ("never", "every", "alarm")]
    marks = [i for i, one in enumerate(found["periods"]) if one["alarm"]["updated"]]
    guessed = [one["alarm"]["estimated"] or {} for one in found["periods"]]
    seen = [(t("watch.realised"), lines[2][1]), (t("watch.estimated"), [g.get("value") for g in guessed])]
    band = [(g.get("low"), g.get("high")) for g in guessed]
    parts = [_part(t("watch.h.policies"), said=[t("watch.replay.said")], table=_grid(head, rows, (1, 2, 3, 4)),
                   svg=chart(lines, t("watch.h.policies"), (t("watch.period"), metric), marks=marks)),
             _part(t("watch.h.estimate"), said=[t("watch.covered", covered=found["covered"], of=found["estimated"])],
                   svg=chart(seen, t("watch.h.estimate"), (t("watch.period"), metric), band=band))]
    verdict = t("watch.replay.verdict", periods=len(found["periods"]), alarms=found["alarms"])
    return _whole(t, t("watch.replay.title", name=name), verdict, [t("watch.replay.lede")], parts)


def _whole(t: Words, title: str, verdict: str, lede: list[str], parts: list[dict[str, Any]]) -> str:
    from markupsafe import Markup

    style = (resources.files("rightfit.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return environment().get_template("cost.html.j2").render(
        t=t, lang=t.language.replace("_", "-"), style=Markup(style), title=title, verdict=verdict, lede=lede,
        parts=parts)


def _part(heading: str, *, said: Sequence[str] = (), table: Any = None, svg: Any = None,
          notes: Sequence[str] = ()) -> dict[str, Any]:
    return {"heading": heading, "said": list(said), "table": table, "svg": svg, "notes": list(notes)}


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> dict[str, Any]:
    return {"head": head, "rows": rows, "numbers": numbers, "mine": -1, "dated": False}


def _performance(found: Mapping[str, Any], t: Words) -> dict[str, Any] | None:
    rows, notes = [], []
    for name in ("expected", "estimated", "realised"):
        one = found[name]
        if one:
            rows.append([t(f"watch.{name}"), show(one["value"]), f"{show(one['low'])} … {show(one['high'])}",
                         t("watch.worse") if name in found["lost"] else ""])
            notes += [t(f"watch.note.{name}")]
    if not rows:
        return None
    metric = t.name(found["expected"]["metric"])
    head = [metric, t("watch.c.value"), t("watch.c.interval"), t("watch.c.verdict")]
    return _part(t("watch.h.performance", metric=metric), table=_grid(head, rows, (1, 2)), notes=notes)


def _columns(drifted: Sequence[Mapping[str, Any]], t: Words) -> dict[str, Any] | None:
    if not drifted:
        return _part(t("watch.h.columns"), said=[t("watch.none")])
    names = ("column", "test", "p", "effect", "psi", "importance", "shift", "examples")
    rows = [[f["name"] + (" !" if f["alarm"] else ""), f["test"], f"{f['p']:.2g}", f"{f['effect']:.3f}",
             "" if f["psi"] is None else f"{f['psi']:.3f}", f"{f['importance']:.3g}" if f["importance"] else "",
             _said(f["shift"], t), _said("; ".join(f["examples"]), t)] for f in drifted[:MOST]]
    return _part(t("watch.h.columns"), said=[t("watch.columns")],
                 table=_grid([t(f"watch.c.{n}") for n in names], rows, (2, 3, 4, 5)))


def _said(text: str, t: Words) -> str:
    """What a look says of values, in the language of the page."""
    for word in ("median", "middle 80 %", "missing", "row "):
        text = text.replace(word, t(f"watch.w.{word.strip()}")) if f"watch.w.{word.strip()}" in t else text
    return text


def _trends(history: Sequence[Mapping[str, Any]], t: Words) -> list[dict[str, Any]]:
    looks = [line["monitoring"] for line in history if line.get("monitoring", {}).get("enough")]
    if len(looks) < 2:
        return []

    def of(name: str, part: str) -> list[float | None]:
        return [(look[name] or {}).get(part) for look in looks]

    metric = t.name((looks[-1]["expected"] or {}).get("metric", ""))
    lines = [(t(f"watch.{name}"), of(name, "value")) for name in ("expected", "estimated", "realised")]
    band = list(zip(of("estimated", "low"), of("estimated", "high"), strict=True))
    seen = [{f["name"]: f["effect"] for f in look["features"]} for look in looks]
    total = {name: sum(one.get(name, 0.0) for one in seen) for name in seen[-1]}
    top = sorted(total, key=lambda name: -total[name])[:len(COLOURS)]
    marks = [i for i, look in enumerate(looks) if look["alarm"]]
    return [_part(t("watch.h.trend", metric=metric), notes=[t("watch.marks")],
                  svg=chart(lines, t("watch.h.trend", metric=metric), (t("watch.window"), metric), band=band,
                            marks=marks)),
            _part(t("watch.h.effects"), svg=chart([(name, [one.get(name) for one in seen]) for name in top],
                                                  t("watch.h.effects"), (t("watch.window"), t("watch.c.effect")),
                                                  marks=marks))]


def _outside(found: Mapping[str, Any], t: Words) -> dict[str, Any] | None:
    rows = [[f["column"] or "", f["evidence"]] for f in found["findings"][:MOST]]
    head = [t("watch.c.column"), t("watch.c.finding")]
    return _part(t("watch.h.findings"), table=_grid(head, rows, ())) if rows else None


def chart(lines: Sequence[Line], title: str, labels: tuple[str, str], *, band: Sequence[Any] = (),
          marks: Sequence[int] = ()) -> Any:
    """Lines over places 1, 2, ..., values or None; band: (low, high) at each place; marks: places of dashed lines."""
    values = [v for _, line in lines for v in line if v is not None]
    values += [v for pair in band for v in pair if v is not None]
    count = max(len(line) for _, line in lines)
    x, y = axis([1, count], 70, _W - 20, pad=0.02), axis(values, _H - 60, 60)
    if x is None or y is None:
        return None
    inside = list(frame(x, y, *labels))
    known = [(i + 1, pair) for i, pair in enumerate(band) if None not in pair]
    if len(known) > 1:
        edge = [f"{x.at(i):.1f},{y.at(low):.1f}" for i, (low, _) in known]
        edge += [f"{x.at(i):.1f},{y.at(high):.1f}" for i, (_, high) in reversed(known)]
        inside.append(element("polygon", points=" ".join(edge), style=f"fill:{COLOURS[1]};opacity:.15"))
    for i in marks:
        inside.append(element("line", class_="axis", x1=x.at(i + 1), x2=x.at(i + 1), y1=y.start, y2=y.end,
                              stroke_dasharray="2 4"))
    at = x.start
    for (name, line), colour in zip(lines, COLOURS, strict=False):
        points = [(i + 1, v) for i, v in enumerate(line) if v is not None]
        path = " ".join(f"{x.at(i):.1f},{y.at(v):.1f}" for i, v in points)
        inside.append(element("polyline", points=path, fill="none", style=f"stroke:{colour};stroke-width:2"))
        inside += [element("circle", cx=x.at(i), cy=y.at(v), r=2.5, style=f"fill:{colour}") for i, v in points]
        inside.append(element("text", name, class_="label", x=at, y=16, style=f"fill:{colour}"))
        at += 14 * (len(name) + 2) if any(ord(c) > 255 for c in name) else 7.5 * len(name) + 24
    return drawing(_W, _H, title, "", *inside)
