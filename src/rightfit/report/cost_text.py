"""The study of a model's costs as lines for a terminal; every figure says as of when its price is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rightfit import units
from rightfit.report.cost_page import even, money
from rightfit.report.wording import Words

WHAT = {"run": "the run that was made", "retrain": "the whole search again", "refit": "the chosen model on all rows"}


def lines(study: Mapping[str, Any]) -> Iterator[str]:
    """The whole answer, from the cheapest machines to the assumptions."""
    load, currency = study["load"], study["currency"]
    limit = "" if load["limit_ms"] is None else f", p95 within {units.show_seconds(load['limit_ms'] / 1e3)}"
    yield (f"{study['name']} at {load['traffic_per_s']:g}/s, peak {load['peak_per_s']:g}/s{limit}; forecasts from the "
           f"measured latency and memory, {currency} by the month")
    yield ""
    if study["rented"]:
        yield from table(("cloud", "region", "machines", "paid", "month", "per 1000", "busy", "p95", "as of"), [
            (p["provider"], p["region"], f"{p['instances']} x {p['instance_type']}", p["how"], money(p["per_month"]),
             money(p["per_1k"]), f"{p['utilisation']:.0%}", units.show_seconds(p["latency_p95_ms"] / 1e3), p["asof"])
            for p in study["rented"]])
    else:
        yield "No machine of the table serves this load within the limit and its memory."
    if study["range"]:
        low, high = sorted(study["range"])
        yield (f"The cheapest lies between {money(low)} and {money(high, currency)} as the cores there may be faster "
               f"or slower (core_ratio), as of {', '.join(study['asof'])}.")
    yield ""
    own = study["own"]
    yield ("The assumed machine of one's own does not serve this load." if own is None else
           f"Bought: {own['instances']} x {own['instance_type']}, {money(own['per_month'], currency)} with power and "
           f"staff, {own['utilisation']:.0%} busy at the peak.")
    if study["serverless"]:
        yield f"Serverless at the prices given: {money(study['serverless']['per_month'], currency)}."
    dates = ", ".join(study["asof"])
    yield f"{even(study, Words(language='en'))[:-1]}, as of {dates}." if dates else even(study, Words(language="en"))
    yield from _trained(study)
    yield from _emitted(study)
    yield from _gained(study)
    yield ""
    for rate in study["rates"]:
        if rate["currency"] != "USD":
            yield f"1 {rate['currency']} = {rate['usd']:g} USD as of {rate['asof']} ({rate['source']})"
    yield "Assumptions, changed by --assume NAME=VALUE:"
    yield from table(("name", "value", "range", "source"), [
        (one["name"], f"{one['value']:g} {one['unit']}", f"{one['low']:g} to {one['high']:g}", one["source"])
        for one in study["assumptions"]])


def _trained(study: Mapping[str, Any]) -> Iterator[str]:
    for one in study["training"]:
        yield (f"Training, {WHAT[one['what']]}: {units.show_seconds(one['seconds'])} on {one['instance_type']} at "
               f"{one['provider']} {one['region']}, {money(one['amount'], study['currency'])} as of {one['asof']}.")


def _emitted(study: Mapping[str, Any]) -> Iterator[str]:
    rows = [(p["provider"], p["region"], "unknown" if p["kgco2e_per_month"] is None else f"{p['kgco2e_per_month']:.3g}",
             p["carbon_asof"], money(p["per_month"]), p["asof"]) for p in study["carbon"]]
    if rows:
        yield ""
        yield from table(("cloud", "region", "kg CO2e", "as of", "month", "as of"), rows)


def _gained(study: Mapping[str, Any]) -> Iterator[str]:
    if not study["models"]:
        return
    yield ""
    yield from table(("model", "threshold", "net benefit", "95 % interval", "serving", "worth of one", "as of"), [
        (m["name"], "as run" if m["threshold"] is None else f"{m['threshold']:.2f}",
         money(m["net_per_month"]), f"{money(m['low'])} to {money(m['high'])}",
         money(m["serving_per_month"]), money(m["worth_per_prediction"]), m["asof"]) for m in study["models"]])
    best = study["models"][0]
    yield f"{best['name']} brings the most: {money(best['net_per_month'], study['currency'])}, as of {best['asof']}."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns lined up by their widest cell.

    >>> list(table(("a", "b"), [("long", "1")]))
    ['a     b', 'long  1']
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
