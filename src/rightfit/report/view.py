"""decision.json -> what the page shows: sentences, table rows and charts; the templates only arrange them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from rightfit.errors import UnknownName
from rightfit.report import charts
from rightfit.report.extras import number, usable
from rightfit.report.figures import diagnostics, learned
from rightfit.report.json import clean
from rightfit.report.pareto import Point, pareto
from rightfit.report.svg import Axis, axis, show
from rightfit.report.wording import DASH, Words, figure

MOST_ROWS, MOST_FINDINGS, MOST_TEXT = 50, 100, 600
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


def higher_is_better(data: Json, extras: Json) -> bool:
    """The metric's direction: as `extras` says, else as `rightfit.metrics` or a limit on it says, else estimate against baseline."""
    if isinstance(extras.get("higher_is_better"), bool):
        return bool(extras["higher_is_better"])
    metric = str(data["task"].get("metric") or "")
    # A user's module:function is not imported only to draw a report.
    if metric and ":" not in metric:
        from rightfit.metrics import base

        try:
            return bool(base.find(metric).greater_is_better)
        except UnknownName:
            pass
    for limit in extras.get("task", {}).get("limits", []):
        if limit.get("name") == metric:
            return bool(limit.get("sense") == "at_least")
    mine, base_value = value_of(data.get("estimate") or {}), value_of(data.get("baseline") or {})
    return mine is None or base_value is None or mine >= base_value


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT - 1] + "…"


def verdict(data: Json, words: Words) -> dict[str, Any]:
    """The decision in one sentence, and those that qualify it."""
    chosen, nearest, estimate = data.get("chosen"), data.get("nearest") or {}, data.get("estimate") or {}
    binding = ", ".join(words.name(str(one)) for one in nearest.get("binding") or [])
    more: list[str] = []
    if data["status"] == "chosen":
        name = Markup("<strong>{}</strong>").format((chosen or {}).get("family") or label(chosen))
        value, low, high = value_of(estimate), number(estimate.get("low")), number(estimate.get("high"))
        metric = words.name(str(estimate.get("metric") or data["task"].get("metric") or ""))
        if value is None:
            line = words.rich("verdict.chosen_bare", name=name)
        elif low is None or high is None:
            line = words.rich("verdict.chosen_plain", name=name, metric=metric, value=show(value))
        else:
            line = words.rich("verdict.chosen", name=name, metric=metric, value=show(value), low=show(low), high=show(high))
        missed = [words.name(one["name"]) for one in data["limits"] if not one["met"]]
        if data["limits"]:
            more.append(words("verdict.some_missed", names=", ".join(missed)) if missed else words("verdict.all_met"))
        latency, size = (number(data["measured"].get(n)) for n in ("latency_p95_ms", "size_mib"))
        if latency is not None and size is not None:
            more.append(words("verdict.costs", latency=figure("_ms", latency), size=figure("_mib", size)))
        if not data["limits"]:
            more.append(words("verdict.no_limits"))
        tied = len([one for one in data["ties"] if one != (chosen or {}).get("name")])
        if tied:
            more.append(words("verdict.tie") if tied == 1 else words("verdict.ties", n=tied))
    else:
        line = words.rich("verdict.infeasible", binding=binding) if binding else words.rich("verdict.infeasible_plain")
        if nearest:
            more.append(words("verdict.nearest", name=label(nearest)))
    return {"line": line, "more": more}


def limits(data: Json, extras: Json, words: Words, higher: bool) -> list[dict[str, Any]]:
    """One row for each limit: what was asked, what was measured, whether it is met, and the gauge."""
    senses = {one.get("name"): one.get("sense") for one in extras.get("task", {}).get("limits", [])}
    rows = []
    for one in data["limits"]:
        name, limit, value = str(one["name"]), number(one["limit"]), number(one["value"])
        known = senses.get(name)
        at_least = known == "at_least" if known else name.endswith("_per_s") or ("_mi" not in name and "_ms" not in name and higher)
        title = words.name(name)
        asked = words("at_least" if at_least else "at_most", value=figure(name, limit))
        gauge = Markup("") if limit is None else charts.gauge(value, limit, at_least, f"{title}: {figure(name, value)}", one["met"])
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
    return [one for one, _ in sorted(known, key=lambda pair: (pair[0]["state"] != "ok", -pair[1] if higher else pair[1]))]


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
        tags = [tag for tag, on in (("chosen", name == chosen), ("nearest", name == nearest), ("tied", tied and name != chosen),
                                    ("front", front), ("baseline", name == base_name)) if on]
        low, high = (number(row["metric"].get(side)) for side in ("low", "high"))
        value = value_of(row) or 0.0
        title = f"{name}: {show(value)}" + (f" [{show(low)}, {show(high)}]" if low is not None and high is not None else "")
        kind = "chosen" if name == chosen else "" if row["state"] == "ok" else "faint"
        rows.append({"place": place, "name": name, "family": row["family"], "tags": [(t, words(f"tag.{t}")) for t in tags],
                     "state": "" if row["state"] == "ok" else words(f"state.{row['state']}"), "value": show(value),
                     "range": "" if low is None or high is None else f"{show(low)} {DASH} {show(high)}",
                     "bar": charts.interval(row["metric"], scale, base, title, kind), "chosen": name == chosen,
                     **{n: figure(n, number(row.get(n))) for n in ("latency_p95_ms", "memory_mib", "size_mib", "fit_s")}})
    return {"rows": rows, "more": max(0, len(ranked) - len(rows))}


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
    sliders = [{"n": p.name, "v": p.quality, "s": show(p.quality), "l": p.latency, "z": p.size, "m": number(r.get("memory_mib"))}
               for p, r in ((p, next(r for r in rows if r["name"] == p.name)) for p in points)]
    return {"svg": svg, "far": len(points) - len(near), "sliders": {"higher": higher, "metric": metric, "rows": sliders}}


