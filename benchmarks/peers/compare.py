"""From single results to statements: mean rank with its interval, win rate, Bayesian signed-rank test.

All on errors, less is better: 1 - AUC, log loss, RMSE. A system is compared on the (table, split) cases that it and
rightfit both have; one that gave no model on a case ranks last there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

OURS = "rightfit"
ROPE = 0.005  # half a point of AUC, or half a percent of the other's log loss or RMSE
DRAWS = 2000
LEAST = 5  # tables, below which ranks, wins and probabilities would only look like statements
Row = Mapping[str, str]


def error_of(row: Row) -> float:
    """What the system's model gets wrong, infinite without a model.

    >>> round(error_of({"metric": "roc_auc", "score": "0.9"}), 3), error_of({"metric": "rmse", "score": ""})
    (0.1, inf)
    """
    if not row["score"]:
        return math.inf
    value = float(row["score"])
    return 1.0 - value if row["metric"] == "roc_auc" else value


def gap(metric: str, ours: float, theirs: float) -> float:
    """By how much ours is better: points of AUC / 100, or a share of their error; an absent model is all of it.

    >>> round(gap("roc_auc", 0.10, 0.12), 3), round(gap("rmse", 9.0, 10.0), 3), gap("rmse", 9.0, math.inf)
    (0.02, 0.1, 1.0)
    """
    if math.isinf(ours) or math.isinf(theirs):
        return 0.0 if ours == theirs else (1.0 if math.isinf(theirs) else -1.0)
    return theirs - ours if metric == "roc_auc" else (theirs - ours) / theirs


def label(row: Row) -> str:
    """A system at a budget, as it is compared."""
    return f"{row['way']} {row['budget_s']} s" + (" beside a busy neighbour" if row["neighbour"] == "busy" else "")


def cases_of(rows: Sequence[Row]) -> dict[str, dict[tuple[str, str], Row]]:
    """{label: {(table, split): row}}; of several versions the last measured counts."""
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        found.setdefault(label(row), {})[row["table"], row["split"]] = row
    return found


def ranks(errors: Any) -> Any:
    """Ranks 1.. of each line's columns (cases, systems), ties sharing their mean."""
    from scipy.stats import rankdata

    return np.apply_along_axis(rankdata, 1, np.where(np.isinf(errors), np.nanmax(errors[np.isfinite(errors)]) * 10 + 1,
                                                     errors))


def drawn(values: Any, tables: Sequence[str], seed: int = 0) -> tuple[Any, Any]:
    """The 95 % interval of column means (cases, systems), whole tables drawn again: splits of one are not new ones."""
    random, names = np.random.default_rng(seed), sorted(set(tables))
    places = {name: [i for i, t in enumerate(tables) if t == name] for name in names}
    means = []
    for _ in range(DRAWS):
        some = [i for name in random.choice(names, len(names)) for i in places[name]]
        means.append(values[some].mean(axis=0))
    return np.quantile(means, 0.025, axis=0), np.quantile(means, 0.975, axis=0)


def signed_rank(gaps: Sequence[float]) -> tuple[float, float, float]:
    """Probabilities that (theirs is better, no practical difference, ours is better), after Benavoli et al. 2017."""
    from baycomp import SignedRankTest

    zero = np.zeros(len(gaps))
    ours, rope, theirs = SignedRankTest.probs(np.asarray(gaps), zero, rope=ROPE, nsamples=20_000, random_state=0)
    return float(theirs), float(rope), float(ours)


def summary(rows: Sequence[Row], ours: str = f"{OURS} 60 s") -> list[dict[str, Any]]:
    """One line for each system and budget: against ours at 60 s, and its mean rank where all have the same cases."""
    known = cases_of(rows)
    base = known.get(ours, {})
    found = []
    for name, cases in known.items():
        shared = sorted(set(cases) & set(base))
        if not shared:
            continue
        own = [cases[key] for key in shared]
        errors = [(error_of(base[key]), error_of(cases[key])) for key in shared]
        gaps = [gap(row["metric"], a, b) for row, (a, b) in zip(own, errors, strict=True)]
        wins = fmean([1.0 if a < b else 0.5 if a == b else 0.0 for a, b in errors])
        line: dict[str, Any] = {"system": name, "version": own[-1]["version"], "cases": len(shared),
                                "tables": len({table for table, _ in shared}),
                                "failures": sum(1 for row in own if not row["score"])}
        enough = line["tables"] >= LEAST and name != ours
        line |= {"rightfit_wins": wins if enough else ""}
        if enough:
            line |= dict(zip(("p_theirs", "p_equal", "p_rightfit"), signed_rank(gaps), strict=True))
        line |= {"wall_over_budget": _largest(own, lambda r: float(r["wall_s"]) / float(r["budget_s"])),
                 **{f"{key}_median": _middle(own, key) for key in MIDDLES}, **honest(own)}
        found.append(line)
    return _ranked(found, known)


MIDDLES = ("wall_s", "row_p50_ms", "row_p99_ms", "size_mb", "first_answer_s", "peak_mib")


def _middle(rows: Sequence[Row], name: str) -> float | str:
    values = [float(row[name]) for row in rows if row.get(name)]
    return median(values) if values else ""


def _largest(rows: Sequence[Row], of: Any) -> float | str:
    values = [of(row) for row in rows if row["wall_s"]]
    return max(values) if values else ""


def honest(rows: Sequence[Row]) -> dict[str, Any]:
    """How much better than the held-out rows the systems say they are: points of AUC, percent of log loss and RMSE."""
    points, shares = [], []
    for row in rows:
        if row["score"] and row.get("promised"):
            told, seen = float(row["promised"]), float(row["score"])
            if row["metric"] == "roc_auc":
                points.append(100 * (told - seen))
            else:
                shares.append(100 * (seen - told) / seen)
    return {"optimism_auc_points": fmean(points) if points else "", "optimism_loss_percent": fmean(shares) if shares
            else ""}


def _ranked(lines: list[dict[str, Any]], known: Mapping[str, Mapping[tuple[str, str], Row]]) -> list[dict[str, Any]]:
    """Mean ranks among the systems that have all the cases of the one with the most; the others have none."""
    most = max((line["cases"] for line in lines), default=0)
    full = [line for line in lines if line["cases"] == most]
    if len(full) < 2 or max(line["tables"] for line in full) < LEAST:
        return lines
    keys = sorted(set.intersection(*(set(known[line["system"]]) for line in full)))
    if not keys:
        return lines
    errors = np.array([[error_of(known[line["system"]][key]) for line in full] for key in keys])
    ranked = ranks(errors)
    low, high = drawn(ranked, [table for table, _ in keys])
    for at, line in enumerate(full):
        line |= {"mean_rank": float(ranked[:, at].mean()), "rank_low": float(low[at]), "rank_high": float(high[at]),
                 "ranked_systems": len(full)}
    for line in lines:
        for name in ("mean_rank", "rank_low", "rank_high", "ranked_systems"):
            line.setdefault(name, "")
    return sorted(lines, key=lambda line: (line["mean_rank"] == "", line["mean_rank"] or 0.0, line["system"]))
