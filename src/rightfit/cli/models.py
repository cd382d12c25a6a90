"""`rightfit models`: the families and their facts; one family on a page of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app

WIDE = 160  # columns, from which the table also says what a family is good at
SHOWN = ("name", "modality", "problems", "handles", "requires", "rank")


@app.command()
def models(name: Annotated[Text, typer.Argument(help="One family, e.g. resnet: everything that is known of it")] = None,
           modality: Annotated[Text, typer.Option(help="Only families of a modality, e.g. image")] = None,
           problem: Annotated[Text, typer.Option(help="Only families that solve it, e.g. regression")] = None,
           licence: Annotated[Text, typer.Option(help="commercial: only licences that closed products may use")] = None,
           framework: Annotated[Text, typer.Option(help="Only of a framework, e.g. torch, keras, lightgbm")] = None,
           recent: Annotated[bool | None, typer.Option("--recent/--classic", help="Since 2017, or before")] = None,
           sort: Annotated[str, typer.Option(help="rank, name, year, modality, framework or licence")] = "rank",
           as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, and nothing else")] = False) -> None:
    """List every model family with its facts, also those still to come; or show one of them."""
    from rightfit.advice import catalogue
    from rightfit.advice.description import LICENCES
    from rightfit.errors import UnknownName

    if licence is not None and licence not in LICENCES:
        raise UnknownName("licence", licence, LICENCES)
    if name is not None:
        page = _page(catalogue.find(name))
        print(json.dumps(page, ensure_ascii=False) if as_json else "\n".join(_lines(page)))
        return
    cards = catalogue.ordered(catalogue.chosen(
        catalogue.known().values(), modality=modality, problem=problem, commercial=licence == "commercial",
        framework=framework, recent=recent), sort)
    if as_json:
        print(json.dumps([_plain(card) for card in cards], ensure_ascii=False))
    else:
        _table(cards)


def _plain(card: Any) -> dict[str, Any]:
    """A card as JSON values."""
    from rightfit.records import asdict

    handles = sorted(card.family.handles) if card.family is not None else []
    facts = {key: getattr(card, key) for key in (
        "year", "paper", "licence", "framework", "good_at", "bad_at", "pretrained")}
    return {**{key: asdict(getattr(card, key)) for key in SHOWN if key != "handles"}, "handles": handles,
            "facts": facts, "planned": card.planned, "installed": card.installed, "recent": card.recent,
            "commercial": card.commercial, "baseline": card.baseline, "brought": card.scheme, "tags": list(card.tags)}


def _table(cards: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    wide = console.width >= WIDE
    table = Table(*(Column(name, no_wrap=True) for name in (
        "family", "modality", "year", "framework", "licence", "state", *(("latency",) if wide else ()))),
        *((Column("good at", overflow="fold"),) if wide else ()), box=None, pad_edge=False, header_style="bold")
    for card in cards:
        state = "to come" if card.planned else "brought" if card.scheme else "ready" if card.installed else "missing"
        rest = (_latency(card), card.good_at) if wide else ()
        table.add_row(card.name, card.modality, str(card.year), card.framework, card.licence.partition(" (")[0], state,
                      *rest)
    console.print(table, markup=False)
    console.print(f"{len(cards)} families; state: ready, missing (a library is not installed), brought (by you, "
                  "--bring), to come (no implementation yet). latency: measured on this machine, p95, or ~ forecast "
                  "for one like it. rightfit models NAME tells all of one.",
                  highlight=False, markup=False)


def _latency(card: Any) -> str:
    """The newest latency measured here, else the forecast of facts/figures.toml, marked as one."""
    from rightfit import units
    from rightfit.advice import catalogue

    here = [one["latency_p95_ms"] for one in catalogue.measured(card.name) if "latency_p95_ms" in one]
    told = card.figures.get("latency_ms")
    return units.show_seconds(here[-1] / 1e3) if here else f"~{units.show_seconds(told / 1e3)}" if told else ""


def _page(card: Any) -> dict[str, Any]:
    """Everything that is known of a family; torch is imported here where the family has networks of it."""
    from rightfit.advice import catalogue
    from rightfit.records import asdict

    variants = [] if card.family is None else [asdict(v) for v in card.family.variants]
    defaults = {} if card.family is None else asdict(card.family.defaults)
    return {**_plain(card), "libraries": catalogue.libraries(card), "defaults": defaults, "variants": variants,
            "networks": _networks(card), "figures": asdict(card.figures), "measured": catalogue.measured(card.name)}


def _networks(card: Any) -> list[dict[str, Any]]:
    if card.family is None or not card.installed or "torch" not in card.requires:
        return []
    from rightfit.models._nn import _meta
    from rightfit.records import asdict

    return [asdict(size) for size in _meta.sizes(card.family)]


def _lines(page: dict[str, Any]) -> Iterator[str]:
    facts = page["facts"]
    yield f"{page['name']} ({page['modality']}; {', '.join(page['problems'])})"
    if page["planned"]:
        yield "  Its implementation is still to come: advise knows it, choose does not."
    for label, value in (("year", f"{facts['year']}, {'recent' if page['recent'] else 'classic'}"),
                         ("paper", facts["paper"]), ("good at", facts["good_at"]), ("bad at", facts["bad_at"]),
                         ("licence", facts["licence"] + ("" if page["commercial"] else "; closed products: no")),
                         ("framework", facts["framework"]), ("pretrained", facts["pretrained"]),
                         ("needs", ", ".join(page["requires"])), ("handles", ", ".join(page["handles"]))):
        if value:
            yield f"  {label}: {value}"
    yield "  libraries:"
    for one in page["libraries"]:
        known = f"{one['version']}, {one['licence'] or 'licence not told'}, installed files of {one['installed']}"
        yield f"    {one['name']}: {known if one['version'] else 'not installed'}"
    if page["networks"]:
        yield "  networks, counted on the meta device:"
        yield from (f"    {n['network']}: {n['parameters'] / 1e6:.2f} M parameters, {n['flops'] / 1e9:.3g} GFLOPs for "
                    f"{n['example']}" + (f"; weights {n['weights']}, {n['licence'] or 'licence not told'}"
                                         if n["weights"] else "") for n in page["networks"])
    if page["variants"]:
        yield "  variants:"
        yield from (f"    {json.dumps(v, ensure_ascii=False)}" for v in page["variants"])
    yield from _latencies(page)


def _latencies(page: dict[str, Any]) -> Iterator[str]:
    from rightfit.advice import catalogue

    if page["measured"]:
        yield "  measured on this machine:"
        for one in page["measured"]:
            yield f"    {', '.join(f'{k} {v}' for k, v in one.items() if k != 'family')}"
    elif not page["planned"]:
        yield (f"  measured on this machine: nothing yet ({catalogue.measured_file()}); rightfit measure PACKAGE "
               "measures one, and every report of a run says what its packages took.")
