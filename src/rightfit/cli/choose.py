"""`rightfit choose`: data and limits in, a decision and a package out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rightfit.cli._app import (
    Data,
    Json,
    Modality,
    Target,
    Text,
    app,
    language_of,
    modality_of,
    pairs,
    position,
    several,
)
from rightfit.errors import UsageError


@app.command()
def choose(
    context: typer.Context,
    data: Data,
    need: Annotated[Text, typer.Option(help="A TOML file of what is asked; flags win over it")] = None,
    target: Target = None,
    metric: Annotated[Text, typer.Option(help="What good means, e.g. f1; or module:function of yours")] = None,
    at_least: Annotated[list[str] | None, typer.Option(help="Hard floor on a metric, e.g. recall=0.9")] = None,
    at_most: Annotated[list[str] | None, typer.Option(help="Hard ceiling on a metric, e.g. log_loss=0.3")] = None,
    protected: Annotated[Text, typer.Option(help="Report rates by the groups of this column")] = None,
    max_gap: Annotated[list[str] | None, typer.Option(help="Hard limit between groups: selection_rate=0.1")] = None,
    cost: Annotated[list[str] | None, typer.Option(help="Price of an error, e.g. FN=50 or 'cat>dog=3'")] = None,
    max_latency: Annotated[Text, typer.Option(help="p95 of one row through the package, e.g. 5ms")] = None,
    max_memory: Annotated[Text, typer.Option(help="Peak memory of a process that predicts, e.g. 200MB")] = None,
    max_size: Annotated[Text, typer.Option(help="Size of the package, e.g. 20MB")] = None,
    throughput: Annotated[Text, typer.Option(help="Rows per second at least, e.g. 5000/s")] = None,
    max_cost: Annotated[Text, typer.Option(help="Cost of serving, e.g. 50USD/month or 0.01USD/1k predictions")] = None,
    traffic: Annotated[Text, typer.Option(help="Rows a second to be served on average, e.g. 20/s")] = None,
    peak: Annotated[Text, typer.Option(help="Rows a second at the most; default: the traffic")] = None,
    provider: Annotated[Text, typer.Option(help="Only this cloud, e.g. aws, gcp or alibaba")] = None,
    region: Annotated[Text, typer.Option(help="Only this region of a cloud, e.g. us-east-1")] = None,
    device_profile: Annotated[Text, typer.Option(help="Limits hold for this device: rightfit measure's file")] = None,
    budget: Annotated[str, typer.Option(help="Wall time for everything, e.g. 10m")] = "5m",
    out: Annotated[Text, typer.Option(help="Run folder; the same command resumes it")] = None,
    test: Annotated[Text, typer.Option(help="Rows used only for the final check")] = None,
    modality: Modality = None,
    problem: Annotated[Text, typer.Option(help="Overrule: binary, multiclass, multilabel, ordinal, regression, "
                                          "quantile, count, ranking")] = None,
    positive: Annotated[Text, typer.Option(help="The positive class of a binary target")] = None,
    delimiter: Annotated[Text, typer.Option(help="Separates the labels of a multilabel target")] = None,
    group: Annotated[Text, typer.Option(help="Rows that share this column never stand on both sides")] = None,
    row_weight: Annotated[Text, typer.Option(help="Weights that count in training; 0 leaves a row out")] = None,
    time: Annotated[Text, typer.Option(help="Rows are split in the order of this column")] = None,
    quantiles: Annotated[Text, typer.Option(help="Levels to predict, e.g. 0.1,0.5,0.9")] = None,
    order: Annotated[Text, typer.Option(help="Classes of an ordinal target, lowest first: low,mid,high")] = None,
    monotone: Annotated[list[str] | None, typer.Option(help="Predictions rise (1) or fall (-1) with it: age=1")] = None,
    coverage: Annotated[float | None, typer.Option(help="Intervals, or sets, that hold this share of rows: 0.9")]
    = None,
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
    no_reference: Annotated[bool, typer.Option("--no-reference", help="Keep no rows in the package to monitor by")]
    = False,
    as_json: Json = False,
) -> None:
    """Choose, prove and deliver the model for a table, pictures or texts."""
    from typing import get_args

    from rightfit.errors import UnknownName
    from rightfit.records import Need, Problem, Search

    named = several(target)
    asked: dict[str, Any] = dict(
        target=(position(named[0]) if len(named) == 1 else named) if named else None, metric=metric,
        at_least=pairs(at_least, "at-least"), at_most=pairs(at_most, "at-most"),
        protected=protected, max_gap=pairs(max_gap, "max-gap"), cost=pairs(cost, "cost"),
        max_latency=max_latency, max_memory=max_memory, max_size=max_size, throughput=throughput, budget=budget,
        device_profile=device_profile,
        max_cost=max_cost, traffic=traffic, peak=peak, provider=provider, region=region,
        modality=modality,
        problem=problem, positive=positive, delimiter=delimiter, group=group, time=time,
        row_weight=row_weight, horizon=horizon, quantiles=_levels(quantiles), order=several(order), coverage=coverage,
        monotone={name: int(sign) if sign == int(sign) else 0 for name, sign in pairs(monotone, "monotone").items()},
        drop=several(drop), keep=several(keep), drop_leaks=drop_leaks, missing=tuple(missing or ()),
        kinds=_kinds(kind), families=several(family), search=search,
        folds=folds, proposals=proposals, seed=seed, workers=workers,
        licences=several(licences), weights=tuple(weights or ()), bring=tuple(bring or ()),
        options={"language": language_of(language), "command": _command(), "reference": not no_reference})
    asked = _with_file(need, asked, context)
    for name, known in (("search", get_args(Search)), ("problem", get_args(Problem))):
        if asked[name] is not None and asked[name] not in known:
            raise UnknownName(name, asked[name], known)
    asked["modality"] = modality_of(asked["modality"])
    wanted = Need(**asked)
    raise SystemExit(_choose(data, wanted, Path(out) if out else _fresh(), test, overwrite, as_json))


def _with_file(path: str | None, asked: dict[str, Any], context: typer.Context) -> dict[str, Any]:
    """The need of a file, over which every flag that was given wins."""
    from rightfit import need_file

    if path is None:
        return asked
    flags = {"families": "family", "kinds": "kind"}
    given = {name for name in asked if name == "options" or _given(context, flags.get(name, name))}
    return {**asked, **need_file.read(path), **{name: asked[name] for name in given}}


def _given(context: typer.Context, flag: str) -> bool:
    source = context.get_parameter_source(flag)
    return source is not None and source.name == "COMMANDLINE"


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


def _levels(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in several(text))
    except ValueError:
        raise UsageError(f"--quantiles must be numbers, e.g. 0.1,0.5,0.9; got quantiles={text!r}.") from None


def _command() -> str:
    import shlex

    return shlex.join(["rightfit", *sys.argv[1:]])


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
        print(markdown.summary(choice.decision, language=str(need.options.get("language") or "en")))
        print(f"\nReport: {choice.report}")
        if choice.decision.chosen:
            print(f"Package: {choice.package}\nPredict: rightfit predict {choice.package} NEW.csv -o predictions.csv")
        if choice.decision.extras.get("no_reference"):
            print(choice.decision.extras["no_reference"])
    if watch.interrupted:
        return 4
    return 0 if choice.status == "chosen" else 3
