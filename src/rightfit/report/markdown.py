"""Decision -> a short summary for the terminal, and a model card as Hugging Face lays it out."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from rightfit.records import Decision
from rightfit.report import board, view
from rightfit.report.extras import number, usable
from rightfit.report.json import to_json
from rightfit.report.wording import Words, figure

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _data(decision: Decision | Mapping[str, Any]) -> dict[str, Any]:
    return view.complete(to_json(decision) if isinstance(decision, Decision) else decision)


def _printable(text: str) -> str:
    """Without the control characters by which a column's name could steer the terminal."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " "))


def _plain(markup: Any) -> str:
    return markup.striptags() if hasattr(markup, "striptags") else str(markup)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Cells padded to columns of a fixed-width terminal: the first column to the left, the others to the right."""
    most = [max(map(_columns, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        pads = [" " * (width - _columns(cell)) for width, cell in zip(most, row, strict=True)]
        cells = [cell + pad if j == 0 else pad + cell for j, (cell, pad) in enumerate(zip(row, pads, strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def summary(decision: Decision | Mapping[str, Any], *, language: str = "en", path: str = "") -> str:
    """The decision as a few lines of plain text: verdict, limits, the best five, and where the report is."""
    data, words = _data(decision), Words(language=language)
    extras, _ = usable(data["extras"])
    higher = view.higher_is_better(data, extras)
    said = view.verdict(data, words)
    lines = [words.join([_plain(said["line"]), *said["more"]])]
    if data["status"] == "infeasible" and (data.get("nearest") or {}).get("would_take"):
        lines.append(str(data["nearest"]["would_take"]))
    if data.get("chosen") and data["chosen"]["name"] == (data.get("baseline") or {}).get("name"):
        lines += [words.say(one) for one in (data.get("why") or [])[2:]]  # whoever gets a constant must be told why
    asked = board.limits(data, extras, words, higher)
    if asked:
        lines += ["", words("h.limits") + ":"]
        lines += _aligned([[f"{'✓' if r['met'] else '✗'} {r['name']}", r["value"], f"({r['asked']})"] for r in asked])
    best = board.leaderboard(data, words, higher)["rows"][:5]
    if best:
        lines += ["", words("h.leaderboard") + ":"]
        lines += _aligned(
            [
                [
                    f"{r['place']}. {r['name']}",
                    r["value"],
                    f"[{r['range']}]" if r["range"] else "",
                    r["latency_p95_ms"],
                    r["size_mib"],
                    " ".join(f"({word})" for _, word in r["tags"]),
                ]
                for r in best
            ]
        )
    if path:
        lines += ["", words("summary.report", path=path)]
    return "\n".join(_printable(line) for line in lines) + "\n"


def _pipeline(task: Mapping[str, Any]) -> str:
    """The Hub's name for the task, such as tabular-classification."""
    problem, modality = str(task.get("problem") or ""), str(task.get("modality") or "")
    if problem in ("binary", "multiclass", "multilabel", "ordinal"):
        return f"{modality}-classification".strip("-")
    return {"forecasting": "time-series-forecasting", "detection": "object-detection",
            **dict.fromkeys(("quantile", "count"), f"{modality}-regression")}.get(
        problem, f"{modality}-{problem}".strip("-")
    )


def _front_matter(data: Mapping[str, Any], extras: Mapping[str, Any]) -> str:
    """The YAML head; every value is written as JSON, which YAML reads, so that no name can break out of it."""
    task, estimate = data["task"], data["estimate"]
    pipeline, metric = _pipeline(task), str(estimate.get("metric") or task.get("metric") or "")
    target = task.get("target")
    name = f"rightfit-{', '.join(map(str, target)) if isinstance(target, list) else target or 'model'}"
    head: dict[str, Any] = {
        "library_name": "rightfit",
        "pipeline_tag": pipeline,
        "tags": ["rightfit", pipeline],
        "metrics": [metric],
    }
    value = board.value_of(estimate)
    if data["status"] == "chosen" and value is not None:
        data_name = str(extras.get("data") or "private")
        head["model-index"] = [{"name": name, "results": [{
            "task": {"type": pipeline}, "dataset": {"name": data_name, "type": "private"},
            "metrics": [{"type": metric, "name": metric, "value": value, "verified": False}]}]}]
    return "\n".join(f"{key}: {_printable(json.dumps(part, ensure_ascii=False))}" for key, part in head.items())


def model_card(decision: Decision | Mapping[str, Any], *, language: str = "en") -> str:
    """The model card: YAML head, what it is for, what it reaches, what it costs, what is known to be wrong with it."""
    from rightfit.report.page import environment

    data, words = _data(decision), Words(language=language)
    shown = view.context(data, words)
    task = shown["extras"].get("task", {})
    rows, features = number(task.get("rows")), number(task.get("features"))
    measured = [
        (words.name(name), figure(name, value))
        for name, one in data["measured"].items()
        if (value := number(one)) is not None
    ]
    table = [
        [r["name"], r["value"], r["range"], r["latency_p95_ms"], r["size_mib"]]
        for r in shown["leaderboard"]["rows"][:5]
    ]
    size = words("card.rows", rows=f"{rows:,.0f}", features=f"{features or 0:,.0f}") if rows else ""
    shown |= {"head": _front_matter(data, shown["extras"]), "measured": measured, "table": table, "size": size}
    template = environment().get_template("model_card.md.j2")
    text = template.render(**shown, md=_markdown, plain=_plain, printable=_printable)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _markdown(text: Any) -> Any:
    from markupsafe import Markup

    return Markup(view.escaped(_printable(str(text))))
