"""Money as a limit: what a measured package would cost to serve, from the tables and assumptions that count now.

The figure of a limit on money is named for its currency, `cost_usd_per_month`, and is that of the cheapest machine
on demand: spot machines may be taken away, so they are no promise.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from rightfit.records import Limit, Serving, asdict
from rightfit.resources import cost, tables
from rightfit.resources.tables import Assumption, Price, convert

PREFIX, SUFFIX = "cost_", "_per_month"
ARCHITECTURES = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}


def currency_of(name: str) -> str | None:
    """The currency of a figure's name, or None where it is no cost.

    >>> currency_of("cost_cny_per_month"), currency_of("size_mib")
    ('CNY', None)
    """
    own = name.startswith(PREFIX) and name.endswith(SUFFIX)
    return name[len(PREFIX):-len(SUFFIX)].upper() if own else None


def check(serving: Serving | None, limits: Sequence[Limit]) -> None:
    """Whether the provider, the region and the currency of a need exist. Raises UnknownName with the closest one."""
    for limit in limits:
        currency = currency_of(limit.name)
        if currency:
            tables.rate(currency, tables.rates())
    if serving is not None:
        tables.select(tables.prices(), provider=serving.provider, region=serving.region)


def values(assumed: Mapping[str, Assumption]) -> dict[str, float]:
    """The assumptions as the arithmetic takes them."""
    return {name: one.value for name, one in assumed.items()}


def of_architecture(prices: Sequence[Price], architecture: str) -> list[Price]:
    """The machines whose processors are like the one that measured: latency tells nothing of another kind."""
    kind = ARCHITECTURES.get(architecture.lower(), "x86")
    return [price for price in prices if price.architecture == kind]


def _load(serving: Serving, limits: Sequence[Limit]) -> cost.Load:
    latency = [limit.limit for limit in limits if limit.name == "latency_p95_ms"]
    return cost.load(serving.traffic_per_s, serving.peak_per_s, latency[0] if latency else None)


def cheapest(serving: Serving, limits: Sequence[Limit], measured: Mapping[str, float]) -> cost.Plan | None:
    """The cheapest machines on demand that serve a measured package; None where none fits or nothing was measured.

    A package that is itself slower than the latency limit is priced without it: that limit says no for itself.
    """
    import platform

    if not measured.get("latency_p95_ms"):
        return None
    rows = tables.select(tables.prices(), provider=serving.provider, region=serving.region)
    rows = tuple(of_architecture(rows, platform.machine()))
    asked, of, known = _load(serving, limits), cost.service(measured), values(tables.assumptions())
    if asked.limit_ms is not None and of.p95_ms > asked.limit_ms:
        asked = cost.load(serving.traffic_per_s, serving.peak_per_s)
    found = cost.plans(rows, of, asked, known, tables.rates(), tables.carbon())
    return found[0] if found else None


@functools.lru_cache(maxsize=4)
def _frontier(rows: tuple[Price, ...]) -> tuple[Price, ...]:
    """The machines on demand than which none has as much of everything for less."""
    rates, kept = tables.rates(), list[Price]()

    def usd(price: Price) -> float:
        return convert(price.on_demand_per_hour, price.currency, "USD", rates)

    def within(one: Price, other: Price) -> bool:
        return (one.vcpu <= other.vcpu and one.mem_gib <= other.mem_gib
                and (one.vcpu_is == other.vcpu_is or other.vcpu_is == "core"))

    for price in sorted(rows, key=usd):
        if not price.gpu and not any(within(price, cheaper) for cheaper in kept):
            kept.append(price)
    return tuple(kept)


def rented(traffic_per_s: float, limit_ms: float | None, figures: Mapping[str, float]) -> cost.Plan | None:
    """The cheapest x86 machines on demand anywhere, for figures that nobody measured: as `cheapest`, but in a moment.

    figures: latency_p95_ms and memory_mib, forecasts. A figure above the limit is priced without it.
    """
    of = cost.service(figures)
    asked = cost.load(traffic_per_s, None, limit_ms if limit_ms is None or of.p95_ms <= limit_ms else None)
    rows = _frontier(tuple(of_architecture(tables.prices(), "x86_64")))
    found = cost.plans(rows, of, asked, values(tables.assumptions()), tables.rates(), tables.carbon())
    return found[0] if found else None


def priced(serving: Serving | None, limits: Sequence[Limit], measured: Mapping[str, float]) -> dict[str, float]:
    """What was measured, and for each limit on money the figure that it is held against."""
    found = {name: value for name, value in measured.items() if currency_of(name) is None}
    asked = [limit.name for limit in limits if currency_of(limit.name)]
    if serving is None or not asked:
        return found
    best = cheapest(serving, limits, measured)
    if best is not None:
        rates = tables.rates()
        found |= {name: convert(best.usd_per_month, "USD", currency_of(name) or "USD", rates) for name in asked}
    return found


def story(serving: Serving, limits: Sequence[Limit], measured: Mapping[str, float]) -> dict[str, Any]:
    """What a decision keeps of its costs: the machines, every assumption, the rates, and how old the prices are."""
    best = cheapest(serving, limits, measured)
    if best is None:
        return {}
    used = {currency for limit in limits if (currency := currency_of(limit.name))} | {
        p.currency for p in tables.prices()
        if (p.provider, p.region, p.instance_type) == (best.provider, best.region, best.instance_type)}
    rates = tables.rates()
    return {"serving": asdict(serving), "plan": asdict(best), "asof": best.asof, "label": "forecast",
            "stale": list(tables.stale([best.asof, *(rates[c].asof for c in used)])),
            "rates": [asdict(rates[name]) for name in sorted(used)],
            "assumptions": [asdict(one) for one in tables.assumptions().values()]}


def sentence(told: Mapping[str, Any]) -> str:
    """The story in one sentence, for people."""
    plan, serving = told["plan"], told["serving"]
    rates = ", ".join(f"1 {r['currency']} = {r['usd']:g} USD as of {r['asof']}" for r in told["rates"]
                      if r["currency"] != "USD")
    old = f", prices of {', '.join(told['stale'])} are older than {tables.STALE_DAYS} days" if told["stale"] else ""
    peak = serving["peak_per_s"] or serving["traffic_per_s"]
    return (f"Served at {serving['traffic_per_s']:g}/s (peak {peak:g}/s) it costs {plan['usd_per_month']:.2f} "
            f"USD/month on demand, as of {told['asof']}: {plan['instances']} x {plan['instance_type']} at "
            f"{plan['provider']} {plan['region']}, a forecast from the measured latency and memory"
            f"{f' ({rates})' if rates else ''}{old}.")
