"""`rightfit monitor`: new data against what the model was proven on."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app, language_of
from rightfit.errors import DataError, RightfitError, UsageError

ALARM = 5


@app.command()
def monitor(path: Annotated[str, typer.Argument(help="A run, a package, or a registry folder")],
            data: Annotated[Text, typer.Option(help="A window of new rows")] = None,
            log: Annotated[Text, typer.Option(help="Instead: the folder that the server logs to")] = None,
            labels: Annotated[Text, typer.Option(help="Labels that have arrived: --key and the target")] = None,
            key: Annotated[Text, typer.Option(help="Column that says whose a label is")] = None,
            history: Annotated[Text, typer.Option(help="A file that remembers windows, for persistence")] = None,
            persist: Annotated[str, typer.Option(help="Alarm in K of the last N windows, e.g. 2/3")] = "1/1",
            floor: Annotated[float, typer.Option(help="Effects below this never alarm, 0 to 1")] = 0.05,
            minimum: Annotated[int, typer.Option(help="Rows that a window needs")] = 100,
            test: Annotated[list[str] | None, typer.Option(help="Another test: number=wasserstein; "
                                                        "all=classifier: on all columns together")] = None,
            every: Annotated[Text, typer.Option(help="Look again and again, e.g. 1h")] = None,
            webhook: Annotated[Text, typer.Option(help="Address that gets an alarm as JSON")] = None,
            mail: Annotated[Text, typer.Option(help="TOML file of SMTP settings; alarms are mailed")] = None,
            time: Annotated[Text, typer.Option(help="A column of times, which must not go backwards")] = None,
            stream: Annotated[Text, typer.Option(help="adwin or page_hinkley over labelled rows, in order")] = None,
            report: Annotated[Text, typer.Option(help="Write an offline HTML page, with the trends of --history")]
            = None,
            language: Annotated[Text, typer.Option(help="Language of the page: en or zh_CN")] = None,
            as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, nothing else")] = False,
            ) -> None:
    """Compare new rows with the reference in the package: drift, performance with and without labels. Exit 5: alarm."""
    from rightfit import units
    from rightfit.delivery.monitor import alerts
    from rightfit.delivery.monitor.compare import Rules

    if (data is None) == (log is None):
        raise UsageError(f"rows come from --data or from --log; got data={data!r} and log={log!r}, give one.")
    if stream not in (None, "adwin", "page_hinkley"):
        raise UsageError(f"stream must be adwin or page_hinkley; got stream={stream!r}, choose one of them.")
    k, n = of_persist(persist)
    if n > 1 and history is None:
        raise UsageError(f"alarms over several windows need their history; got persist={persist!r}, add --history "
                         "FILE.")
    if not 0 <= floor <= 1 or minimum < 30:
        raise UsageError(f"floor must lie in 0..1 and minimum be 30 or more; got floor={floor:g}, minimum={minimum}.")
    rules = Rules(minimum=minimum, floor=floor, k=k, n=n, tests=_tests(test), time=time,
                  stream=stream)  # type: ignore[arg-type]
    post = alerts.settings(mail) if mail else None
    pause, since = units.seconds(every, "every") if every else None, None
    first = True
    while True:
        try:
            found, since = _once(path, data, log, since, (labels, key), history, rules)
        except RightfitError as error:
            if first or pause is None:
                raise
            print(f"rightfit: {error}", file=sys.stderr, flush=True)  # the next look may be right again
            found = None
        if found is not None:
            print(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(text(found)), flush=True)
            _told(found, webhook, post)
            if report is not None:
                _page(report, found, history, path, language_of(language))
            if pause is None:
                raise SystemExit(ALARM if found["alarm"] else 0)
        first = False
        import time as clock

        clock.sleep(pause or 0)


def _told(found: dict[str, Any], webhook: str | None, post: dict[str, Any] | None) -> None:
    """An alarm to whoever asked for it; what could not be reached is said."""
    from rightfit.delivery.monitor import alerts

    if not found["alarm"]:
        return
    failed = [alerts.webhook(webhook, found)] if webhook else []
    failed += [alerts.mail(post, f"rightfit: {text(found)[0]}", "\n".join(text(found)))] if post else []
    for reason in filter(None, failed):
        print(f"rightfit: {reason}", file=sys.stderr, flush=True)


def _page(place: str, found: dict[str, Any], history: str | None, name: str, language: str) -> None:
    from pathlib import Path

    from rightfit.delivery.monitor import history as remembered
    from rightfit.report import watch_page

    lines = remembered.read(Path(history)) if history else []
    try:
        Path(place).write_text(watch_page.render(found, lines, name=Path(name).name, language=language),
                               encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report must be writable; got report={place!r}, {error.strerror}.") from None


def of_persist(persist: str) -> tuple[int, int]:
    """K/N as two numbers. Raises UsageError."""
    k, slash, n = persist.partition("/")
    if not (slash and k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n) <= 100):
        raise UsageError(f"persist must be written K/N with 1 <= K <= N <= 100; got persist={persist!r}.")
    return int(k), int(n)


def _tests(items: list[str] | None) -> dict[str, str]:
    from rightfit.registry import plugin

    found = {}
    for item in items or []:
        on, _, name = item.partition("=")
        spec = plugin("rightfit.delivery.monitor.drift", name, "drift test")
        if spec.on != ("vectors" if on == "all" else on) or spec.figure_only:
            raise UsageError(f"a test must be of its kind of column (all: of vectors) and give a p; got test={item!r}, "
                             f"{name} is on {spec.on}.")
        found[on] = name
    return found


def _once(path: str, data: str | None, log: str | None, since: Any, labels: tuple[str | None, str | None],
          history: str | None, rules: Any) -> tuple[dict[str, Any], Any]:
    from pathlib import Path

    from rightfit.delivery import log as logged
    from rightfit.delivery import versions
    from rightfit.delivery.evidence import plain
    from rightfit.delivery.monitor import check
    from rightfit.delivery.monitor import history as remembered
    from rightfit.records import asdict

    home = Path(path)
    package = versions.champion(home) if versions.is_registry(home) else home / "package" \
        if (home / "package").is_dir() else home
    before = remembered.read(Path(history)) if history else []
    rows: Any = data
    if log is not None:
        rows = logged.read(log, since)
        if since is not None and not len(rows):
            raise DataError(f"a window must hold rows; got rows=0 in log={log!r} since the last look, wait for more.")
    found, kept = check.look(package, rows, labels[0], key=labels[1], past=remembered.past(before), rules=rules)
    if log is not None and found.enough:  # rows of a window that is too short stay for the next
        since = float(rows["timestamp"].max().timestamp()) + 1e-6
    if history and found.enough:
        try:
            remembered.append(Path(history), found, kept, data or log or "")
        except OSError as error:
            raise UsageError(f"the history must be writable; got history={history!r}, {error.strerror}.") from None
    return plain(asdict(found)), since


def text(found: dict[str, Any]) -> list[str]:
    """The outcome for people, the verdict first."""
    if not found["enough"]:
        return [f"Not enough data: {found['rows']} rows; nothing is said below the minimum window."]
    drifted = [f for f in found["features"] if f["significant"]]
    head = (f"{'ALARM' if found['alarm'] else 'No alarm'}: {len(drifted)} of {len(found['features'])} tests drifted, "
            f"{found['rows']} rows.")
    lines = [head]
    for one in drifted[:20]:
        weight = f", importance {one['importance']:.3g}" if one["importance"] else ""
        psi = f", PSI {one['psi']:.3g}" if one["psi"] is not None else ""
        lines.append(f"  {one['name']}: {one['test']} p={one['p']:.2g}, effect {one['effect']:.3f}{weight}{psi}"
                     f"{', alarm' if one['alarm'] else ''}; {one['shift']}".rstrip("; "))
        if one["examples"]:
            lines.append(f"    e.g. {', '.join(one['examples'])}")
    for name in ("expected", "estimated", "realised"):
        if found[name]:
            one = found[name]
            rows = f" on {found['labelled']} labelled rows" if name == "realised" else ""
            lines.append(f"  {one['metric']} {name}{rows}: {one['value']:.4g} [{one['low']:.4g}, {one['high']:.4g}]"
                         f"{', significantly worse than expected' if name in found['lost'] else ''}")
    if found["estimated"]:
        lines.append(f"  {found['estimated']['assumption']}")
    return lines + [f"  {one['column']}: {one['evidence']}" for one in found["findings"]]
