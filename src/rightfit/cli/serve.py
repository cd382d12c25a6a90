"""`rightfit serve`: a package behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from rightfit.cli._app import Text, app


@app.command()
def serve(source: Annotated[str, typer.Argument(help="A run, a package, or a registry folder with champion.json")],
          host: Annotated[str, typer.Option(help="Where to listen; beyond this machine a token is needed")]
          = "127.0.0.1",
          port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
          token_file: Annotated[Text, typer.Option(help="A file that holds the secret every caller must send")] = None,
          workers: Annotated[int, typer.Option(help="Processes; one that dies is started again")] = 1,
          log: Annotated[Text, typer.Option(help="Folder for the log of requests and predictions")] = None,
          log_sample: Annotated[float, typer.Option(help="Share of requests to log, 0 to 1")] = 1.0,
          log_omit: Annotated[list[str] | None, typer.Option(help="A column that is never logged; repeatable")] = None,
          queue: Annotated[int, typer.Option(help="Requests that may wait; more get 429")] = 128,
          deadline: Annotated[str, typer.Option(help="An answer later than this becomes 503, e.g. 500ms")] = "1s",
          max_body: Annotated[str, typer.Option(help="Size of a request, e.g. 10MB")] = "10MB",
          max_rows: Annotated[int, typer.Option(help="Records of a request")] = 1000,
          drain: Annotated[str, typer.Option(help="On SIGTERM, wait so long for answers under way")] = "30s",
          shadow: Annotated[float, typer.Option(help="Share of requests that a registry's challenger sees too")] = 0.0,
          verify: Annotated[Text, typer.Option(help="Public key that must have signed every package served")] = None,
          ) -> None:
    """Serve a package over HTTP, with its schema enforced; a registry folder's champion is followed."""
    from rightfit.delivery.serve.run import run
    from rightfit.delivery.serve.settings import Settings
    from rightfit.units import mebibytes, seconds

    run(Settings(source=source, host=host, port=port, token_file=token_file, workers=workers, log=log,
                 sample=log_sample, omit=tuple(log_omit or ()), queue=queue, deadline=seconds(deadline, "deadline"),
                 max_body=int(mebibytes(max_body, "max_body") * 2**20), max_rows=max_rows,
                 drain=seconds(drain, "drain"), shadow=shadow, verify=verify))
