"""What a family would cost, before anything is trained: simple figures scaled to the description, each an interval.

A forecast never satisfies a limit; it says which families are likely to. Figures: facts/figures.toml.
"""

from __future__ import annotations

from typing import Any

from rightfit.advice import description as known
from rightfit.advice.catalogue import Card
from rightfit.advice.description import Description
from rightfit.records import frozen

USUAL = {"image_size": 224, "length": 64}
"""What is assumed where the description does not say."""
LIMITED = (("latency_ms", True), ("memory_mib", True), ("size_mib", True), ("throughput_per_s", False),
           ("serve_usd", True))


@frozen
class Figure:
    """One forecast: a value with the interval in which it should lie."""

    value: float
    low: float
    high: float


@frozen
class Forecast:
    """All forecasts for one family on one device. None: nobody has told a figure.

    `fit_s` is one fit on the rows described, on `train_on`; `fit_usd` its price where that is rented;
    `serve_usd` a month of the cheapest machines on demand that take the traffic, by the arithmetic of `rightfit cost`,
    at prices of `serve_asof`; a device of one's own that is no server has none. `source` says where the figures come
    from.
    """

    device: str
    latency_ms: Figure | None = None
    memory_mib: Figure | None = None
    size_mib: Figure | None = None
    throughput_per_s: Figure | None = None
    train_on: str = "cpu"
    fit_s: Figure | None = None
    fit_usd: Figure | None = None
    serve_usd: Figure | None = None
    asof: str = ""
    serve_asof: str = ""
    source: str = ""


def _figure(value: float, factor: float) -> Figure:
    return Figure(value=value, low=value / factor, high=value * factor)


def forecast(card: Card, asked: Description, place: str = "local") -> Forecast:
    """Latency, memory, size and training of a family as described.

    >>> from rightfit.advice.catalogue import known
    >>> asked = Description(modality="tabular", problem="binary", rows=5000, features=20)
    >>> round(forecast(known("tabular")["linear"], asked).latency_ms.value, 3)
    0.016
    """
    device = asked.device or "cpu"
    facts, told = known.device(device), card.figures
    trainer = asked.train_device or ("cloud-gpu" if place == "cloud" and "network" in card.tags else
                                     "cloud-cpu" if place == "cloud" else device if facts["kind"] != "edge" else "cpu")
    fit = _fit(card, asked, trainer)
    price = known.device(trainer).get("hour_usd")
    seen: dict[str, Any] = {
            "fit_s": fit, "train_on": trainer,
            "asof": known.device(trainer)["asof"] if price else "",
            "fit_usd": None if price is None or fit is None else
            Figure(value=fit.value / 3600 * price, low=fit.low / 3600 * price, high=fit.high / 3600 * price)}
    if "latency_ms" not in told:
        return Forecast(device=device, source="none", **seen)
    factor = float(told.get("factor", 3.0))
    network = "network" in card.tags
    slow = float(facts["networks" if network else "rows"])
    latency = told["latency_ms"] * _growth(told, asked, card.tags) * slow
    size = told["size_mib"] + told.get("size_per_krow", 0.0) * min((asked.rows or 1000) / 1000, told.get(
        "most_krow", 0)) + told.get("size_per_class", 0.0) * (asked.classes or 2)
    memory = told["memory_mib"] + max(size - told["size_mib"], 0.0) * 2
    speed, room = _figure(latency, factor * float(facts["factor"])), _figure(memory, 1.5)
    served, asof = (None, "") if facts["kind"] == "edge" else _served(speed, room, asked)
    return Forecast(device=device, latency_ms=speed, size_mib=_figure(size, factor), memory_mib=room,
                    throughput_per_s=Figure(value=1e3 / latency, low=1e3 / speed.high, high=1e3 / speed.low),
                    serve_usd=served, serve_asof=asof, source=told.get("source", "prior"), **seen)


def _served(latency: Figure, memory: Figure, asked: Description) -> tuple[Figure | None, str]:
    """US dollars a month for the traffic on the cheapest machines on demand, and as of when their prices are."""
    if asked.traffic_per_s is None:
        return None, ""
    from rightfit.resources import afford

    found = [afford.rented(asked.traffic_per_s, asked.latency_ms, {"latency_p95_ms": ms, "memory_mib": mib})
             for ms, mib in ((latency.low, memory.low), (latency.value, memory.value), (latency.high, memory.high))]
    plans = [one for one in found if one is not None]
    if len(plans) < len(found):
        return None, ""
    low, value, high = (one.usd_per_month for one in plans)
    return Figure(value=value, low=low, high=high), plans[1].asof


def side(natural: int, scratch: bool) -> int:
    """The side in pixels that a network of pictures is fed with by default, from the pictures' own.

    >>> side(500, scratch=False), side(500, scratch=True), side(28, scratch=True)
    (160, 96, 28)
    """
    if scratch:
        return min(natural, 64) if natural < 160 else 96
    return 96 if natural <= 48 else 128 if natural <= 128 else 160


def _growth(told: Any, asked: Description, tags: tuple[str, ...]) -> float:
    """How many times longer a row takes than one of the size at which the figure holds."""
    grows = told.get("grows")
    if grows is None:
        return 1.0
    size = getattr(asked, grows) or USUAL.get(grows, told["at"])
    if grows == "image_size" and told["at"] <= 224:
        size = side(size, scratch="from_scratch" in tags or asked.weights is False)
    return float(max(size / told["at"], 0.1) ** told["power"])


def _fit(card: Card, asked: Description, trainer: str) -> Figure | None:
    facts = known.device(trainer)
    times = float(facts["train"]) if "network" in card.tags else float(facts["rows"])
    if card.family is not None:
        return _figure(card.family.seconds(asked.task) * times, 3.0 * float(facts["factor"]))
    if "fit_s" in card.figures:
        return _figure(card.figures["fit_s"] * max((asked.rows or 1000) / 1000, 0.2) * times, 5.0)
    return None


def broken(told: Forecast, asked: Description) -> list[tuple[str, float, Figure, bool]]:
    """The limits that a forecast lies beyond: (name, limit, figure, whether the whole interval lies beyond)."""
    found = []
    for name, at_most in LIMITED:
        limit, figure = getattr(asked, name), getattr(told, name)
        if limit is None or figure is None:
            continue
        beyond = figure.value > limit if at_most else figure.value < limit
        if beyond:
            found.append((name, limit, figure, figure.low > limit if at_most else figure.high < limit))
    return found
