"""Selection rules, replayed on the table: what each would have picked, at what cost, and how much worse that is.

Regret is the held-out score of the best candidate minus that of the pick: points of AUC, or percent of the best log
loss or RMSE. Excess regret is regret minus that of full cross-validation of everything. Cost is the seconds of the
trials that a rule looked at, as a share of those of full cross-validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from virtual import race_picks

DRAWS = 2000
ROUND = 8  # places of the portfolio that the learned order ranks
Row = Mapping[str, str]
Units = dict[tuple[str, float], Row]
Table = dict[str, Units]
Pick = tuple[str, float]


class Known:
    """One case of the table: {candidate: {(fold, share): line}}, only candidates with every line."""

    def __init__(self, table: str, seed: str, lines: Table) -> None:
        self.table, self.seed, self.lines = table, seed, lines
        self.any = next(iter(next(iter(lines.values())).values()))
        self.metric, self.rows, self.problem = self.any["metric"], int(self.any["rows"]), self.any["problem"]
        self.folds = sorted({fold for units in lines.values() for fold, _ in units if fold != "all"}, key=int)

    def mean(self, key: str, folds: Sequence[str]) -> float:
        """Mean utility on some folds, greater is better."""
        return float(np.mean([float(self.lines[key][fold, 1.0]["utility"]) for fold in folds]))

    def cost(self, key: str, folds: Sequence[str]) -> float:
        """Seconds of a candidate on some folds."""
        return sum(float(self.lines[key][fold, 1.0]["seconds"]) for fold in folds)

    def held(self, key: str) -> float:
        """Utility on the held-out rows after training on all others."""
        return float(self.lines[key]["all", 1.0]["utility"])

    @property
    def full_cost(self) -> float:
        """Seconds of full cross-validation of everything."""
        return sum(self.cost(key, self.folds) for key in self.lines)

    def regret(self, key: str) -> float:
        """How much worse than the best on the held-out rows: AUC points, or percent of the best's loss."""
        best = max(self.held(k) for k in self.lines)
        gap = best - self.held(key)
        return 100 * gap if self.metric == "roc_auc" else 100 * gap / max(abs(best), 1e-12)

    @property
    def shape(self) -> str:
        """By what the order of the portfolio is learned."""
        return shape_of(self.problem, self.rows)


def shape_of(problem: str, rows: int) -> str:
    """The kind of table by which an order is learned.

    >>> shape_of("binary", 500), shape_of("regression", 5000)
    ('classes, few rows', 'values, many rows')
    """
    return f"{'values' if problem == 'regression' else 'classes'}, {'few' if rows < 1000 else 'many'} rows"


def complete(rows: Sequence[Row]) -> list[Known]:
    """The cases, each with the candidates that have all folds, the small first look and the held-out score."""
    found: dict[tuple[str, str], Table] = {}
    for row in rows:
        case = found.setdefault((row["table"], row["seed"]), {})
        case.setdefault(row["candidate"], {})[row["fold"], float(row["share"])] = row
    cases = []
    for (table, seed), lines in found.items():
        most = max(len(units) for units in lines.values())
        whole = {key: units for key, units in lines.items() if len(units) == most and ("all", 1.0) in units}
        if len(whole) > 3:
            cases.append(Known(table, seed, whole))
    return cases


def full(case: Known) -> Pick:
    """Every candidate on every fold."""
    return max(case.lines, key=lambda k: (case.mean(k, case.folds), k)), case.full_cost


def holdout(case: Known) -> Pick:
    """Every candidate on one fold."""
    return (max(case.lines, key=lambda k: (case.mean(k, case.folds[:1]), k)),
            sum(case.cost(k, case.folds[:1]) for k in case.lines))


def quarter(case: Known) -> Pick:
    """Every candidate on one fold with a quarter of the training rows."""
    units = {k: u["0", 0.25] for k, u in case.lines.items()}
    return (max(units, key=lambda k: (float(units[k]["utility"]), k)), sum(float(u["seconds"]) for u in units.values()))


def quarter_then(case: Known, top: int = 3) -> Pick:
    """A quarter of the rows for everyone, one whole fold for the best three."""
    units = {k: u["0", 0.25] for k, u in case.lines.items()}
    best = sorted(units, key=lambda k: (-float(units[k]["utility"]), k))[:top]
    cost = sum(float(u["seconds"]) for u in units.values()) + sum(case.cost(k, ["0"]) for k in best)
    return max(best, key=lambda k: (case.mean(k, ["0"]), k)), cost


def first_of(order: Sequence[str], case: Known, top: int) -> list[str]:
    """The first so many candidates of an order that the case knows."""
    return [key for key in order if key in case.lines][:top] or list(case.lines)[:top]


def prior_then(order: Sequence[str], top: int, folds: int) -> Callable[[Known], Pick]:
    """The first candidates of an order, some folds each."""
    def rule(case: Known) -> Pick:
        some, keys = case.folds[:folds], first_of(order, case, top)
        return max(keys, key=lambda k: (case.mean(k, some), k)), sum(case.cost(k, some) for k in keys)

    return rule


