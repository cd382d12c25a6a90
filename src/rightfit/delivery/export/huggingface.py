"""Hugging Face: a folder ready to be pushed, with a model card."""

from __future__ import annotations

import json
from pathlib import Path

from rightfit.delivery.export import Target
from rightfit.delivery.export._card import card
from rightfit.package import LoadedModel, write


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    write.install(package, folder / "package")
    tags = json.dumps(["rightfit", model.task.problem, model.info["candidate"]["family"]])
    use = "\n```python\nimport rightfit\nrightfit.load(\"package\").predict_one({...})\n```\n"
    (folder / "README.md").write_text(f"---\nlibrary_name: rightfit\ntags: {tags}\n---\n\n{card(model)}{use}",
                                      encoding="utf-8")


SPEC = Target(name="huggingface", write=_write, doc="the package with a model card")
