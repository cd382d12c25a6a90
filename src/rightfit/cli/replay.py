"""`rightfit replay`: production played on a table of the past."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app, language_of, pairs, position, several


@app.command()
def replay(data: Annotated[str, typer.Argument(help="A labelled table of the past")],
           target: Annotated[str, typer.Option(help="Target column")],
           time: Annotated[str, typer.Option(help="Column of the time, dates or numbers")],
           out: Annotated[str, typer.Option("-o", "--out", help="A folder; the same command goes on in it")],
           first: Annotated[float, typer.Option(help="Rows that choose the model, or their share")] = 0.3,
           period: Annotated[str, typer.Option(help="30d, 12h, or 500rows")] = "30d",
           learn: Annotated[int | None, typer.Option(help="Newest labelled rows that updates see; default: as the "
                                                         "first")] = None,
           metric: Annotated[Text, typer.Option(help="What good means, e.g. accuracy")] = None,
           at_least: Annotated[list[str] | None, typer.Option(help="Hard floor on a metric, e.g. recall=0.9")] = None,
           max_latency: Annotated[Text, typer.Option(help="p95 of one row, e.g. 5ms")] = None,
           family: Annotated[Text, typer.Option(help="Only these model families")] = None,
           drop: Annotated[Text, typer.Option(help="Columns to leave out, separated by commas")] = None,
           budget: Annotated[str, typer.Option(help="Wall time of the first choice")] = "60s",
           persist: Annotated[str, typer.Option(help="Alarm in K of the last N windows")] = "1/1",
           language: Annotated[Text, typer.Option(help="Language of the page: en or zh_CN")] = None,
           as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, nothing else")] = False,
           ) -> None:
    """Play months of production: monitor, alarms, updates; what never, every period and on alarm would have brought."""
    from rightfit import replay as playing
    from rightfit.cli.monitor import of_persist
    from rightfit.delivery.monitor.compare import Rules
    from rightfit.records import Need, asdict
    from rightfit.report import watch_page
    from rightfit.report.json import clean

    k, n = of_persist(persist)
    need = Need(target=position(target), time=time, metric=metric, at_least=pairs(at_least, "at-least"),
                max_latency=max_latency, families=several(family), drop=several(drop), budget=budget)
    plan = playing.Plan(first=first, period=period, learn=learn, rules=Rules(k=k, n=n))

    def watch(line: Any) -> None:
        said = {name: round(line[name]["value"], 4) for name in playing.POLICIES}
        print(f"period {line['period']}: {said}{', alarm' if line['alarm']['alarmed'] else ''}"
              f"{', updated' if line['alarm']['updated'] else ''}", file=sys.stderr, flush=True)

    found = playing.replay(data, need, out=out, plan=plan, watch=watch)
    content = clean(asdict(found))
    page = watch_page.render_replay(content, name=Path(data).name, language=language_of(language))
    (Path(out) / "replay.html").write_text(page, encoding="utf-8")
    (Path(out) / "result.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    print(json.dumps(content, ensure_ascii=False) if as_json else
          f"{playing.text(found)}\nPage: {Path(out) / 'replay.html'}")
