"""`rightfit doctor`: what this machine offers, and what that means."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import app


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON and nothing else")] = False
           ) -> None:
    """Say what this machine offers, how quiet it is, and what that means for a choice."""
    from rightfit.resources import health

    found = health.examine()
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else health.text(found))
