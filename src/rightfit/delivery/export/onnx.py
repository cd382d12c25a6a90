"""ONNX: the graphs, and what turns a row into their input."""

from __future__ import annotations

from pathlib import Path

from rightfit.delivery.export import Target
from rightfit.delivery.export._card import card
from rightfit.errors import UsageError
from rightfit.package import LoadedModel, write


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    graphs = sorted(package.rglob("*.onnx"))
    if not graphs:
        raise UsageError(f"an ONNX export needs a model that is an ONNX graph; got family="
                         f"{model.info['candidate']['family']!r} with "
                         f"runtime={model.info['runtime']['runtime']!r}, export it to mlflow.")
    write.install(package, folder / "package")
    (folder / "README.md").write_text(
        card(model) + "\nEach graph in `package/` has one input X and one output Y. X is made from a row by "
        "`encoder.json` (for tables) or as `package.json` says under runtime; `schema.json` says what a row holds.\n",
        encoding="utf-8")


SPEC = Target(name="onnx", write=_write, doc="the graphs with schema, encoder and rule")
