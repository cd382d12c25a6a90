"""The candidates side by side: limits, leaderboard, Pareto plot, and those that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rightfit.report import charts
from rightfit.report.extras import number
from rightfit.report.pareto import Point, pareto
from rightfit.report.svg import Axis, axis, show
from rightfit.report.wording import DASH, Words, figure

MOST_ROWS, MOST_TEXT = 50, 600
_RAN = ("ok", "pruned")
Json = Mapping[str, Any]


def value_of(record: Any) -> float | None:
    """The metric's value in a trial, an estimate or a baseline, whichever way it is held."""
    if not isinstance(record, Mapping):
        return number(record)
    inner = record.get("metric")
    found = number(record.get("value"))
    return found if found is not None else value_of(inner) if isinstance(inner, Mapping | float | int) else None


def label(record: Json | None) -> str:
    """What a candidate is called in a sentence: its name, with its family where the name does not tell."""
    if not record:
        return DASH
    name, family = str(record.get("name") or ""), str(record.get("family") or "")
    return f"{family} ({name})" if family and name and not name.startswith(family) else name or family or DASH


def brief(value: Any) -> str:
    """A text, or a value as JSON, cut where it would fill the page."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT - 1] + "…"


def limits(data: Json, extras: Json, words: Words, higher: bool) -> list[dict[str, Any]]:
    """One row for each limit: what was asked, what was measured, whether it is met, and the gauge."""
    senses = {one.get("name"): one.get("sense") for one in extras.get("task", {}).get("limits", [])}
    rows = []
    for one in data["limits"]:
        name, limit, value = str(one["name"]), number(one["limit"]), number(one["value"])
        known = senses.get(name)
        at_least = (
            known == "at_least"
            if known
            else name.endswith("_per_s")
            or ("_mi" not in name and "_ms" not in name and "_per_month" not in name and higher)
        )
        title = words.name(name)
        asked = words("at_least" if at_least else "at_most", value=figure(name, limit))
        gauge = (
            Markup("")
            if limit is None
            else charts.gauge(value, limit, at_least, f"{title}: {figure(name, value)}", one["met"])
        )
        rows.append({"name": title, "asked": asked, "met": bool(one["met"]), "gauge": gauge,
                     "value": words("unknown") if value is None else figure(name, value)})
    return rows


def _spread(values: Sequence[float], higher: bool) -> tuple[float, float]:
    """The range worth drawing: a few hopeless candidates must not press the others together."""
    ranked = sorted(values, reverse=higher)
    keep = ranked[:max(2, -(-3 * len(ranked) // 4))]
    reach = abs(keep[-1] - keep[0]) * 2.5
    close = [v for v in ranked if reach == 0 or abs(v - keep[0]) <= reach]
    return min(close), max(close)


def ranked_trials(data: Json, higher: bool) -> list[Json]:
    """Trials that gave a value, finished ones first, the best on top."""
    known = [(one, value) for one in data["trials"] if one["state"] in _RAN and (value := value_of(one)) is not None]
    return [
        one for one, _ in sorted(known, key=lambda pair: (pair[0]["state"] != "ok", -pair[1] if higher else pair[1]))
    ]


def _scale(rows: Sequence[Json], baseline: float | None, higher: bool) -> Axis | None:
    values = [v for row in rows if row["state"] == "ok" and (v := value_of(row)) is not None]
    if not values:
        return None
    low, high = _spread(values, higher)
    ends = [end for row in rows for side in ("low", "high") if (end := number(row["metric"].get(side))) is not None]
    reach = (high - low) or 1.0
    near = [v for v in [*ends, *([] if baseline is None else [baseline])] if low - reach <= v <= high + reach]
    return axis([low, high, *near], 6, 194)


def leaderboard(data: Json, words: Words, higher: bool) -> dict[str, Any]:
    """Rows of the leaderboard with their interval bars on one scale."""
    ranked = ranked_trials(data, higher)
    best = ranked[:MOST_ROWS]
    base_name, base = (data["baseline"] or {}).get("name"), value_of(data["baseline"] or {})
    chosen, nearest = ((data.get(one) or {}).get("name") for one in ("chosen", "nearest"))
    scale, rows = _scale(best, base, higher), []
    more = (data.get("extras") or {}).get("trials") or {}
    for place, row in enumerate(best, 1):
        name = row["name"]
        tied = name in data["ties"] or bool((more.get(name) or {}).get("tied"))
        front = name in data["front"] or bool((more.get(name) or {}).get("on_front"))
        tags = [
            tag
            for tag, on in (
                ("chosen", name == chosen),
                ("nearest", name == nearest),
                ("tied", tied and name != chosen),
                ("front", front),
                ("baseline", name == base_name),
            )
            if on
        ]
        low, high = (number(row["metric"].get(side)) for side in ("low", "high"))
        value = value_of(row) or 0.0
        title = f"{name}: {show(value)}" + (
            f" [{show(low)}, {show(high)}]" if low is not None and high is not None else ""
        )
        kind = "chosen" if name == chosen else "" if row["state"] == "ok" else "faint"
        rows.append(
            {
                "place": place,
                "name": name,
                "family": row["family"],
                "tags": [(t, words(f"tag.{t}")) for t in tags],
                "state": "" if row["state"] == "ok" else words(f"state.{row['state']}"),
                "value": show(value),
                "range": "" if low is None or high is None else f"{show(low)} {DASH} {show(high)}",
                "bar": charts.interval(row["metric"], scale, base, title, kind),
                "chosen": name == chosen,
                "fit_forecast": _expected(more.get(name) or {}, words),
                **{n: figure(n, number(row.get(n))) for n in ("latency_p95_ms", "memory_mib", "size_mib", "fit_s")},
            }
        )
    return {"rows": rows, "more": max(0, len(ranked) - len(rows))}


def _expected(more: Json, words: Words) -> tuple[str, str] | None:
    """What the fit was forecast to take before it started, and the interval; None where nobody forecast it."""
    value, low, high = (number(more.get(f"fit_s_forecast{end}")) for end in ("", "_low", "_high"))
    if value is None:
        return None
    return words("forecast", value=figure("fit_s", value)), f"{figure('fit_s', low)} {DASH} {figure('fit_s', high)}"


def plane(data: Json, extras: Json, words: Words, higher: bool) -> dict[str, Any]:
    """The Pareto plot, and what the sliders need."""
    code, marked = str(data["task"].get("metric") or ""), data.get("chosen") or data.get("nearest") or {}
    metric = words.name(code)
    rows = [r for r in ranked_trials(data, higher)[:MOST_ROWS] if r["state"] == "ok"]
    more = extras.get("trials", {})
    points = [Point(name=str(r["name"]), latency=latency, quality=value_of(r) or 0.0, size=number(r.get("size_mib")),
                    chosen=r["name"] == marked.get("name"),
                    front=r["name"] in data["front"] or bool((more.get(r["name"]) or {}).get("on_front")),
                    tip=f"{r['name']}: {metric} {show(value_of(r) or 0.0)}, {figure('_ms', latency)}, "
                        f"{figure('size_mib', number(r.get('size_mib')))}")
              for r in rows if (latency := number(r.get("latency_p95_ms"))) is not None and latency > 0]
    if len(points) < 2:
        return {}
    low, high = _spread([p.quality for p in points], higher)
    near = [p for p in points if p.chosen or low <= p.quality <= high]
    asked = {one["name"]: number(one["limit"]) for one in data["limits"]}
    latency, floor = asked.get("latency_p95_ms"), asked.get(code)
    text = {"title": words("h.pareto"), "desc": words("pareto.desc", n=len(near), metric=metric, name=label(marked)),
            "x": words("x.latency"), "y": metric, "limit": "≤ " + figure("_ms", latency),
            "floor": f"{'≥' if higher else '≤'} {figure(metric, floor)}"}
    svg = pareto(near, text, higher=higher, max_latency=latency, floor=floor)
    sliders = [
        {
            "n": p.name,
            "v": p.quality,
            "s": show(p.quality),
            "l": p.latency,
            "z": p.size,
            "m": number(r.get("memory_mib")),
        }
        for p, r in ((p, next(r for r in rows if r["name"] == p.name)) for p in points)
    ]
    return {
        "svg": svg,
        "far": len(points) - len(near),
        "sliders": {"higher": higher, "metric": metric, "rows": sliders},
    }


def failed(data: Json, words: Words) -> list[dict[str, str]]:
    """Every candidate that did not run to its end, with the reason."""
    return [
        {
            "name": str(one["name"]),
            "family": str(one.get("family") or ""),
            "reason": brief(words.say(one.get("error"))) or DASH,
            "state": words(f"state.{one['state']}") if f"state.{one['state']}" in words else str(one["state"]),
        }
        for one in data["trials"]
        if one["state"] not in _RAN or value_of(one) is None
    ]
