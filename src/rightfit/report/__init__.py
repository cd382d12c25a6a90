"""Decision -> report.html (offline), decision.json, model_card.md, and a summary for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.records import Decision


def write(decision: Decision | Mapping[str, Any], folder: str | Path, *, language: str = "en") -> list[Path]:
    """Write report.html, decision.json and model_card.md into a folder; see `rightfit.report.html.write`."""
    from rightfit.report import html

    return html.write(decision, folder, language=language)
