"""`rightfit prices`: the prices that count, and how to replace them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app
from rightfit.errors import UsageError


@app.command()
def prices(what: Annotated[str, typer.Argument(help="list; update FILE replaces a table; reset goes back")] = "list",
           file: Annotated[Text, typer.Argument(help="With update: a CSV of prices, rates or carbon")] = None,
           provider: Annotated[Text, typer.Option(help="Only this cloud, e.g. aws, gcp or alibaba")] = None,
           region: Annotated[Text, typer.Option(help="Only this region, e.g. us-east-1")] = None,
           vcpu: Annotated[float | None, typer.Option(help="At least so many vCPUs")] = None,
           memory: Annotated[Text, typer.Option(help="At least so much memory, e.g. 8GiB")] = None,
           gpu: Annotated[Text, typer.Option(help="Only machines with this GPU, e.g. L4")] = None,
           currency: Annotated[str, typer.Option(help="Currency to compare in")] = "USD",
           rate: Annotated[list[str] | None, typer.Option(help="USD for one unit of a currency: CNY=0.14")] = None,
           most: Annotated[int, typer.Option("--top", help="Rows to show, cheapest first; 0 shows all")] = 20,
           as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there")] = False
           ) -> None:
    """List the prices of machines that count, each as of its date, or replace a table by your own."""
    from rightfit.errors import UnknownName
    from rightfit.resources import tables

    if what not in ("list", "reset", "update"):
        raise UnknownName("action", what, ("list", "reset", "update"))
    if (what == "update") != (file is not None):
        raise UsageError(f"a file belongs to update, and update to a file; got {what} with file={file!r}, write "
                         "rightfit prices update FILE.")
    if what == "reset":
        gone = [str(path) for path in tables.reset()]
        print(json.dumps({"removed": gone}) if as_json else f"{len(gone)} tables of yours removed: "
              f"{', '.join(gone) or 'there were none'}; those of the package count.")
        return
    if file is not None:
        kind, where, rows = tables.update(file)
        print(json.dumps({"table": kind, "path": str(where), "rows": rows}) if as_json
              else f"{rows} rows of {kind} now count: {where}")
        return
    found = _rows(provider, region, vcpu, memory, gpu, currency, rate)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _table(found, most)


def _rows(provider: str | None, region: str | None, vcpu: float | None, memory: str | None, gpu: str | None,
          currency: str, changed: list[str] | None) -> dict[str, Any]:
    from rightfit import units
    from rightfit.cli._app import pairs
    from rightfit.errors import UnknownName
    from rightfit.records import asdict
    from rightfit.resources import tables

    rates = tables.rates(pairs(changed, "rate"))
    tables.rate(currency, rates)
    rows = tables.select(tables.prices(), provider=provider, region=region)
    names = {p.gpu for p in rows if p.gpu}
    if gpu is not None and gpu.upper() not in {name.upper() for name in names}:
        raise UnknownName("gpu", gpu, names)
    if vcpu is not None and not vcpu > 0:
        raise UsageError(f"vcpu must be above zero; got vcpu={vcpu:g}.")
    least = 0.0 if memory is None else units.mebibytes(memory, "memory") / 1024
    kept = [p for p in rows if p.vcpu >= (vcpu or 0) and p.mem_gib >= least
            and (p.gpu.upper() == gpu.upper() if gpu else True)]

    def shown(p: Any) -> dict[str, Any]:
        spot = p.spot_per_hour
        return {**asdict(p), "shown_currency": currency.upper(),
                "shown_on_demand": tables.convert(p.on_demand_per_hour, p.currency, currency, rates),
                "shown_spot": None if spot is None else tables.convert(spot, p.currency, currency, rates)}

    machines = sorted((shown(p) for p in kept), key=lambda p: (p["shown_on_demand"], p["instance_type"], p["region"]))
    dates = sorted({p.asof for p in kept} | {p.spot_asof for p in kept if p.spot_asof})
    used = {currency.upper(), "USD", *(p.currency for p in kept)}
    return {"table": str(tables.place("prices")), "rows": len(kept), "asof": dates, "stale": list(tables.stale(dates)),
            "rates": [asdict(rates[name]) for name in sorted(used)], "machines": machines}


def _table(found: dict[str, Any], most: int) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    machines = found["machines"][:most or None]
    shown = found["machines"][0]["shown_currency"] if machines else "USD"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("cloud", "region", "type", "vCPU", "GiB", "GPU", f"{shown}/h", "spot", "as of"):
        table.add_column(name, justify="right" if name in ("vCPU", "GiB", "spot") or "/h" in name else "left",
                         overflow="fold")
    for p in machines:
        gpu = f"{p['gpu_count']:g} x {p['gpu']}" if p["gpu"] else ""
        spot = "" if p["shown_spot"] is None else f"{p['shown_spot']:.4f}"
        table.add_row(p["provider"], p["region"], p["instance_type"], f"{p['vcpu']:g}", f"{p['mem_gib']:g}", gpu,
                      f"{p['shown_on_demand']:.4f}", spot, p["asof"])
    wide = sys.stdout.isatty()
    Console(width=None if wide else 130).print(table)
    print(f"{len(machines)} of {found['rows']} rows, cheapest first; table: {found['table']}")
    for rate in found["rates"]:
        if rate["currency"] != "USD":
            print(f"1 {rate['currency']} = {rate['usd']:g} USD as of {rate['asof']} ({rate['source']})")
    if found["stale"]:
        print(f"warning: prices of {', '.join(found['stale'])} are older than 180 days; rightfit prices update FILE "
              "replaces them.", file=sys.stderr)
