"""`rightfit export`: a package for other systems."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import Text, app


@app.command()
def export(path: Annotated[str, typer.Argument(help="A run folder or a package")],
           to: Annotated[str, typer.Option(help="onnx, mlflow, triton, docker, huggingface or tflite")],
           out: Annotated[str, typer.Option("-o", "--out", help="A new folder")],
           sign: Annotated[Text, typer.Option(help="Private key: sign the package in the export")] = None,
           verify: Annotated[Text, typer.Option(help="Public key that must have signed the package")] = None) -> None:
    """Write a package as another system wants it."""
    from rightfit.delivery.export import export as run

    print(f"{to}: {run(path, to, out, sign=sign, verify_with=verify)}")
