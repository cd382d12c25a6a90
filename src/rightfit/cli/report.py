"""`rightfit report`: the pages of a finished run, again."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import Text, app, language_of


@app.command()
def report(folder: Annotated[str, typer.Argument(help="A run folder")],
           language: Annotated[Text, typer.Option(help="en or zh_CN")] = None) -> None:
    """Write the report of a finished run again, in any language."""
    from rightfit.report import html, json

    for path in html.write(json.read(folder), folder, language=language_of(language)):
        print(path)
