"""`rightfit registry`: a folder of versions with a champion."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import Text, app


@app.command()
def registry(folder: Annotated[str, typer.Argument(help="The registry folder")],
             add: Annotated[Text, typer.Option(help="Copy this package in as the next version")] = None,
             promote: Annotated[int | None, typer.Option(help="Make this version the champion")] = None,
             challenge: Annotated[int | None, typer.Option(help="Make this version the challenger")] = None,
             verify: Annotated[Text, typer.Option(help="Public key that an added package must be signed with")] = None,
             run: Annotated[str, typer.Option(help="Where an added package was trained")] = "",
             why: Annotated[str, typer.Option(help="The reason, kept in the history")] = "",
             as_json: Annotated[bool, typer.Option("--json", help="Print the registry as JSON, nothing else")] = False,
             ) -> None:
    """Show a registry folder; add, promote or challenge first where that is asked."""
    from rightfit.delivery import update, versions
    from rightfit.records import asdict

    if add is not None:
        if verify is not None:
            from rightfit.package import sign

            sign.check(add, verify)
        versions.add(folder, add, run=run, why=why, details=update.promise(add))
    if challenge is not None:
        versions.challenge(folder, challenge, why=why)
    if promote is not None:
        versions.promote(folder, promote, why=why)
    now = versions.read(folder)
    print(json.dumps(asdict(now), default=str, ensure_ascii=False) if as_json else versions.table(now))