def failed(data: Json, words: Words) -> list[dict[str, str]]:
    """Every candidate that did not run to its end, with the reason."""
    return [{"name": str(one["name"]), "family": str(one.get("family") or ""), "reason": _text(one.get("error")) or DASH,
             "state": words(f"state.{one['state']}") if f"state.{one['state']}" in words else str(one["state"])}
            for one in data["trials"] if one["state"] not in _RAN or value_of(one) is None]


def findings(data: Json, extras: Json, words: Words) -> dict[str, Any]:
    """The audit's findings, the worst first, each with its consequence and the measured effect."""
    order = ("severe", "ask", "warning", "info")
    more = extras.get("findings", [])
    rows = []
    for i, one in enumerate(data["findings"]):
        effect = more[i].get("effect") if i < len(more) and isinstance(more[i], Mapping) else one.get("effect")
        severity = one["severity"] if one["severity"] in order else "info"
        rows.append({"code": _text(one["code"]), "severity": severity, "word": words(f"severity.{severity}"),
                     "column": _text(one.get("column")), "evidence": _text(one["evidence"]),
                     "consequence": _text(one["consequence"]), "effect": _text(effect)})
    rows.sort(key=lambda row: order.index(row["severity"]))
    return {"rows": rows[:MOST_FINDINGS], "more": max(0, len(rows) - MOST_FINDINGS), "effects": any(r["effect"] for r in rows)}


def estimate(data: Json, extras: Json, words: Words) -> dict[str, Any]:
    """Sentences on what to expect, with the check on a test file and the score that leaks would have given."""
    found, base = data.get("estimate") or {}, data.get("baseline") or {}
    lines: list[str] = []
    method, n = found.get("method"), number(found.get("n"))
    if method:
        lines.append(words("estimate.method_n", method=method, n=f"{n:,.0f}") if n else words("estimate.method", method=method))
    elif n:
        lines.append(words("estimate.n", n=f"{n:,.0f}"))
    if (value := value_of(base)) is not None:
        lines.append(words("estimate.baseline", name=label(base), value=show(value)))
    if test := extras.get("test"):
        inside = test.get("inside")
        key = "test.plain" if inside is None else "test.inside" if inside else "test.outside"
        lines.append(words(key, metric=words.name(str(test.get("metric") or found.get("metric") or "")), value=show(test["value"]),
                           rows=f"{number(test.get('rows')) or 0:,.0f}"))
    if leaks := extras.get("with_leaks"):
        lines.append(words("leaks.line", metric=words.name(str(leaks.get("metric") or found.get("metric") or "")), value=show(leaks["value"])))
        if leaks.get("columns"):
            lines.append(words("leaks.columns", columns=_text(", ".join(map(str, leaks["columns"])))))
    return {"lines": lines, "outside": bool(extras.get("test") and extras["test"].get("inside") is False)}


def tiles(data: Json, words: Words) -> list[dict[str, str]]:
    """The figures that people look for first."""
    found, rows = data.get("estimate") or {}, []
    value, low, high = value_of(found), number(found.get("low")), number(found.get("high"))
    if value is not None:
        spread = "" if low is None or high is None else f"{show(low)} {DASH} {show(high)}"
        metric = words.name(str(found.get("metric") or data["task"].get("metric") or ""))
        rows.append({"name": metric, "value": show(value), "sub": spread})
    for name in ("latency_p95_ms", "size_mib", "memory_mib", "throughput_per_s", "fit_s"):
        if (measured := number(data["measured"].get(name))) is not None:
            p50 = number(data["measured"].get("latency_p50_ms"))
            sub = f"p50 {figure('_ms', p50)}" if name == "latency_p95_ms" and p50 is not None else ""
            short = words("c.latency") if name == "latency_p95_ms" else words.name(name)
            rows.append({"name": short, "value": figure(name, measured), "sub": sub})
    return rows


