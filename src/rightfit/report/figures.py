"""The charts of the sections "How it errs" and "What it learned from", each with its heading and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.report import charts
from rightfit.report.extras import number
from rightfit.report.svg import show
from rightfit.report.wording import Words

_MOST_CLASSES, _MOST_BARS = 16, 15


def _figure(words: Words, heading: str, desc: str, svg: str, note: str = "") -> list[dict[str, str]]:
    return [{"heading": words(heading), "desc": words(desc), "svg": svg, "note": note}] if svg else []


def _words(words: Words, heading: str, desc: str, x: str = "", y: str = "") -> dict[str, str]:
    return {"title": words(heading), "desc": words(desc), "x": words(x) if x else "", "y": words(y) if y else ""}


def _curves(extras: Mapping[str, Any], words: Words) -> list[dict[str, str]]:
    found = []
    if roc := extras.get("roc"):
        area = number(roc.get("auc"))
        svg = charts.curve(
            list(zip(roc["fpr"], roc["tpr"], strict=True)),
            _words(words, "h.roc", "desc.roc", "x.fpr", "y.tpr"),
            chance=[(0, 0), (1, 1)],
            note="" if area is None else words("note.auc", value=show(area)),
        )
        found += _figure(words, "h.roc", "desc.roc", svg)
    if pr := extras.get("pr"):
        area, base = number(pr.get("ap")), number(pr.get("base"))
        svg = charts.curve(list(zip(pr["recall"], pr["precision"], strict=True)),
                           _words(words, "h.pr", "desc.pr", "x.recall", "y.precision"),
                           chance=[] if base is None else [(0, base), (1, base)],
                           note="" if area is None else words("note.ap", value=show(area)))
        found += _figure(words, "h.pr", "desc.pr", svg)
    return found


def _confusion(part: Mapping[str, Any], words: Words) -> list[dict[str, str]]:
    labels, matrix = part["labels"], part["matrix"]
    if len(labels) <= _MOST_CLASSES:
        text = _words(words, "h.confusion", "desc.confusion", "x.class_predicted", "y.class_true")
        return _figure(words, "h.confusion", "desc.confusion", charts.confusion(labels, matrix, text))
    wrong = [{"name": f"{labels[i]} → {labels[j]}", "value": count}
             for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j and count > 0]
    wrong.sort(key=lambda one: -one["value"])
    svg = charts.bars(wrong[:_MOST_BARS], _words(words, "h.mistakes", "desc.mistakes"), label="name")
    return _figure(words, "h.mistakes", "desc.mistakes", svg)


def diagnostics(extras: Mapping[str, Any], words: Words) -> list[dict[str, str]]:
    """ROC, precision-recall, confusion, calibration, predicted against true, residuals: those that there are."""
    found = _curves(extras, words)
    if part := extras.get("confusion"):
        found += _confusion(part, words)
    if part := extras.get("calibration"):
        text = _words(words, "h.calibration", "desc.calibration", "x.probability", "y.observed")
        found += _figure(words, "h.calibration", "desc.calibration", charts.reliability(part, text))
    if part := extras.get("scatter"):
        text = _words(words, "h.scatter", "desc.scatter", "x.true", "y.predicted")
        found += _figure(words, "h.scatter", "desc.scatter", charts.scatter(part["true"], part["predicted"], text))
        text = _words(words, "h.residuals", "desc.residuals", "x.predicted", "y.residual")
        svg = charts.scatter(part["true"], part["predicted"], text, residuals=True)
        found += _figure(words, "h.residuals", "desc.residuals", svg)
    return found


def _advice(rows: list[dict[str, Any]], words: Words, higher: bool) -> str:
    """Whether more rows should help: the gain of the last doubling against the uncertainty of the last point."""
    known = sorted((r for r in rows if (number(r.get("rows")) or 0) > 0), key=lambda r: r["rows"])
    if len(known) < 2:
        return ""
    last = known[-1]
    half = min(known[:-1], key=lambda r: abs(r["rows"] - last["rows"] / 2))
    gain = (last["value"] - half["value"]) * (1 if higher else -1)
    low, high = number(last.get("low")), number(last.get("high"))
    doubt = (high - low) / 2 if low is not None and high is not None else 0.01 * abs(last["value"])
    key = "learning.rising" if gain > doubt else "learning.unclear" if gain > doubt / 4 else "learning.flat"
    # An improvement is told without its sign, a change with it, in the metric's own direction.
    shown = show(last["value"] - half["value"], abs(gain) or None)
    shown = shown if key == "learning.flat" else shown.lstrip("-")
    return words(key, a=f"{half['rows']:,.0f}", b=f"{last['rows']:,.0f}", gain=shown)


def learned(extras: Mapping[str, Any], words: Words, higher: bool) -> list[dict[str, str]]:
    """Feature importance, learning curve, over-fit gap, regularisation: those that there are."""
    found = []
    if rows := extras.get("importance"):
        top = sorted(rows, key=lambda row: -row["value"])[:_MOST_BARS]
        found += _figure(words, "h.importance", "desc.importance",
                         charts.bars(top, _words(words, "h.importance", "desc.importance"), label="feature"))
    if rows := extras.get("learning_curve"):
        text = _words(words, "h.learning", "desc.learning", "x.training_rows")
        found += _figure(
            words, "h.learning", "desc.learning", charts.learning(rows, text), _advice(rows, words, higher)
        )
    if rows := extras.get("training"):
        for name, heading, desc, side in (("loss", "h.epochs.loss", "desc.epochs.loss", "y.loss"),
                                          ("score", "h.epochs.score", "desc.epochs.score", "y.score")):
            text = _words(words, heading, desc, "x.epoch", side)
            found += _figure(words, heading, desc, charts.epochs(rows, name, text))
    if part := extras.get("overfit"):
        gap = number(part.get("gap"))
        text = _words(words, "h.overfit", "desc.overfit") | {
            "train": words("overfit.train"),
            "valid": words("overfit.valid"),
        }
        found += _figure(words, "h.overfit", "desc.overfit", charts.dumbbell(part["train"], part["valid"], text),
                         "" if gap is None else words("overfit.gap", gap=show(gap)))
    if rows := extras.get("regularisers"):
        named = [row | {"name": _setting(row)} for row in rows[:_MOST_BARS]]
        found += _figure(
            words,
            "h.regularisers",
            "desc.regularisers",
            charts.bars(named, _words(words, "h.regularisers", "desc.regularisers"), label="name", value="effect"),
        )
    return found


def _setting(row: Mapping[str, Any]) -> str:
    settings = row.get("with")
    values = (
        [f"{v:.3g}" if number(v) is not None else str(v) for v in settings.values()]
        if isinstance(settings, Mapping)
        else []
    )
    return f"{row['name']} = {values[0]}" if len(values) == 1 else str(row["name"])
