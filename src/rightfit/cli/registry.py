"""`rightfit registry`: a folder of versions with a champion."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import Text, app
from rightfit.errors import UsageError


@app.command()
def registry(folder: Annotated[str, typer.Argument(help="The registry folder")],
             add: Annotated[Text, typer.Option(help="Copy this package in as the next version")] = None,
             promote: Annotated[int | None, typer.Option(help="Make this version the champion")] = None,
             challenge: Annotated[int | None, typer.Option(help="Make this version the challenger")] = None,
             verify: Annotated[Text, typer.Option(help="Public key that an added package must be signed with")] = None,
             run: Annotated[str, typer.Option(help="Where an added package was trained")] = "",
             why: Annotated[str, typer.Option(help="The reason, kept in the history")] = "",
             mlflow: Annotated[Text, typer.Option(help="MLflow tracking URI: push versions and aliases there")] = None,
             name: Annotated[Text, typer.Option(help="The registered model in MLflow; default: the folder's name")]
             = None,
             pull: Annotated[Text, typer.Option(help="Instead of pushing: add the package behind this alias of "
                                                "--mlflow, e.g. champion")] = None,
             as_json: Annotated[bool, typer.Option("--json", help="Print the registry as JSON, nothing else")] = False,
             ) -> None:
    """Show a registry folder; add, promote or challenge first, and push to MLflow last, where that is asked."""
    from pathlib import Path

    from rightfit.delivery import mirror, update, versions
    from rightfit.records import asdict

    if mlflow is None and (pull is not None or name is not None):
        raise UsageError(f"pull and name are of an MLflow registry; got pull={pull!r}, name={name!r} without one, add "
                         "--mlflow URI.")
    named = name or Path(folder).resolve().name
    if add is not None:
        if verify is not None:
            from rightfit.package import sign

            sign.check(add, verify)
        versions.add(folder, add, run=run, why=why, details=update.promise(add))
    if mlflow is not None and pull is not None:
        mirror.pull(folder, mlflow, named, pull)
    if challenge is not None:
        versions.challenge(folder, challenge, why=why)
    if promote is not None:
        versions.promote(folder, promote, why=why)
    pushed = mirror.push(folder, mlflow, named) if mlflow is not None and pull is None else {}
    now = versions.read(folder)
    if as_json:
        print(json.dumps(asdict(now) | ({"mlflow": pushed} if pushed else {}), default=str, ensure_ascii=False))
        return
    print(versions.table(now))
    if pushed:
        print(f"MLflow {named}: " + ", ".join(f"version {mine} is {theirs}" for mine, theirs in pushed.items()))
