"""`rightfit audit`: what is wrong with the data."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rightfit.cli._app import Data, Json, Modality, Target, Text, app, modality_of, position, several


@app.command()
def audit(data: Data, target: Target = None, test: Annotated[Text, typer.Option(help="Another file, compared")] = None,
          group: Annotated[Text, typer.Option(help="Group column")] = None,
          time: Annotated[Text, typer.Option(help="Time column")] = None, modality: Modality = None,
          as_json: Json = False) -> None:
    """Say what is wrong with the data, and what would follow from it."""
    import tempfile

    from rightfit import cache, progress
    from rightfit.choose import ask, examine
    from rightfit.records import Need, asdict

    named = several(target)
    need = Need(target=(position(named[0]) if len(named) == 1 else named) if named else None, group=group, time=time,
                modality=modality_of(modality))
    with tempfile.TemporaryDirectory(prefix="rightfit-") as folder, cache.at(folder):
        question = examine(ask(data, need, test))
    if as_json:
        print(json.dumps({"task": asdict(question.task), "audit": asdict(question.audit)}, ensure_ascii=False))
    else:
        progress.show_audit(question.task, question.audit)
