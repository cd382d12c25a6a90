"""The decision: feasible -> Pareto front -> statistical ties -> the cheapest of the best -> what would change it.

Pure functions over `Contender` records: the same measurements always give the same decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rightfit.records import RESOURCES, Limit, LimitCheck, frozen

COSTS = ("latency_p50_ms", "size_mib", "fit_s")
WORTH = 3.0  # a tied model must be at least this much cheaper to be preferred to the best
TIED_T = 1.0  # within one corrected standard error (Breiman 1984, Nadeau and Bengio 2003; measured in docs/decisions)
WIDEST = 0.005  # a tie hides at most so much of a score that ends at 1, or such a share of a loss (docs/decisions/002)
HEADROOM = {"latency_p95_ms": 1.25, "memory_mib": 1.03, "throughput_per_s": 0.75}
"""A limit must be met with this much to spare, so that it is met again when somebody else measures."""


@frozen
class Contender:
    """A candidate as the decision sees it. `gaps`: {other: (mean, low, high, t)}, how far the other is behind."""

    key: str
    family: str
    utility: float
    measured: Mapping[str, float]
    gaps: Mapping[str, tuple[float, float, float, float]]
    baseline: bool = False

    @property
    def cost(self) -> float:
        """Geometric mean of single-row latency, package size and fitting time; no unit, only ratios mean something."""
        logs = [math.log(max(self.measured[name], 1e-6)) for name in COSTS if name in self.measured]
        return math.exp(sum(logs) / len(logs)) if logs else float("inf")


def check(limits: Sequence[Limit], measured: Mapping[str, float]) -> tuple[LimitCheck, ...]:
    """Every limit against what was measured; what was not measured is not met.

    >>> check((Limit(name="size_mib", limit=20, sense="at_most"),), {"size_mib": 3.0})
    (LimitCheck(name='size_mib', limit=20, value=3.0, met=True),)
    """
    found = []
    for limit in limits:
        value = measured.get(limit.name)
        strict = measured.get(limit.name.replace("_ms", "_high_ms"), value) if limit.name.endswith("_ms") else value
        spare = None if strict is None else strict * HEADROOM.get(limit.name, 1.0)
        found.append(LimitCheck(name=limit.name, limit=limit.limit, value=value, met=limit.met(spare)))
    return tuple(found)


def feasible(limits: Sequence[Limit], contender: Contender) -> bool:
    """Whether every limit is met."""
    return all(item.met for item in check(limits, contender.measured))


def possible(limits: Sequence[Limit], contender: Contender) -> bool:
    """Whether no limit is known to be broken: what a package needs may still be unmeasured, a metric may not."""
    return all(item.met or (item.value is None and item.name.endswith(RESOURCES))
               for item in check(limits, contender.measured))


def ranked(contenders: Sequence[Contender]) -> list[Contender]:
    """Best utility first."""
    return sorted(contenders, key=lambda c: (-c.utility, c.cost, c.key))


def ties(best: Contender, others: Sequence[Contender]) -> list[Contender]:
    """Those that cannot be told from the best and are not far behind it, the best included."""
    far = WIDEST * (abs(best.utility) if best.utility < 0 else 1.0)

    def tied(other: Contender) -> bool:
        mean, _, _, t = best.gaps.get(other.key, (0.0, 0.0, 0.0, 99.0))
        return t < TIED_T and mean <= far

    return [best, *(c for c in others if c.key != best.key and tied(c))]


def order(contenders: Sequence[Contender], limits: Sequence[Limit]) -> list[Contender]:
    """Contenders in the order in which they should be delivered: the cheapest of the best first.

    Those known to break a limit are left out; each is proven before it is delivered.
    """
    left = ranked([c for c in contenders if possible(limits, c)])
    found: list[Contender] = []
    while left:
        tied = ties(left[0], left)
        cheap = min(tied, key=lambda c: (c.cost, c.key))
        first = cheap if cheap.cost * WORTH <= left[0].cost else left[0]
        found.append(first)
        left = [c for c in left if c.key != first.key]
    return found


def front(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Keys that no other beats or equals in quality, latency, memory, size and fitting time at once."""
    names = ("latency_p95_ms", "memory_mib", "size_mib", "fit_s")

    def figures(c: Contender) -> tuple[float, ...]:
        return (-c.utility, *(c.measured.get(name, float("inf")) for name in names))

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    table = {c.key: figures(c) for c in contenders}
    return tuple(key for key, own in table.items() if not any(beats(other, own) for other in table.values()))


