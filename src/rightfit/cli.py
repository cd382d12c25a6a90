"""The command line. Nothing heavy is imported before a command runs; every error on purpose is one sentence, exit 2."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rightfit.errors import RightfitError, UsageError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Which model should I use for this task, on this data, within these limits?")

Text = str | None
Data = Annotated[str, typer.Argument(help="A file, a folder or zip of pictures or texts, or a SQLAlchemy URL such as "
                                         "sqlite:///shop.db::orders")]
Modality = Annotated[Text, typer.Option(help="Overrule what the data are: tabular, text, image or sequence")]
Target = Annotated[Text, typer.Option(help="Target column: name or position; several separated by commas")]
Json = Annotated[bool, typer.Option("--json", help="Print decision.json on stdout and nothing else there")]


def pairs(items: list[str] | None, name: str) -> dict[str, float]:
    """`key=number` items as a mapping. Raises UsageError.

    >>> pairs(["recall=0.9"], "at-least")
    {'recall': 0.9}
    """
    found: dict[str, float] = {}
    for item in items or []:
        key, equals, value = item.partition("=")
        try:
            if not equals or not key.strip():
                raise ValueError
            found[key.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--{name} must be written NAME=NUMBER; got {name}={item!r}.") from None
    return found


def several(text: str | None) -> tuple[str, ...]:
    """A comma-separated list.

    >>> several("a, b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _kinds(items: list[str] | None) -> dict[str, str]:
    from rightfit.errors import UnknownName

    known = ("numeric", "categorical", "boolean", "datetime", "text", "id")
    found = {}
    for item in items or []:
        column, equals, kind = item.rpartition("=")
        if not equals or not column:
            raise UsageError(f"--kind must be written COLUMN=KIND; got kind={item!r}.")
        if kind not in known:
            raise UnknownName("kind", kind, known)
        found[column] = kind
    return found


@app.command()
def choose(
    data: Data,
    target: Target = None,
    metric: Annotated[Text, typer.Option(help="What good means, e.g. f1; or module:function of yours")] = None,
    at_least: Annotated[list[str] | None, typer.Option(help="Hard floor on a metric, e.g. recall=0.9")] = None,
    at_most: Annotated[list[str] | None, typer.Option(help="Hard ceiling on a metric, e.g. log_loss=0.3")] = None,
    cost: Annotated[list[str] | None, typer.Option(help="Price of an error, e.g. FN=50 or 'cat>dog=3'")] = None,
    max_latency: Annotated[Text, typer.Option(help="p95 of one row through the package, e.g. 5ms")] = None,
    max_memory: Annotated[Text, typer.Option(help="Peak memory of a process that predicts, e.g. 200MB")] = None,
    max_size: Annotated[Text, typer.Option(help="Size of the package, e.g. 20MB")] = None,
    throughput: Annotated[Text, typer.Option(help="Rows per second at least, e.g. 5000/s")] = None,
    budget: Annotated[str, typer.Option(help="Wall time for everything, e.g. 10m")] = "5m",
    out: Annotated[Text, typer.Option(help="Run folder; the same command resumes it")] = None,
    test: Annotated[Text, typer.Option(help="Rows used only for the final check")] = None,
    modality: Modality = None,
    problem: Annotated[Text, typer.Option(help="Overrule: binary, multiclass, multilabel, regression")] = None,
    positive: Annotated[Text, typer.Option(help="The positive class of a binary target")] = None,
    delimiter: Annotated[Text, typer.Option(help="Separates the labels of a multilabel target")] = None,
    group: Annotated[Text, typer.Option(help="Rows that share this column never stand on both sides")] = None,
    time: Annotated[Text, typer.Option(help="Rows are split in the order of this column")] = None,
    horizon: Annotated[int | None, typer.Option(help="Forecast this many steps")] = None,
    drop: Annotated[Text, typer.Option(help="Columns to leave out, separated by commas")] = None,
    keep: Annotated[Text, typer.Option(help="Columns to use even if they look like ids")] = None,
    drop_leaks: Annotated[bool, typer.Option("--drop-leaks", help="Leave out what gives the target away")] = False,
    missing: Annotated[list[str] | None, typer.Option(help="A text that means missing, e.g. -999")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Overrule a column's kind, e.g. zip=categorical")] = None,
    family: Annotated[Text, typer.Option(help="Only these model families, separated by commas")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="A file or folder of pretrained weights")] = None,
    bring: Annotated[list[str] | None, typer.Option(help="A model of yours, scheme:name, e.g. timm:resnet18")] = None,
    search: Annotated[str, typer.Option(help="auto, grid, random or tpe")] = "auto",
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds")] = None,
    proposals: Annotated[int | None, typer.Option(help="End the search after so many points; default: by time")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same decision")] = 0,
    workers: Annotated[int | None, typer.Option(help="Trials side by side; default: the cores allowed")] = None,
    licences: Annotated[Text, typer.Option(help="Only families under these licences")] = None,
    language: Annotated[Text, typer.Option(help="Language of the report: en or zh_CN")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start the run folder anew")] = False,
    as_json: Json = False,
) -> None:
    """Choose, prove and deliver the model for a table, pictures or texts."""
    from typing import get_args

    from rightfit.errors import UnknownName
    from rightfit.records import Need, Problem, Search

    for name, value, known in (("search", search, get_args(Search)), ("problem", problem, get_args(Problem))):
        if value is not None and value not in known:
            raise UnknownName(name, value, known)
    named = several(target)
    need = Need(
        target=(_position(named[0]) if len(named) == 1 else named) if named else None, metric=metric,
        at_least=pairs(at_least, "at-least"), at_most=pairs(at_most, "at-most"), cost=pairs(cost, "cost"),
        max_latency=max_latency, max_memory=max_memory, max_size=max_size, throughput=throughput, budget=budget,
        modality=_modality(modality),
        problem=problem, positive=positive, delimiter=delimiter, group=group, time=time, horizon=horizon,  # type: ignore[arg-type]
        drop=several(drop), keep=several(keep), drop_leaks=drop_leaks, missing=tuple(missing or ()),
        kinds=_kinds(kind), families=several(family), search=search,  # type: ignore[arg-type]
        folds=folds, proposals=proposals, seed=seed, workers=workers,
        licences=several(licences), weights=tuple(weights or ()), bring=tuple(bring or ()),
        options={"language": _language(language), "command": _command()})
    raise SystemExit(_choose(data, need, Path(out) if out else _fresh(), test, overwrite, as_json))


def _modality(asked: str | None) -> str | None:
    from rightfit.registry import plugin

    return None if asked is None else str(plugin("rightfit.data.modalities", asked, "modality").name)


def _position(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _command() -> str:
    import shlex

    return shlex.join(["rightfit", *sys.argv[1:]])


def _language(asked: str | None) -> str:
    from rightfit.report.wording import language_of

    return asked or language_of(os.environ.get("LC_ALL") or os.environ.get("LANG"))


def _fresh() -> Path:
    number = 1
    while Path(f"run-{number}").exists():
        number += 1
    return Path(f"run-{number}")


def _choose(data: str, need: Any, out: Path, test: str | None, overwrite: bool, as_json: bool) -> int:
    from rightfit import progress
    from rightfit.choose import choose as decide
    from rightfit.report import json as written
    from rightfit.report import markdown

    with progress.watching(need.budget_s) as watch:
        choice = decide(data, need, out=out, test=test, overwrite=overwrite, watch=watch,
                        consent=None if as_json else watch.consent)
    if as_json:
        print(json.dumps(written.to_json(choice.decision), ensure_ascii=False))
    else:
        print(markdown.summary(choice.decision))
        print(f"\nReport: {choice.report}")
        if choice.decision.chosen:
            print(f"Package: {choice.package}\nPredict: rightfit predict {choice.package} NEW.csv -o predictions.csv")
    if watch.interrupted:
        return 4
    return 0 if choice.status == "chosen" else 3


@app.command()
def audit(data: Data, target: Target = None, test: Annotated[Text, typer.Option(help="Another file, compared")] = None,
          group: Annotated[Text, typer.Option(help="Group column")] = None,
          time: Annotated[Text, typer.Option(help="Time column")] = None, modality: Modality = None,
          as_json: Json = False) -> None:
    """Say what is wrong with the data, and what would follow from it."""
    import tempfile

    from rightfit import cache, progress
    from rightfit.choose import ask, examine
    from rightfit.records import Need, asdict

    named = several(target)
    need = Need(target=(_position(named[0]) if len(named) == 1 else named) if named else None, group=group, time=time,
                modality=_modality(modality))
    with tempfile.TemporaryDirectory(prefix="rightfit-") as folder, cache.at(folder):
        question = examine(ask(data, need, test))
    if as_json:
        print(json.dumps({"task": asdict(question.task), "audit": asdict(question.audit)}, ensure_ascii=False))
    else:
        progress.show_audit(question.task, question.audit)


@app.command()
def predict(package: Annotated[str, typer.Argument(help="A package folder or zip")], data: Data,
            out: Annotated[str, typer.Option("-o", "--out", help="CSV or Parquet by extension")] = "predictions.csv",
            ) -> None:
    """Predict new rows with a package."""
    from rightfit.delivery.predict import predict as run

    rows = run(package, data, out)
    print(f"{rows} predictions: {out}", file=sys.stderr)


@app.command()
def compress(package: Annotated[str, typer.Argument(help="A package folder or zip")],
             out: Annotated[str, typer.Option("-o", "--out", help="Folder or .zip to write")],
             max_size: Annotated[Text, typer.Option(help="Size of the package, e.g. 5MB")] = None,
             max_latency: Annotated[Text, typer.Option(help="p95 of one row, e.g. 5ms")] = None,
             max_memory: Annotated[Text, typer.Option(help="Peak memory, e.g. 200MB")] = None,
             data: Annotated[Text, typer.Option(help="Labelled rows it has not learned from: measure the loss")] = None,
             max_loss: Annotated[float, typer.Option(help="Loss of the metric that is borne, e.g. 0.003")] = 0.0,
             seed: Annotated[int, typer.Option(help="Same seed, same calibration rows")] = 0,
             as_json: Json = False) -> None:
    """Make a finished package smaller or faster, at no significant loss."""
    from rightfit.delivery import compress as compressing
    from rightfit.records import Need

    limits = Need(max_size=max_size, max_latency=max_latency, max_memory=max_memory).limits()
    found = compressing.compress(package, out, limits=limits, data=data, max_loss=max_loss, seed=seed)
    print(json.dumps(compressing.to_json(found), ensure_ascii=False) if as_json else compressing.table(found))
    raise SystemExit(0 if found.chosen else 3)


@app.command("zip")
def zip_(package: Annotated[str, typer.Argument(help="A package folder")],
         out: Annotated[str, typer.Argument(help="The zip to write")]) -> None:
    """Put a package into one verified zip file; predict reads it as it is."""
    from rightfit.package.write import zip_package

    print(zip_package(package, out))


@app.command()
def report(folder: Annotated[str, typer.Argument(help="A run folder")],
           language: Annotated[Text, typer.Option(help="en or zh_CN")] = None) -> None:
    """Write the report of a finished run again, in any language."""
    from rightfit.report import html, json

    for path in html.write(json.read(folder), folder, language=_language(language)):
        print(path)


@app.command()
def models(as_json: Json = False) -> None:
    """List every model family with its facts."""
    from rightfit import progress, registry
    from rightfit.records import asdict

    families = registry.plugins("rightfit.models")
    if as_json:
        shown = ("name", "modality", "problems", "facts", "handles", "requires", "rank")
        print(json.dumps([{k: v for k, v in asdict(f).items() if k in shown} for f in families.values()]))
    else:
        progress.show_models(families)


@app.command()
def doctor() -> None:
    """Say what this machine offers: cores, memory, instruction sets, library versions."""
    from rightfit.resources.machine import machine, versions

    print(json.dumps({"machine": machine(), "versions": versions()}, indent=1, ensure_ascii=False))


def main() -> None:
    """The entry point: errors on purpose become one sentence on stderr and their exit code."""
    try:
        app(standalone_mode=False)
    except RightfitError as error:
        print(f"rightfit: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("rightfit: interrupted; what was ready is in the run folder; the same command resumes.", file=sys.stderr)
        raise SystemExit(4) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _usage(error)


def _usage(error: Exception) -> None:
    """Click's own errors are wrong usage; anything else is a fault of ours and keeps its traceback."""
    show = getattr(error, "format_message", None)
    if show is None:
        if type(error).__name__ in ("Exit", "Abort"):
            raise SystemExit(getattr(error, "exit_code", 4)) from None
        raise error
    text = show()
    if text:
        print(f"rightfit: {text} Try rightfit --help.", file=sys.stderr)
    raise SystemExit(2) from None
