"""What `Decision.extras` may hold for the report. Everything is optional; a part that is absent leaves its section out.

Lists may be NumPy arrays. Rates are shares 0..1. `low`/`high` are ends of a 95 % interval and may be absent or None.

    roc            {"fpr": [...], "tpr": [...], "auc": x}                            one class against the rest
    pr             {"precision": [...], "recall": [...], "ap": x, "base": x}         base: share of the positive class
    confusion      {"labels": [k names], "matrix": [k lists of k counts]}            rows true, columns predicted
    calibration    {"mean_predicted": [...], "observed": [...], "count": [...]}      one entry per bin
    scatter        {"true": [...], "predicted": [...]}                               regression; thinned to 500 points
    importance     [{"feature": f, "value": v, "low": l, "high": h}]                 loss of the metric when shuffled
    learning_curve [{"rows": n, "value": v, "low": l, "high": h}]                    metric on held-out rows
    overfit        {"train": v, "valid": v, "gap": v}                                metric of the chosen model
    regularisers   [{"name": n, "with": {...}, "effect": v, "low": l, "high": h}]    change of the metric, + is better
    training       [{"fold": f, "epoch": e, "loss": v, "score": v}]                  the chosen model's epochs
    stages         [{"name": n, "candidates": n, "removed": n, "seconds": s}]        what each stage removed and cost
    phases         [{"name": n, "seconds": s}]                                       in order of time
    test           {"metric": m, "value": v, "low": l, "high": h, "rows": n, "inside": bool}    a --test file
    with_leaks     {"metric": m, "value": v, "low": l, "high": h, "columns": [...]}  score when leaking columns stay in
    without_leaks  as with_leaks, for the score when they are left out
    fairness       {"column": c, "rows": n, "groups": [{"group", "rows", "rates": {name: {value, low, high, n}}}],
                    "gaps": [{name, value, low, high, between: [most, least]}]}      rates by a protected column
    conformal      {"kind": "interval" | "set", "level": s, "coverage": s, "mean_size": v,
                    "low": l, "high": h, "rows": n}                                  share of rows left out that are in
    command        "rightfit choose ..."                                             how to reproduce
    data           "train.csv"                                                       what the rows came from
    created        "2026-03-01T12:00:00Z"                                            when, ISO 8601
    package        "run/package"                                                     where the packaged model is
    questions      [sentence]                                                        what only the user can answer
    reasons        {field of the task: sentence}                                     why it was understood so
    higher_is_better   bool                                                          direction of the metric

`report.json.to_json` adds `task`, `trials` and `findings`: the fields of those records outside the stable object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rightfit.report.json import clean

_SERIES = {"roc": ("fpr", "tpr"), "pr": ("recall", "precision"), "calibration": ("mean_predicted", "observed"),
           "scatter": ("true", "predicted")}
_ROWS = {"importance": ("feature", "value"), "learning_curve": ("rows", "value"), "regularisers": ("name", "effect"),
         "phases": ("name", "seconds"), "stages": ("name", "seconds"), "training": ("fold", "epoch")}
_FIGURES = {"overfit": ("train", "valid"), "conformal": ("level", "mean_size"), "test": ("value",),
            "with_leaks": ("value",), "without_leaks": ("value",)}
_POINTS = 500


def number(value: Any) -> float | None:
    """A finite number of ordinary size, or None.

    >>> number(2), number(True), number("3"), number(1e300)
    (2.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Squares and spans of larger values overflow; no chart could show them anyway.
    return float(value) if abs(value) < 1e150 and math.isfinite(value) else None


def _series(part: Any, names: Sequence[str]) -> dict[str, Any] | None:
    if not isinstance(part, Mapping) or not all(isinstance(part.get(name), list) for name in names):
        return None
    if len({len(part[name]) for name in names}) != 1:
        return None
    listed = [k for k, v in part.items() if isinstance(v, list) and len(v) == len(part[names[0]])]
    kept = [i for i in range(len(part[names[0]])) if all(number(part[name][i]) is not None for name in names)]
    if len(kept) > _POINTS:
        kept = [kept[round(i * (len(kept) - 1) / (_POINTS - 1))] for i in range(_POINTS)]
    return {**part, **{name: [part[name][i] for i in kept] for name in listed}} if kept else None


def _rows(part: Any, names: Sequence[str]) -> list[dict[str, Any]] | None:
    label, value = names if names[0] != "rows" else ("value", "rows")
    if not isinstance(part, list):
        return None
    good = [
        row
        for row in part
        if isinstance(row, dict) and row.get(label) is not None and number(row.get(value)) is not None
    ]
    return good or None


def _confusion(part: Any) -> dict[str, Any] | None:
    if not isinstance(part, Mapping):
        return None
    labels, matrix = part.get("labels"), part.get("matrix")
    if not isinstance(labels, list) or not isinstance(matrix, list) or not 0 < len(labels) == len(matrix):
        return None
    square = all(isinstance(row, list) and len(row) == len(labels) for row in matrix)
    counts = square and all((number(v) or 0) >= 0 and number(v) is not None for row in matrix for v in row)
    return {"labels": [str(one) for one in labels], "matrix": matrix} if counts else None


def usable(extras: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The parts whose shape is as documented above, non-finite points taken out, and the names of parts that are not.

    >>> usable({"roc": {"fpr": [0, 1], "tpr": [0]}, "command": "rightfit choose a.csv"})
    ({'command': 'rightfit choose a.csv'}, ['roc'])
    """
    good: dict[str, Any] = {}
    bad: list[str] = []
    for name, part in dict(clean(extras)).items():
        if part is None or part == [] or part == {}:
            continue
        if name in _SERIES:
            part = _series(part, _SERIES[name])
        elif name in _ROWS:
            part = _rows(part, _ROWS[name])
        elif name == "confusion":
            part = _confusion(part)
        elif name in _FIGURES:
            shaped = isinstance(part, Mapping) and all(number(part.get(one)) is not None for one in _FIGURES[name])
            part = part if shaped else None
        elif name in ("task", "trials", "reasons", "fairness"):
            part = part if isinstance(part, dict) else None
        elif name in ("questions", "findings"):
            part = part if isinstance(part, list) else None
        if part is None:
            bad.append(name)
        else:
            good[name] = part
    return good, bad
