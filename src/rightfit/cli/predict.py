"""`rightfit predict`: rows through a package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rightfit.cli._app import Data, app


@app.command()
def predict(package: Annotated[str, typer.Argument(help="A package folder or zip")], data: Data,
            out: Annotated[str, typer.Option("-o", "--out", help="CSV or Parquet by extension")] = "predictions.csv",
            intervals: Annotated[bool, typer.Option("--intervals", help="Add low and high, or the set of classes")]
            = False) -> None:
    """Predict new rows with a package."""
    from rightfit.delivery.predict import predict as run

    written = run(package, data, out, intervals=intervals)
    for finding in written.findings:
        print(f"{finding.severity}: {finding.code}: {finding.evidence}", file=sys.stderr)
    print(f"{written.rows} predictions: {out}", file=sys.stderr)
