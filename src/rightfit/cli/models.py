"""`rightfit models`: the families and their facts."""

from __future__ import annotations

import json

from rightfit.cli._app import Json, app


@app.command()
def models(as_json: Json = False) -> None:
    """List every model family with its facts."""
    from rightfit import progress, registry
    from rightfit.records import asdict

    families = registry.plugins("rightfit.models")
    if as_json:
        shown = ("name", "modality", "problems", "facts", "handles", "requires", "rank")
        print(json.dumps([{k: v for k, v in asdict(f).items() if k in shown} for f in families.values()]))
    else:
        progress.show_models(families)
