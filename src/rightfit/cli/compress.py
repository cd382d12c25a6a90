"""`rightfit compress`: a finished package, smaller or faster."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import Json, Text, app


@app.command()
def compress(package: Annotated[str, typer.Argument(help="A package folder or zip")],
             out: Annotated[str, typer.Option("-o", "--out", help="Folder or .zip to write")],
             max_size: Annotated[Text, typer.Option(help="Size of the package, e.g. 5MB")] = None,
             max_latency: Annotated[Text, typer.Option(help="p95 of one row, e.g. 5ms")] = None,
             max_memory: Annotated[Text, typer.Option(help="Peak memory, e.g. 200MB")] = None,
             data: Annotated[Text, typer.Option(help="Labelled rows it has not learned from: measure the loss")] = None,
             max_loss: Annotated[float, typer.Option(help="Loss of the metric that is borne, e.g. 0.003")] = 0.0,
             seed: Annotated[int, typer.Option(help="Same seed, same calibration rows")] = 0,
             as_json: Json = False) -> None:
    """Make a finished package smaller or faster, at no significant loss."""
    from rightfit.delivery import compress as compressing
    from rightfit.records import Need

    limits = Need(max_size=max_size, max_latency=max_latency, max_memory=max_memory).limits()
    found = compressing.compress(package, out, limits=limits, data=data, max_loss=max_loss, seed=seed)
    print(json.dumps(compressing.to_json(found), ensure_ascii=False) if as_json else compressing.table(found))
    raise SystemExit(0 if found.chosen else 3)
