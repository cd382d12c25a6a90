"""decision.json -> what the page shows: sentences, table rows and charts; the templates only arrange them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from rightfit.errors import UnknownName
from rightfit.report import charts
from rightfit.report.board import Json, brief, failed, label, leaderboard, limits, plane, value_of
from rightfit.report.extras import number, usable
from rightfit.report.figures import diagnostics, learned
from rightfit.report.json import clean
from rightfit.report.svg import show
from rightfit.report.wording import DASH, Words, figure

MOST_FINDINGS = 100


def higher_is_better(data: Json, extras: Json) -> bool:
    """The metric's direction: as `extras` says, else as the metric or a limit says, else estimate against baseline."""
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
            line = words.rich(
                "verdict.chosen", name=name, metric=metric, value=show(value), low=show(low), high=show(high)
            )
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


def findings(data: Json, extras: Json, words: Words) -> dict[str, Any]:
    """The audit's findings, the worst first, each with its consequence and the measured effect."""
    order = ("severe", "ask", "warning", "info")
    more = extras.get("findings", [])
    rows = []
    for i, one in enumerate(data["findings"]):
        effect = more[i].get("effect") if i < len(more) and isinstance(more[i], Mapping) else one.get("effect")
        severity = one["severity"] if one["severity"] in order else "info"
        rows.append({"code": brief(one["code"]), "severity": severity, "word": words(f"severity.{severity}"),
                     "column": brief(one.get("column")), "evidence": brief(words.say(one["evidence"])),
                     "consequence": brief(words.say(one["consequence"])), "effect": brief(words.say(effect))})
    rows.sort(key=lambda row: order.index(row["severity"]))
    return {
        "rows": rows[:MOST_FINDINGS],
        "more": max(0, len(rows) - MOST_FINDINGS),
        "effects": any(r["effect"] for r in rows),
    }


def estimate(data: Json, extras: Json, words: Words) -> dict[str, Any]:
    """Sentences on what to expect, with the check on a test file and the score that leaks would have given."""
    found, base = data.get("estimate") or {}, data.get("baseline") or {}
    lines: list[str] = []
    method, n = words.say(found.get("method")), number(found.get("n"))
    if method:
        lines.append(
            words("estimate.method_n", method=method, n=f"{n:,.0f}") if n else words("estimate.method", method=method)
        )
    elif n:
        lines.append(words("estimate.n", n=f"{n:,.0f}"))
    if (value := value_of(base)) is not None:
        lines.append(words("estimate.baseline", name=label(base), value=show(value)))
    if test := extras.get("test"):
        inside = test.get("inside")
        key = "test.plain" if inside is None else "test.inside" if inside else "test.outside"
        lines.append(
            words(
                key,
                metric=words.name(str(test.get("metric") or found.get("metric") or "")),
                value=show(test["value"]),
                rows=f"{number(test.get('rows')) or 0:,.0f}",
            )
        )
    if (held := extras.get("conformal")) and number(held.get("coverage")) is not None:
        lines.append(words("conformal.set" if held.get("kind") == "set" else "conformal.interval",
                           level=show(100 * held["level"]), coverage=show(100 * held["coverage"]),
                           low=show(100 * held["low"]), high=show(100 * held["high"]),
                           size=show(held.get("mean_size"))))
    for name, key in (("with_leaks", "leaks.line"), ("without_leaks", "leaks.without")):
        if not (leaks := extras.get(name)):
            continue
        lines.append(
            words(
                key,
                metric=words.name(str(leaks.get("metric") or found.get("metric") or "")),
                value=show(leaks["value"]),
            )
        )
        if leaks.get("columns"):
            lines.append(words("leaks.columns", columns=brief(", ".join(map(str, leaks["columns"])))))
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
    return [(str(k), brief(v)) for k, v in record.items() if v not in (None, "", [], {})]


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
    reproduce = [
        (words("reproduce.data"), brief(extras.get("data"))),
        (words("reproduce.created"), brief(extras.get("created"))),
        (words("reproduce.seed"), brief(data.get("seed"))),
        (words("reproduce.machine"), ", ".join(f"{k} {v}" for k, v in pairs(data.get("machine")))),
        (words("reproduce.versions"), ", ".join(f"{k} {v}" for k, v in pairs(data.get("versions")))),
    ]
    return {
        "t": words,
        "metric": words.name(metric),
        "status": data["status"],
        "extras": extras,
        "left_out": ", ".join(bad),
        "target": ", ".join(map(str, target)) if isinstance(target, list) else str(target or ""),
        "verdict": verdict(data, words),
        "tiles": tiles(data, words),
        "why": [brief(words.say(one)) for one in data.get("why") or []],
        "limits": limits(data, extras, words, higher),
        "measured_on": label(nearest) if nearest and not chosen else "",
        "estimate": estimate(data, extras, words),
        "leaderboard": leaderboard(data, words, higher),
        "plane": plane(data, extras, words, higher),
        "failed": failed(data, words),
        "rejected": [(str(r["name"]), brief(words.say(r["reason"]))) for r in data["rejected"]],
        "diagnostics": diagnostics(extras, words),
        "learned": learned(extras, words, higher),
        "findings": findings(data, extras, words),
        "fairness": fairness(extras.get("fairness") or {}, words),
        "change": [brief(words.say(one)) for one in data["what_would_change"]],
        "nearest": _nearest(nearest, words),
        "questions": [brief(words.say(one)) for one in extras.get("questions", [])],
        "understood": [(name, words.say(value)) for name, value in pairs(extras.get("reasons"))],
        "spent": spent(data, words),
        "timeline": charts.timeline(
            extras.get("phases", []), {"title": words("h.phases"), "desc": words("desc.phases")}
        ),
        "stages": [(_stage(str(one["name"]), words), one.get("candidates"), one.get("removed"),
                    figure("_s", number(one["seconds"]))) for one in extras.get("stages", [])],
        "phases": [(str(one["name"]), figure("_s", number(one["seconds"]))) for one in extras.get("phases", [])],
        "chosen": label(chosen) if chosen else "",
        "params": pairs((chosen or {}).get("params")),
        "steps": [_step(one) for one in (chosen or {}).get("steps") or []],
        "command": brief(extras.get("command")),
        "reproduce": [(k, v) for k, v in reproduce if v],
    }