def pairs(record: Any) -> list[tuple[str, str]]:
    """A mapping as rows of two texts, empty values left out."""
    if not isinstance(record, Mapping):
        return []
    return [(str(k), _text(v)) for k, v in record.items() if v not in (None, "", [], {})]


def spent(data: Json, words: Words) -> str:
    """How much of the budget was used, as one sentence."""
    wall, budget, trials = (number((data.get("spent") or {}).get(n)) for n in ("wall_s", "budget_s", "trials"))
    if wall is None:
        return ""
    if budget is None or trials is None:
        return words("spent.wall", wall=figure("_s", wall))
    return words("spent.line", wall=figure("_s", wall), budget=figure("_s", budget), trials=f"{trials:,.0f}")


def context(data: Json, words: Words) -> dict[str, Any]:
    """Everything that the page's template prints. `data` is the object of decision.json."""
    extras, bad = usable(data.get("extras") or {})
    higher = higher_is_better(data, extras)
    target, metric = data["task"].get("target"), str(data["task"].get("metric") or "")
    chosen, nearest = data.get("chosen"), data.get("nearest") or {}
    reproduce = [(words("reproduce.data"), _text(extras.get("data"))), (words("reproduce.created"), _text(extras.get("created"))),
                 (words("reproduce.seed"), _text(data.get("seed"))),
                 (words("reproduce.machine"), ", ".join(f"{k} {v}" for k, v in pairs(data.get("machine")))),
                 (words("reproduce.versions"), ", ".join(f"{k} {v}" for k, v in pairs(data.get("versions"))))]
    return {
        "t": words, "metric": words.name(metric), "status": data["status"], "extras": extras, "left_out": ", ".join(bad),
        "target": ", ".join(map(str, target)) if isinstance(target, list) else str(target or ""),
        "verdict": verdict(data, words), "tiles": tiles(data, words), "why": [_text(one) for one in data.get("why") or []],
        "limits": limits(data, extras, words, higher),
        "measured_on": label(nearest) if nearest and not chosen else "", "estimate": estimate(data, extras, words),
        "leaderboard": leaderboard(data, words, higher), "plane": plane(data, extras, words, higher),
        "failed": failed(data, words), "rejected": [(str(r["name"]), _text(r["reason"])) for r in data["rejected"]],
        "diagnostics": diagnostics(extras, words), "learned": learned(extras, words, higher),
        "findings": findings(data, extras, words), "change": [_text(one) for one in data["what_would_change"]],
        "nearest": _nearest(nearest, words), "questions": [_text(one) for one in extras.get("questions", [])],
        "understood": pairs(extras.get("reasons")), "spent": spent(data, words),
        "timeline": charts.timeline(extras.get("phases", []), {"title": words("h.phases"), "desc": words("desc.phases")}),
        "phases": [(str(one["name"]), figure("_s", number(one["seconds"]))) for one in extras.get("phases", [])],
        "chosen": label(chosen) if chosen else "", "params": pairs((chosen or {}).get("params")),
        "steps": [_step(one) for one in (chosen or {}).get("steps") or []],
        "command": _text(extras.get("command")), "reproduce": [(k, v) for k, v in reproduce if v],
    }


def _step(step: Any) -> tuple[str, str]:
    if not isinstance(step, Mapping):
        return _text(step), ""
    return str(step.get("name") or ""), ", ".join(f"{k}={v}" for k, v in pairs(step.get("params")))


def _nearest(nearest: Json, words: Words) -> list[str]:
    if not nearest:
        return []
    lines = [words("nearest.line", name=label(nearest))]
    if nearest.get("binding"):
        lines.append(words("nearest.binding", names=", ".join(words.name(str(one)) for one in nearest["binding"])))
    return [*lines, _text(nearest["would_take"])] if nearest.get("would_take") else lines


def complete(data: Json) -> dict[str, Any]:
    """The object with every stable field present, so that a decision.json of an older minor version still shows."""
    empty: dict[str, Any] = {"status": "infeasible", "task": {}, "estimate": {}, "measured": {}, "limits": [], "ties": [], "front": [],
                             "baseline": {}, "trials": [], "rejected": [], "findings": [], "what_would_change": [], "extras": {}}
    return empty | {k: v for k, v in dict(clean(data)).items() if v is not None}


def escaped(text: str) -> str:
    """A text safe in a Markdown table or sentence: HTML, pipes, backticks and line breaks are made harmless."""
    quiet = str(escape(" ".join(text.split())))
    for char in "\\`*_[]|":
        quiet = quiet.replace(char, "\\" + char)
    return quiet
