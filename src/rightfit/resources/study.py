"""All that `rightfit cost` says of one model, as one plain object: rent, buy, break even, train, emit, gain.

Money is in the currency asked for, by the month; every part carries the date of the prices that it rests on. Figures on
machines that did not measure are labelled forecasts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rightfit.records import asdict, frozen
from rightfit.resources import cost, tables
from rightfit.resources.afford import values
from rightfit.resources.cost import Load, Plan, Service
from rightfit.resources.tables import Assumption, Carbon, Price, Rate, convert
from rightfit.units import HOURS_PER_MONTH, SECONDS_PER_MONTH

POINTS, LOWEST, HIGHEST = 61, 0.1, 1e4  # of the curve of costs, in rows per second
Z95 = 1.96


@frozen
class Setting:
    """What counts while costs are reckoned: prices to choose from, assumptions, rates, grid carbon, the currency."""

    prices: tuple[Price, ...]
    assumed: Mapping[str, Assumption]
    rates: Mapping[str, Rate]
    grid: Mapping[tuple[str, str], Carbon]
    currency: str = "USD"

    def money(self, usd: float) -> float:
        """USD in the currency asked for."""
        return convert(usd, "USD", self.currency, self.rates)


def study(of: Service, asked: Load, at: Setting) -> dict[str, Any]:
    """Rent, buy, serverless, break-even and carbon of a measured model under a load, JSON values only."""
    a = values(at.assumed)
    rented = {how: cost.plans(at.prices, of, asked, a, at.rates, at.grid, spot=how == "spot")
              for how in ("on demand", "spot")}
    firsts = [plan for how in rented for plan in _firsts(rented[how], "provider")]
    own, without = cost.bought(of, asked, a), cost.serverless(of, asked, a)
    used = [p for p in (*firsts, *_firsts(rented["on demand"], "region")) if p.asof]
    currencies = {p.currency for p in at.prices} | {at.currency, "USD"}
    dates = sorted({p.asof for p in used})
    rates = [at.rates[name] for name in sorted(currencies)]
    return {
        "label": "forecast", "currency": at.currency, "service": asdict(of), "load": asdict(asked), "asof": dates,
        "stale": list(tables.stale([*dates, *(r.asof for r in rates)])), "rates": [asdict(r) for r in rates],
        "rented": [shown(p, at) for p in firsts], "range": _range(of, asked, at, a),
        "own": shown(own, at) if own else None,
        "serverless": None if without is None else {"per_month": at.money(without),
                                                    "per_1k": at.money(cost.per_1k(without, asked))},
        "break_even": break_even(of, asked, at, a),
        "carbon": [shown(p, at) for p in sorted(_firsts(rented["on demand"], "region"),
                                                key=lambda p: p.kgco2e_per_month or math.inf)],
        "assumptions": [asdict(one) for one in at.assumed.values()]}


def shown(plan: Plan, at: Setting) -> dict[str, Any]:
    """A plan with its money in the currency asked for."""
    found: dict[str, Any] = asdict(plan)
    usd, each = found.pop("usd_per_month"), found.pop("usd_per_1k")
    here = at.grid.get((plan.provider, plan.region))
    return {**found, "per_month": at.money(usd), "per_1k": at.money(each), "carbon_asof": here.asof if here else ""}


def _firsts(plans: Sequence[Plan], by: str) -> list[Plan]:
    """The cheapest of each provider, or of each provider's regions; they come in order of price."""
    found: dict[tuple[str, ...], Plan] = {}
    for plan in plans:
        found.setdefault((plan.provider, plan.region if by == "region" else ""), plan)
    return list(found.values())


def _range(of: Service, asked: Load, at: Setting, a: Mapping[str, float]) -> list[float] | None:
    """The cheapest machines on demand, by the month, as the cloud's cores may be faster or slower than this one's."""
    ratio = at.assumed["core_ratio"]
    ends = [cost.plans(at.prices, of, asked, {**a, "core_ratio": value}, at.rates, at.grid)
            for value in (ratio.high, ratio.low)]
    return [at.money(plans[0].usd_per_month) for plans in ends] if all(ends) else None


def ladder(of: Service, asked: Load, at: Setting, a: Mapping[str, float]) -> list[tuple[float, float]]:
    """(rows per second, USD by the month) of one machine on demand, of every type that none beats in both."""
    best: dict[float, float] = {}
    for price in at.prices:
        plan = cost.plan(price, of, asked, a, at.rates, at.grid)
        if plan is not None:
            usd = convert(price.on_demand_per_hour, price.currency, "USD", at.rates) * HOURS_PER_MONTH
            best[plan.machine_per_s] = min(usd, best.get(plan.machine_per_s, math.inf))
    found: list[tuple[float, float]] = []
    for most, usd in sorted(best.items(), reverse=True):
        if not found or usd < found[-1][1]:
            found.append((most, usd))
    return found


