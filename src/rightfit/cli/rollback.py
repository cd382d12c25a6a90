"""`rightfit rollback`: back to the champion before."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import app


@app.command()
def rollback(folder: Annotated[str, typer.Argument(help="The registry folder")],
             why: Annotated[str, typer.Option(help="The reason, kept in the history")] = "") -> None:
    """Make the champion before this one champion again, in one step."""
    from rightfit.delivery import versions

    print(f"champion: version {versions.rollback(folder, why=why)}")
