"""The study of a model's costs as one offline page, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from rightfit import units
from rightfit.report.page import environment
from rightfit.report.svg import axis, drawing, element, frame, text_width
from rightfit.report.wording import DASH, Words

LINES = (("cloud", "var(--p0)"), ("own", "var(--p2)"), ("serverless", "var(--p3)"))
_W, _H = 860, 340


def render(study: Mapping[str, Any], *, language: str = "en") -> str:
    """One HTML text without addresses or scripts. Raises UnknownName for a language."""
    from markupsafe import Markup

    t = Words(language=language)
    style = (resources.files("rightfit.report") / "templates" / "style.css").read_text(encoding="utf-8")
    parts = [part for part in (_rented(study, t), _own(study, t), _models(study, t), _training(study, t),
                               _carbon(study, t), _assumed(study, t)) if part]
    return environment().get_template("cost.html.j2").render(
        t=t, lang=language.replace("_", "-"), style=Markup(style), title=t("cost.title", name=study["name"]),
        verdict=_verdict(study, t), lede=_lede(study, t), parts=parts)


def money(value: float | None, currency: str = "") -> str:
    """An amount for people; small ones keep three digits.

    >>> money(1234.5, "USD"), money(0.000587)
    ('1,234.50 USD', '0.000587')
    """
    if value is None:
        return DASH
    size = abs(value)
    shown = f"{value:,.0f}" if size >= 1e5 else f"{value:,.2f}" if size >= 1 or not size else f"{value:.3g}"
    return f"{shown} {currency}".rstrip()


def _verdict(study: Mapping[str, Any], t: Words) -> str:
    best = next((p for p in study["rented"] if p["how"] == "on demand"), None)
    return t("cost.nothing") if best is None else t(
        "cost.verdict", instances=best["instances"], type=best["instance_type"], provider=best["provider"],
        region=best["region"], amount=money(best["per_month"], study["currency"]), asof=best["asof"])


def _lede(study: Mapping[str, Any], t: Words) -> list[str]:
    load, limit = study["load"], study["load"]["limit_ms"]
    said = [t("cost.lede", traffic=f"{load['traffic_per_s']:g}", peak=f"{load['peak_per_s']:g}",
              limit=t("cost.unlimited") if limit is None else
              t("cost.limited", limit=units.show_seconds(limit / 1e3)))]
    if study["range"]:
        low, high = sorted(study["range"])
        said.append(t("cost.range", low=money(low, study["currency"]), high=money(high, study["currency"])))
    if study["stale"]:
        said.append(t("cost.stale", dates=", ".join(study["stale"])))
    return said


def _part(heading: str, *, said: Sequence[str] = (), table: Any = None, svg: Any = None,
          notes: Sequence[str] = ()) -> dict[str, Any]:
    return {"heading": heading, "said": list(said), "table": table, "svg": svg, "notes": list(notes)}


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int], mine: int = -1) -> dict[str, Any]:
    dated = bool(rows) and rows[0][-1][:4].isdigit()
    return {"head": head, "rows": rows, "numbers": numbers, "mine": mine, "dated": dated}


def _rented(study: Mapping[str, Any], t: Words) -> dict[str, Any]:
    names = ("cloud", "region", "type", "how", "machines", "busy", "p95", "month", "1k", "asof")
    head = [t(f"cost.c.{name}", currency=study["currency"]) for name in names]
    rows = [[p["provider"], p["region"], p["instance_type"], t(f"cost.{p['how']}"), str(p["instances"]),
             f"{p['utilisation']:.0%}", units.show_seconds(p["latency_p95_ms"] / 1e3), money(p["per_month"]),
             money(p["per_1k"]), p["asof"]] for p in study["rented"]]
    return _part(t("cost.h.rented"), table=_grid(head, rows, (4, 5, 6, 7, 8), 0),
                 notes=[t("cost.prices", dates=", ".join(study["asof"]))])


def _own(study: Mapping[str, Any], t: Words) -> dict[str, Any]:
    own, currency = study["own"], study["currency"]
    said = [t("cost.own.none") if own is None else
            t("cost.own", amount=money(own["per_month"], currency), instances=own["instances"],
              busy=f"{own['utilisation']:.0%}")]
    if study["serverless"]:
        said.append(t("cost.serverless", amount=money(study["serverless"]["per_month"], currency)))
    said.append(even(study, t))
    return _part(t("cost.h.curve"), said=said, svg=curve(study, t))


def even(study: Mapping[str, Any], t: Words) -> str:
    """Where renting and buying cost the same, in one sentence."""
    found = study["break_even"]
    first, points = found["from_per_s"], found["points"]
    if first is None:
        low, high = points[0]["traffic_per_s"], points[-1]["traffic_per_s"]
        return t("cost.even.none", low=f"{low:.3g}/s", high=f"{high:,.6g}/s")
    return t("cost.even", traffic=f"{first:,.3g}/s" if first < 1e3 else f"{first:,.0f}/s",
             stays=t("cost.even.stays" if found["stays"] else "cost.even.not"))


def curve(study: Mapping[str, Any], t: Words) -> Any:
    """Costs by the month over mean traffic, both logarithmic; the traffic asked for and the break-even are marked."""
    found = study["break_even"]
    points = found["points"]
    x = axis([p["traffic_per_s"] for p in points], 70, _W - 120, log=True)
    y = axis([p[name] for p in points for name, _ in LINES], _H - 60, 40, log=True)
    if x is None or y is None:
        return None
    money_label = t("cost.axis.money", currency=study["currency"])
    inside = list(frame(x, y, t("cost.axis.traffic"), money_label))
    lowest = float("inf")
    for name, colour in sorted(LINES, key=lambda line: points[-1][line[0]] or 0.0):
        known = [(p["traffic_per_s"], p[name]) for p in points if p[name]]
        if not known:
            continue
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in known)
        inside.append(element("polyline", points=path, fill="none", style=f"stroke:{colour};stroke-width:2"))
        lowest = min(y.at(known[-1][1]), lowest - 15)
        inside.append(element("text", t(f"cost.line.{name}"), class_="label", x=x.at(known[-1][0]) + 6,
                              y=lowest + 4, style=f"fill:{colour}"))
    here = study["load"]["traffic_per_s"]
    for at, dash, up in ((here, "2 3", 16), (found["from_per_s"], "6 4", 4)):
        if at is not None:
            label = f"{at:.3g}/s" if at < 1e3 else f"{at:,.0f}/s"
            inside.append(element("line", class_="axis", x1=x.at(at), x2=x.at(at), y1=y.start, y2=y.end,
                                  stroke_dasharray=dash))
            inside.append(element("text", label, class_="tick", y=y.end - up,
                                  x=min(x.at(at) + 4, _W - text_width(label))))
    return drawing(_W, _H, t("cost.h.curve"), even(study, t), *inside)


def _models(study: Mapping[str, Any], t: Words) -> dict[str, Any] | None:
    models, currency = study.get("models") or [], study["currency"]
    if not models:
        return None
    names = ("model", "threshold", "net", "range", "serving", "worth", "asof")
    head = [t(f"cost.c.{name}", currency=currency) for name in names]
    rows = [[m["name"], t("cost.rule") if m["threshold"] is None else f"{m['threshold']:.2f}",
             money(m["net_per_month"]), f"{money(m['low'])} … {money(m['high'])}",
             money(m["serving_per_month"]), money(m["worth_per_prediction"]), m["asof"]] for m in models]
    best = t("cost.best", name=models[0]["name"], amount=money(models[0]["net_per_month"], currency))
    return _part(t("cost.h.models"), said=[best], table=_grid(head, rows, (1, 2, 3, 4, 5), 0),
                 notes=[t("cost.models.note")])


def _training(study: Mapping[str, Any], t: Words) -> dict[str, Any] | None:
    if not study.get("training"):
        return None
    head = [t(f"cost.c.{name}", currency=study["currency"]) for name in ("what", "time", "machine", "amount", "asof")]
    rows = [[t(f"cost.{one['what']}"), units.show_seconds(one["seconds"]),
             f"{one['instance_type']}, {one['provider']} {one['region']}", money(one["amount"]), one["asof"]]
            for one in study["training"]]
    return _part(t("cost.h.training"), table=_grid(head, rows, (1, 3)))


def _carbon(study: Mapping[str, Any], t: Words) -> dict[str, Any]:
    names = ("cloud", "region", "type", "carbon", "month", "asof")
    rows = [[p["provider"], p["region"], f"{p['instances']} x {p['instance_type']}",
             DASH if p["kgco2e_per_month"] is None else f"{p['kgco2e_per_month']:.3g}", money(p["per_month"]),
             " / ".join(d for d in (p["carbon_asof"], p["asof"]) if d)] for p in study["carbon"]]
    return _part(t("cost.h.carbon"), table=_grid([t(f"cost.c.{name}", currency=study["currency"]) for name in names],
                                                 rows, (3, 4)))


def _assumed(study: Mapping[str, Any], t: Words) -> dict[str, Any]:
    rows = [[one["name"], f"{one['value']:g} {one['unit']}", f"{one['low']:g} … {one['high']:g}", one["source"]]
            for one in study["assumptions"]]
    said = [t("cost.rate", currency=r["currency"], usd=f"{r['usd']:g}", asof=r["asof"], source=r["source"])
            for r in study["rates"] if r["currency"] != "USD"]
    return _part(t("cost.h.assumed"), said=said,
                 table=_grid([t(f"cost.c.{name}") for name in ("name", "value", "span", "source")], rows, (1, 2)))
