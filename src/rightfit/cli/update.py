"""`rightfit update`: a champion that is kept right."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import Text, app


@app.command()
def update(path: Annotated[str, typer.Argument(help="A registry folder, or a package")],
           data: Annotated[str, typer.Option(help="Labelled rows, the newest last")],
           out: Annotated[Text, typer.Option("-o", "--out", help="Folder for a better package")] = None,
           time: Annotated[Text, typer.Option(help="Column by which the rows are ordered")] = None,
           max_age: Annotated[Text, typer.Option(help="An update is due at this age, e.g. 2160h")] = None,
           budget: Annotated[Text, typer.Option(help="Choose anew in this time, e.g. 10m, where nothing cheaper "
                                                "suffices")] = None,
           force: Annotated[bool, typer.Option("--force", help="Look for better although none is due")] = False,
           as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, nothing else")] = False,
           ) -> None:
    """Update the champion if that is due and something beats it; else it stays, and the output says why."""
    from rightfit.choose import again
    from rightfit.delivery import update as updating
    from rightfit.records import asdict
    from rightfit.report.json import clean

    anew = None if budget is None else again(budget)
    terms = updating.Terms(time_column=time, max_age=max_age, force=force, anew=anew)
    found = updating.update(path, data, out=out, terms=terms)
    print(json.dumps(clean(asdict(found)), ensure_ascii=False) if as_json else updating.text(found))
