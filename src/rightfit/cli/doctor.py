"""`rightfit doctor`: what this machine offers."""

from __future__ import annotations

import json

from rightfit.cli._app import app


@app.command()
def doctor() -> None:
    """Say what this machine offers: cores, memory, instruction sets, library versions."""
    from rightfit.resources.machine import machine, versions

    print(json.dumps({"machine": machine(), "versions": versions()}, indent=1, ensure_ascii=False))
