"""MLflow: a pyfunc model that `mlflow.pyfunc.load_model` and `log_model` take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rightfit.delivery.export import Target
from rightfit.errors import Unavailable
from rightfit.package import LoadedModel, write


def _write(model: LoadedModel, package: Path, folder: Path) -> None:
    try:
        from importlib import import_module

        pyfunc: Any = import_module("mlflow.pyfunc")
        flavours: Any = import_module("mlflow.models")
    except ImportError:
        raise Unavailable("an MLflow export needs MLflow, which is not installed; pip install mlflow-skinny.") from None
    write.install(package, folder / "package")
    described = flavours.Model()
    needs = [f"{name}=={version}" if version else name for name, version in model.info["requires"].items()]
    (folder / "requirements.txt").write_text("\n".join(["rightfit", *needs]) + "\n", encoding="utf-8")
    pyfunc.add_to_model(described, loader_module="rightfit.delivery.export._pyfunc", data="package")
    described.save(str(folder / "MLmodel"))


SPEC = Target(name="mlflow", write=_write, doc="a pyfunc flavour, loaded without pickle")