def fairness(part: Json, words: Words) -> dict[str, Any]:
    """The table of rates by the groups of a protected column, its last line the gaps; empty without one."""
    lines = [one for one in part.get("groups") or [] if isinstance(one, dict) and isinstance(one.get("rates"), dict)]
    if not lines:
        return {}

    def cell(one: Any) -> str:
        value, low, high = (number((one or {}).get(name)) for name in ("value", "low", "high"))
        return figure("", value) + ("" if low is None or high is None else
                                    f" [{figure('', low)}, {figure('', high)}]")

    names = list(lines[0]["rates"])
    gaps = {str(one.get("name")): one for one in part.get("gaps") or [] if isinstance(one, dict)}
    return {"column": str(part.get("column") or ""), "names": [words.name(name) for name in names],
            "rows": [(brief(one.get("group")) or "-", brief(one.get("rows")),
                      [cell(one["rates"].get(name)) for name in names]) for one in lines],
            "gaps": [cell(gaps.get(name)) for name in names]}


def _stage(name: str, words: Words) -> str:
    return words(f"stage.{name}") if f"stage.{name}" in words else name


def _step(step: Any) -> tuple[str, str]:
    if not isinstance(step, Mapping):
        return brief(step), ""
    return str(step.get("name") or ""), ", ".join(f"{k}={v}" for k, v in pairs(step.get("params")))


def _nearest(nearest: Json, words: Words) -> list[str]:
    if not nearest:
        return []
    lines = [words("nearest.line", name=label(nearest))]
    if nearest.get("binding"):
        lines.append(words("nearest.binding", names=", ".join(words.name(str(one)) for one in nearest["binding"])))
    return [*lines, brief(words.say(nearest["would_take"]))] if nearest.get("would_take") else lines


def complete(data: Json) -> dict[str, Any]:
    """The object with every stable field present, so that a decision.json of an older minor version still shows."""
    empty: dict[str, Any] = {
        "status": "infeasible",
        "task": {},
        "estimate": {},
        "measured": {},
        "limits": [],
        "ties": [],
        "front": [],
        "baseline": {},
        "trials": [],
        "rejected": [],
        "findings": [],
        "what_would_change": [],
        "extras": {},
    }
    return empty | {k: v for k, v in dict(clean(data)).items() if v is not None}


def escaped(text: str) -> str:
    """A text safe in a Markdown table or sentence: HTML, pipes, backticks and line breaks are made harmless.

    >>> escaped("a_b <i>")
    'a\\\\_b &lt;i&gt;'
    """
    quiet = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for char in "\\`*_[]|":
        quiet = quiet.replace(char, "\\" + char)
    return quiet