def portfolio(cases: Sequence[Known], most: int = 100) -> list[str]:
    """Candidates, each the one that lowers most the mean over cases of the least regret so far (Salinas 2024, TabRepo).

    Regrets enter by their rank within a case, so that no table with large losses decides alone; a case's candidates of
    which nothing is known rank last.
    """
    keys = sorted({key for case in cases for key in case.lines})
    places = np.ones((len(cases), len(keys)))
    for i, case in enumerate(cases):
        by_score = sorted(case.lines, key=lambda k: (-case.mean(k, case.folds), k))
        for place, key in enumerate(by_score):
            places[i, keys.index(key)] = place / max(len(by_score) - 1, 1)
    weight = np.array([1.0 / sum(c.table == case.table for c in cases) for case in cases])
    order: list[str] = []
    best = np.ones(len(cases))
    while len(order) < min(most, len(keys)):
        value = (np.minimum(best[:, None], places) * weight[:, None]).sum(axis=0) + 1e-6 * places.mean(axis=0)
        value[[keys.index(k) for k in order]] = np.inf
        at = int(np.argmin(value))
        order.append(keys[at])
        best = np.minimum(best, places[:, at])
    return order


def orders(cases: Sequence[Known], leave: str = "") -> dict[str, list[str]]:
    """The portfolio by shape, learned without one table; a shape with fewer than three tables learns from all."""
    others = [case for case in cases if case.table != leave]
    found = {}
    for shape in sorted({case.shape for case in cases}):
        like = [case for case in others if case.shape == shape]
        found[shape] = portfolio(like if len({c.table for c in like}) >= 3 else others)
    return found


def replayed(cases: Sequence[Known], work: Path, most_rows: int) -> list[dict[str, Any]]:
    """One line for each rule and case."""
    found = []
    for case in cases:
        order = orders(cases, leave=case.table)[case.shape]
        picks: dict[str, Pick] = {
            "full cross-validation": full(case), "one holdout": holdout(case), "quarter of the rows": quarter(case),
            "quarter, then top 3 on a fold": quarter_then(case),
            "first of the learned order": (first_of(order, case, 1)[0], 0.0),
            "learned order, top 3, one fold": prior_then(order, 3, 1)(case),
            "learned order, top 3, all folds": prior_then(order, 3, len(case.folds))(case),
            "learned order, top 8, one fold": prior_then(order, 8, 1)(case)}
        picks |= race_picks(case, order, work, most_rows)
        base = case.regret(picks["full cross-validation"][0])
        for rule, (key, cost) in picks.items():
            found.append({"rule": rule, "table": case.table, "seed": case.seed, "metric": case.metric, "picked": key,
                          "regret": case.regret(key), "excess": case.regret(key) - base,
                          "cost_share": cost / case.full_cost})
    return found


def upper(values: Any, tables: Sequence[str], seed: int = 0) -> float:
    """The upper end of the 95 % interval of a mean, whole tables drawn again."""
    random, names = np.random.default_rng(seed), sorted(set(tables))
    groups = {name: [v for v, t in zip(values, tables, strict=True) if t == name] for name in names}
    means = [np.mean([v for name in random.choice(names, len(names)) for v in groups[name]]) for _ in range(DRAWS)]
    return float(np.quantile(means, 0.975))


def summary(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rule over all cases, AUC points and percent of a loss apart."""
    lines = []
    for rule in dict.fromkeys(row["rule"] for row in found):
        line: dict[str, Any] = {"rule": rule}
        own = [row for row in found if row["rule"] == rule]
        for unit, some in (("auc_points", [r for r in own if r["metric"] == "roc_auc"]),
                           ("loss_percent", [r for r in own if r["metric"] != "roc_auc"])):
            line |= {f"{unit}_cases": len(some),
                     f"{unit}_regret": float(np.mean([r["regret"] for r in some])) if some else "",
                     f"{unit}_excess": float(np.mean([r["excess"] for r in some])) if some else "",
                     f"{unit}_excess_high": upper([r["excess"] for r in some], [r["table"] for r in some])
                     if some else ""}
        line["tables"] = len({row["table"] for row in own})
        line["cost_share"] = float(np.mean([row["cost_share"] for row in own]))
        lines.append(line)
    return lines


def order_file(cases: Sequence[Known]) -> str:
    """The learned order: by shape, candidates by family and parameters."""
    params = {key: (units["all", 1.0]["family"], json.loads(units["all", 1.0]["params"]))
              for case in cases for key, units in case.lines.items()}
    shapes = {shape: [{"family": params[k][0], "params": params[k][1]} for k in order[:ROUND]]
              for shape, order in orders(cases).items()}
    return json.dumps({"source": "benchmarks/results/replay_table.csv", "program": "benchmarks/replay",
                       "tables": sorted({case.table for case in cases}),
                       "shapes": {"tabular": shapes}}, indent=1) + "\n"
