"""MLflow: a pyfunc model that `mlflow.pyfunc.load_model`, `log_artifacts` and `mlflow models serve` take; no pickle.

A package can also be logged directly:

    mlflow.pyfunc.log_model(name="model", loader_module=LOADER, data_path="run/package", pip_requirements=["rightfit"])

There is no MLflow signature: the schema in the package is stricter, and reads numbers and texts as in training.
"""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from rightfit.delivery.export import Target, _needs
from rightfit.delivery.export._card import card
from rightfit.errors import Unavailable
from rightfit.package import LoadedModel, write

LOADER = "rightfit.delivery.export._pyfunc"


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    try:
        pyfunc: Any = import_module("mlflow.pyfunc")
    except ImportError:
        raise Unavailable("an MLflow export needs MLflow, which is not installed; pip install mlflow-skinny.") from None
    made = folder / "mlflow"
    needs = [_needs.pinned("rightfit"), *_needs.model(model)]
    pyfunc.save_model(str(made), loader_module=LOADER, data_path=str(package), pip_requirements=needs)
    for path in made.iterdir():
        path.rename(folder / path.name)
    made.rmdir()
    held = next(path for path in folder.rglob("manifest.json")).parent
    shutil.rmtree(held)
    write.install(package, held)  # as it was measured, whatever MLflow made of it on the way
    (folder / "README.md").write_text(card(model), encoding="utf-8")


SPEC = Target(name="mlflow", write=_write, doc="a pyfunc flavour, loaded without pickle")