def shortfalls(limits: Sequence[Limit], contender: Contender) -> dict[str, float]:
    """By which share each broken limit is missed."""
    found = {}
    for item in check(limits, contender.measured):
        if not item.met:
            gap = 1.0 if item.value is None else abs(item.value - item.limit) / max(abs(item.limit), 1e-12)
            found[item.name] = gap
    return found


def nearest_of(contenders: Sequence[Contender], limits: Sequence[Limit]) -> Contender | None:
    """The contender that misses the limits by the least."""
    skilled = [c for c in contenders if not c.baseline] or list(contenders)
    if not skilled:
        return None

    def worst(c: Contender) -> tuple[int, float, float, str]:
        unknown = sum(item.value is None for item in check(limits, c.measured))
        return unknown, max(shortfalls(limits, c).values(), default=0.0), -c.utility, c.key

    return min(skilled, key=worst)


def nearest(contenders: Sequence[Contender], limits: Sequence[Limit]) -> dict[str, Any] | None:
    """The nearest contender, with the limits that bind it and what it would take."""
    best = nearest_of(contenders, limits)
    if best is None:
        return None
    missed = shortfalls(limits, best)
    by_name = {limit.name: limit for limit in limits}
    takes = "; ".join(
        f"{name} {'at most' if by_name[name].sense == 'at_most' else 'at least'} "
        f"{room(name, best.measured.get(name))} instead of {show(name, by_name[name].limit)}" for name in missed)
    return {"name": best.key, "family": best.family, "binding": list(missed), "would_take": takes,
            "measured": dict(best.measured)}


def room(name: str, value: float | None) -> str:
    """The limit that a value would meet with its headroom."""
    if value is None:
        return "unknown"
    spare = HEADROOM.get(name, 1.0)
    return show(name, value * spare)


def show(name: str, value: float) -> str:
    """A figure with the unit of its name.

    >>> show("latency_p95_ms", 0.0123), show("recall", 0.9), show("cost_usd_per_month", 48.9)
    ('0.0123 ms', '0.9', '48.90 USD/month')
    """
    if name.startswith("cost_") and name.endswith("_per_month"):
        return f"{value:,.2f} {name.split('_')[1].upper()}/month"
    for suffix, unit in (("_ms", " ms"), ("_mib", " MiB"), ("_per_s", "/s"), ("_s", " s")):
        if name.endswith(suffix):
            return f"{value:.3g}{unit}"
    return f"{value:.4g}"


def changes(contenders: Sequence[Contender], limits: Sequence[Limit], chosen: Contender | None, metric: str,
            greater: bool) -> tuple[str, ...]:
    """Plain sentences: which limit, moved how far, would change the answer to what, and by how much."""
    found = []
    for limit in limits:
        others = [item for item in limits if item is not limit]
        ahead = order(contenders, others)
        if not ahead or (chosen is not None and (ahead[0].key == chosen.key or ahead[0].utility <= chosen.utility)):
            continue
        new = ahead[0]
        word = "at most" if limit.sense == "at_most" else "at least"
        gain = ""
        if chosen is not None:
            mean, low, high, _ = new.gaps.get(chosen.key, (new.utility - chosen.utility, math.nan, math.nan, 0.0))
            sign = 1 if greater else -1
            gain = f": {sign * mean:+.4g} {metric}" + ("" if math.isnan(low) else
                                                       f" [{min(sign * low, sign * high):.4g}, "
                                                       f"{max(sign * low, sign * high):.4g}]")
        found.append(f"With {limit.name} {word} {room(limit.name, new.measured.get(limit.name))} instead of "
                     f"{show(limit.name, limit.limit)}, {new.key} would be chosen{gain}.")
    if chosen is not None:
        best = ranked([c for c in contenders if feasible(limits, c)])
        if best and best[0].key != chosen.key and best[0].utility > chosen.utility:
            ratio = best[0].cost / chosen.cost
            mean = best[0].utility - chosen.utility
            found.append(f"{best[0].key} scored {abs(mean):.4g} {metric} better, which the data cannot tell from luck, "
                         f"and costs {ratio:.1f} times as much; more rows could separate them.")
    if not found:
        found.append("Nothing that was tried would win if a limit were relaxed."
                     if limits else "No limit was set; only more data, more time or another metric could change this.")
    return tuple(found)
