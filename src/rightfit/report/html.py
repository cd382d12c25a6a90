"""Decision -> report.html (one offline file), decision.json and model_card.md."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from rightfit.records import Decision
from rightfit.report import view
from rightfit.report.json import to_json, write_json, write_whole
from rightfit.report.markdown import model_card
from rightfit.report.page import environment
from rightfit.report.wording import Words


def _source(name: str) -> str:
    return (resources.files("rightfit.report") / "templates" / name).read_text(encoding="utf-8")


def render(decision: Decision | Mapping[str, Any], *, language: str = "en") -> str:
    """The whole report as one HTML text: no address is loaded, and it reads without JavaScript.

    The page's security policy allows only the one script whose hash it names, so that even a script that slipped
    through the escaping would not run. Raises UnknownName for a language.
    """
    from markupsafe import Markup

    data = view.complete(to_json(decision) if isinstance(decision, Decision) else decision)
    script = _source("what_if.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment().get_template("report.html.j2").render(
        **view.context(data, Words(language=language)), lang=language.replace("_", "-"),
        style=Markup(_source("style.css")), script=Markup(script), script_hash=digest)


def write(decision: Decision | Mapping[str, Any], folder: str | Path, *, language: str = "en") -> list[Path]:
    """Write report.html, decision.json and model_card.md into a folder, each atomically; give their paths.

    `decision` may be the object read from a decision.json. Raises UsageError when the folder cannot be written,
    UnknownName for a language other than those of `wording.LANGUAGES`.
    """
    home = Path(folder)
    data = to_json(decision) if isinstance(decision, Decision) else decision
    page, card = render(data, language=language), model_card(data, language=language)
    return [write_whole(home / "report.html", page), write_json(data, home), write_whole(home / "model_card.md", card)]
