"""`rightfit measure`: what a package costs on this device."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app

ROWS = 64


@app.command()
def measure(package: Annotated[str, typer.Argument(help="A package folder or zip")],
            data: Annotated[Text, typer.Option(help="Rows to measure on; the package's own sample without")] = None,
            out: Annotated[Text, typer.Option("-o", "--out", help="Write the profile here, e.g. pi.json")] = None,
            as_json: Annotated[bool, typer.Option("--json", help="Print the profile as JSON, nothing else")] = False,
            ) -> None:
    """Measure a package on this device; the profile can be given to choose elsewhere (--device-profile)."""
    from rightfit.advice import catalogue
    from rightfit.package import load, profile

    found = profile.take(package, records=_records(package, data))
    if not found["noisy"]:
        catalogue.remember(str(load(package).info["candidate"]["family"]),
                           {name: found["measured"][name] for name in catalogue.KEPT})
    if out is not None:
        profile.write(found, out)
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else profile.text(found))


def _records(package: str, data: str | None) -> list[dict[str, Any]] | None:
    """Some raw rows of a file, read as `predict` reads them."""
    if data is None:
        return None
    from pathlib import Path

    from rightfit.delivery import predict
    from rightfit.package import load
    from rightfit.records import Need

    model = load(package)
    rows = predict.light(Path(data), {column.name for column in model.schema.features})
    if rows is None:
        from rightfit.data.table import pick

        frame = predict.rows(model, data)[0].iloc[:ROWS]
        need = Need(modality=model.task.modality)
        rows = pick(data, need).portable(frame.astype(object).to_dict("records"))
    return [dict(row) for row in rows[:ROWS]]