def break_even(of: Service, asked: Load, at: Setting, a: Mapping[str, float]) -> dict[str, Any]:
    """Costs by traffic at the same ratio of peak to mean, and the least traffic at which buying is no dearer.

    `from_per_s` None: nowhere on the curve. `stays`: from there on buying is never dearer, up to the curve's end.
    """
    steps, ratio = ladder(of, asked, at, a), asked.peak_per_s / asked.traffic_per_s
    fewest = math.ceil(a["instances_min"])

    def point(traffic: float) -> dict[str, float | None]:
        here = cost.load(traffic, traffic * ratio, asked.limit_ms)
        cloud = min((max(fewest, math.ceil(here.peak_per_s / most - 1e-9)) * usd for most, usd in steps), default=None)
        own, without = cost.bought(of, here, a), cost.serverless(of, here, a)
        return {"traffic_per_s": traffic, "cloud": None if cloud is None else at.money(cloud),
                "own": None if own is None else at.money(own.usd_per_month),
                "serverless": None if without is None else at.money(without)}

    def pays(found: Mapping[str, float | None]) -> bool:
        return found["own"] is not None and (found["cloud"] is None or found["own"] <= found["cloud"])

    start = min(LOWEST, asked.traffic_per_s / 100)
    span = math.log(max(HIGHEST, asked.traffic_per_s * 100) / start)
    points = [point(start * math.exp(span * i / (POINTS - 1))) for i in range(POINTS)]
    first = next((i for i, found in enumerate(points) if pays(found)), None)
    if first is None:
        return {"from_per_s": None, "stays": False, "points": points}
    low, high = points[max(first - 1, 0)]["traffic_per_s"] or 0.0, points[first]["traffic_per_s"] or 0.0
    for _ in range(40 if first else 0):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if pays(point(middle)) else (middle, high)
    return {"from_per_s": high, "stays": all(pays(found) for found in points[first:]), "points": points}


def training(decision: Mapping[str, Any], at: Setting) -> list[dict[str, Any]]:
    """What the run that was made cost at a rented machine's price, what all of it again would, and a refit alone."""
    a, machine = values(at.assumed), decision.get("machine", {})
    cores = float(machine.get("cores") or 1)
    spent = decision.get("spent", {})
    parts = {"run": spent.get("wall_s"), "retrain": spent.get("budget_s"),
             "refit": decision.get("measured", {}).get("fit_s")}
    found = []
    for what, seconds in parts.items():
        one = None if not seconds else cost.training_usd(seconds, cores, cores * a["training_mib_per_core"], at.prices,
                                                         a, at.rates)
        if one is not None:
            price, usd = one
            found.append({"what": what, "seconds": seconds, "cores": cores, "amount": at.money(usd), "asof": price.asof,
                          "provider": price.provider, "region": price.region, "instance_type": price.instance_type})
    return found


def outcomes(rival: Mapping[str, Any], worth: Sequence[Sequence[float]]) -> list[tuple[Any, float | None]]:
    """Confusion counts of a model by the run's own rule and, for two classes, at the threshold that this worth calls
    for: positive where p (w11 - w10) is at least (1 - p) (w00 - w01) (Elkan 2001).
    """
    found: list[tuple[Any, float | None]] = [(rival["confusion"], None)]
    if len(worth) != 2 or "tp" not in rival:
        return found
    negative, positive = worth[0][0] - worth[0][1], worth[1][1] - worth[1][0]
    if negative < 0 or positive < 0 or negative + positive == 0:
        return found
    at = math.ceil(100 * negative / (negative + positive) - 1e-9)
    tp, fp, (no, yes) = rival["tp"][at], rival["fp"][at], [sum(row) for row in rival["confusion"]]
    return [*found, ([[no - fp, fp], [yes - tp, tp]], at / 100)]


def benefits(rivals: Mapping[str, Mapping[str, Any]], worth: Sequence[Sequence[float]], asked: Load,
             at: Setting) -> list[dict[str, Any]]:
    """Net benefit of each model by the month, best first: what its predictions are worth less what serving it costs.

    rivals: {model: {"confusion": (k, k) counts [true][predicted] on rows it had not seen, latencies, memory}}. worth:
    (k, k) in the currency asked for, [true][predicted]. The 95 % interval is of the mean worth over those rows; traffic
    is taken to be like them. The better of the run's rule and the threshold that the worth calls for counts. A model
    that no machine serves within the limits has no benefit and is left out.
    """
    a, rows = values(at.assumed), asked.traffic_per_s * SECONDS_PER_MONTH
    found = []
    for name, rival in rivals.items():
        plans = cost.plans(at.prices, cost.service(rival), asked, a, at.rates, at.grid)
        rules = [([(count, gain) for counts, gains in zip(confusion, worth, strict=True)
                   for count, gain in zip(counts, gains, strict=True)], threshold)
                 for confusion, threshold in outcomes(rival, worth)]
        cells, threshold = max(rules, key=lambda rule: sum(count * gain for count, gain in rule[0]))
        n = sum(count for count, _ in cells)
        if not plans or not n:
            continue
        mean = sum(count * gain for count, gain in cells) / n
        spread = math.sqrt(sum(count * (gain - mean) ** 2 for count, gain in cells) / max(n - 1, 1) / n)
        serving = at.money(plans[0].usd_per_month)
        found.append({"name": name, "threshold": threshold, "worth_per_prediction": mean, "n": n,
                      "serving_per_month": serving, "net_per_month": mean * rows - serving,
                      "low": (mean - Z95 * spread) * rows - serving, "high": (mean + Z95 * spread) * rows - serving,
                      "asof": plans[0].asof})
    return sorted(found, key=lambda row: (-row["net_per_month"], row["name"]))
