"""`rightfit cost`: what serving a model costs, where, and whether it pays."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app, language_of, pairs
from rightfit.errors import UsageError


@app.command()
def cost(path: Annotated[str, typer.Argument(help="A run folder, or a package folder or zip (measured here and now)")],
         traffic: Annotated[str, typer.Option(help="Rows a second on average, e.g. 20/s")],
         peak: Annotated[Text, typer.Option(help="Rows a second at the most; default: the traffic")] = None,
         max_latency: Annotated[Text, typer.Option(help="p95 of waiting and model; default: the run's limit")] = None,
         provider: Annotated[Text, typer.Option(help="Only this cloud, e.g. aws, gcp or alibaba")] = None,
         region: Annotated[Text, typer.Option(help="Only this region, e.g. us-east-1")] = None,
         currency: Annotated[str, typer.Option(help="Currency of the answer")] = "USD",
         rate: Annotated[list[str] | None, typer.Option(help="USD for one unit of a currency: CNY=0.14")] = None,
         worth: Annotated[list[str] | None, typer.Option(
             help="Worth of a right, price of a wrong prediction: right=1, FN=50, 'cat>dog=3'")] = None,
         assume: Annotated[list[str] | None, typer.Option(help="Change an assumption, e.g. machine_years=5")] = None,
         assumptions: Annotated[Text, typer.Option(help="A TOML file of assumptions; --assume wins")] = None,
         html: Annotated[Text, typer.Option(help="Write the answer as one offline page")] = None,
         language: Annotated[Text, typer.Option(help="Language of the page: en or zh_CN")] = None,
         as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there")] = False
         ) -> None:
    """Say what serving a model costs: machines, clouds, buying, training, carbon, net benefit; dated prices."""
    from rightfit.delivery import worth as evidence
    from rightfit.resources import study as studying

    at = _setting(provider, region, currency, pairs(rate, "rate"), _assumed(assumptions, assume))
    asked = _load(traffic, peak, max_latency)
    of = evidence.subject(path)
    at = _like(at, of.decision.get("machine", {}).get("architecture"))
    asked = asked if max_latency else _with_limit(asked, of.limit_ms)
    found: dict[str, Any] = {"name": of.name, **studying.study(_service(of), asked, at)}
    found["training"] = studying.training(of.decision, at)
    found["models"] = _models(of, worth, asked, at)
    if html:
        _write(html, found, language_of(language))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)


def _assumed(path: str | None, items: list[str] | None) -> dict[str, float]:
    import tomllib
    from pathlib import Path

    found: dict[str, Any] = {}
    if path is not None:
        try:
            found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"assumptions must be a TOML file of NAME = NUMBER; got path={path!r}: {error}.") from None
    return {**found, **pairs(items, "assume")}


def _setting(provider: str | None, region: str | None, currency: str, changed: dict[str, float],
             assumed: dict[str, float]) -> Any:
    from rightfit.resources import study, tables

    rates = tables.rates(changed)
    return study.Setting(prices=tables.select(tables.prices(), provider=provider, region=region),
                         assumed=tables.assumptions(assumed), rates=rates, grid=tables.carbon(),
                         currency=tables.rate(currency, rates).currency)


def _like(at: Any, architecture: str | None) -> Any:
    import dataclasses
    import platform

    from rightfit.resources import afford

    return dataclasses.replace(at, prices=tuple(afford.of_architecture(at.prices, architecture or platform.machine())))


def _load(traffic: str, peak: str | None, latency: str | None) -> Any:
    from rightfit import units
    from rightfit.resources import cost as arithmetic

    return arithmetic.load(units.per_second(traffic, "traffic"), units.per_second(peak, "peak") if peak else None,
                           units.seconds(latency, "max_latency") * 1e3 if latency else None)


def _with_limit(asked: Any, limit_ms: float | None) -> Any:
    import dataclasses

    return dataclasses.replace(asked, limit_ms=limit_ms)


def _service(of: Any) -> Any:
    from rightfit.resources import cost as arithmetic

    return arithmetic.service(of.measured)


def _models(of: Any, worth: list[str] | None, asked: Any, at: Any) -> list[dict[str, Any]]:
    """Net benefits, where a worth was given, or the prices of errors were when the run was asked."""
    from rightfit.delivery import worth as evidence
    from rightfit.resources import study

    matrix = evidence.matrix(pairs(worth, "worth"), of) if worth else _of_task(of)
    if matrix and worth and not of.rivals:
        raise UsageError("worth needs the confusion counts of a run; got a package without them, name its run folder.")
    return study.benefits(of.rivals, matrix, asked, at) if matrix else []


def _of_task(of: Any) -> list[list[float]]:
    prices = of.decision.get("extras", {}).get("task", {}).get("cost") or []
    return [[-float(price) for price in row] for row in prices]


def _write(path: str, found: dict[str, Any], language: str) -> None:
    from pathlib import Path

    from rightfit.report.cost_page import render
    from rightfit.report.json import write_whole

    write_whole(Path(path), render(found, language=language))


def _print(found: dict[str, Any]) -> None:
    from rightfit.report import cost_text

    for line in cost_text.lines(found):
        print(line)
    if found["stale"]:
        print(f"warning: prices or rates of {', '.join(found['stale'])} are older than 180 days; "
              "rightfit prices update FILE replaces them.", file=sys.stderr)
