"""`rightfit zip`: a package in one file."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import app


@app.command("zip")
def zip_(package: Annotated[str, typer.Argument(help="A package folder")],
         out: Annotated[str, typer.Argument(help="The zip to write")]) -> None:
    """Put a package into one verified zip file; predict reads it as it is."""
    from rightfit.package.write import zip_package

    print(zip_package(package, out))
