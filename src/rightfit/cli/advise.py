"""`rightfit advise`: which model families, before there are any data."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from rightfit.cli._app import Text, app, language_of
from rightfit.errors import UsageError

Count = int | None
Share = float | None
Flag = bool | None


@app.command()
def advise(
    task: Annotated[Text, typer.Option(help="What is asked, e.g. image-classification or tabular-regression")] = None,
    rows: Annotated[Count, typer.Option(help="Rows, pictures, texts or time steps")] = None,
    classes: Annotated[Count, typer.Option(help="How many classes")] = None,
    rows_per_class: Annotated[Count, typer.Option(help="Rows of the smallest class")] = None,
    features: Annotated[Count, typer.Option(help="Columns of a table, or outside variables of a series")] = None,
    imbalance: Annotated[Share, typer.Option(help="Largest class over smallest, e.g. 20")] = None,
    noise: Annotated[Share, typer.Option(help="Share of wrong labels, e.g. 0.1")] = None,
    missing: Annotated[Share, typer.Option(help="Share of missing cells, e.g. 0.2")] = None,
    categorical: Annotated[Share, typer.Option(help="Share of columns that are categories")] = None,
    cardinality: Annotated[Count, typer.Option(help="Categories of the largest such column")] = None,
    length: Annotated[Count, typer.Option(help="Words of a text, steps of a sequence")] = None,
    series: Annotated[Count, typer.Option(help="How many series are forecast")] = None,
    horizon: Annotated[Count, typer.Option(help="Forecast this many steps")] = None,
    image_size: Annotated[Count, typer.Option(help="Longer side of a picture in pixels")] = None,
    language: Annotated[Text, typer.Option(help="Language of the answer: en or zh_CN")] = None,
    text_language: Annotated[Text, typer.Option(help="Language of the texts, e.g. en or zh")] = None,
    natural: Annotated[Flag, typer.Option("--natural/--unnatural", help="Pictures are photographs, or not")] = None,
    outliers: Annotated[Flag, typer.Option("--outliers/--no-outliers", help="Values far outside")] = None,
    groups: Annotated[Flag, typer.Option("--groups/--no-groups", help="Rows of one person or machine repeat")] = None,
    changing: Annotated[Flag, typer.Option("--changing/--stable", help="The world changes over time")] = None,
    misses: Annotated[Flag, typer.Option("--misses/--no-misses", help="A missed positive is the dear error")] = None,
    readable: Annotated[Flag, typer.Option("--readable/--opaque", help="A person must read the model")] = None,
    realtime: Annotated[Flag, typer.Option("--realtime/--batch", help="Each answer is needed at once")] = None,
    sensitive: Annotated[Flag, typer.Option("--sensitive/--open", help="Data must stay in the house")] = None,
    weights: Annotated[Flag, typer.Option("--weights/--no-weights", help="Pretrained weights in reach")] = None,
    licence: Annotated[Text, typer.Option(help="any or commercial")] = None,
    device: Annotated[Text, typer.Option(help="What predicts, e.g. cpu, gpu, raspberry-pi-4")] = None,
    train_device: Annotated[Text, typer.Option(help="What trains, e.g. cpu, gpu, cloud-gpu")] = None,
    metric: Annotated[Text, typer.Option(help="What good means, where you know it")] = None,
    max_latency: Annotated[Text, typer.Option(help="p95 of one row, e.g. 20ms")] = None,
    max_memory: Annotated[Text, typer.Option(help="Peak memory, e.g. 500MB")] = None,
    max_size: Annotated[Text, typer.Option(help="Size of the package, e.g. 20MB")] = None,
    throughput: Annotated[Text, typer.Option(help="Rows per second at least, e.g. 200/s")] = None,
    traffic: Annotated[Text, typer.Option(help="Predictions asked per second, e.g. 20/s")] = None,
    max_cost: Annotated[Text, typer.Option(help="Cost of serving the traffic, e.g. 50USD/month")] = None,
    budget: Annotated[Text, typer.Option(help="Time for the search, e.g. 10m")] = None,
    need: Annotated[Text, typer.Option(help="A TOML file with these names as keys; flags overrule it")] = None,
    explain: Annotated[Text, typer.Option(help="Show one rule: its condition, effect, reason and source")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON on stdout, and nothing else")] = False,
) -> None:
    """Say which model families suit a task, before there are any data; without options it asks."""
    said = dict(task=task, rows=rows, classes=classes, rows_per_class=rows_per_class, features=features,
                imbalance=imbalance, noise=noise, missing=missing, categorical=categorical, cardinality=cardinality,
                length=length, series=series, horizon=horizon, image_size=image_size, language=text_language,
                natural=natural, outliers=outliers, groups=groups, changing=changing, misses=misses,
                readable=readable, realtime=realtime, sensitive=sensitive, weights=weights, licence=licence,
                device=device, train_device=train_device, metric=metric, max_latency=max_latency,
                max_memory=max_memory, max_size=max_size, throughput=throughput, traffic=traffic, max_cost=max_cost,
                budget=budget)
    said = {name: value for name, value in said.items() if value is not None}
    tongue = language_of(language)
    if explain is not None:
        print(_rule(explain, tongue, as_json))
        return
    print(_answer(said, need, tongue, as_json))


def _answer(said: dict[str, Any], need: str | None, language: str, as_json: bool) -> str:
    from rightfit.advice import description
    from rightfit.advice.words import Words
    from rightfit.advise import advise as answer
    from rightfit.records import asdict

    words = Words(language=language)
    if need is not None:
        said = {**{str(k).replace("-", "_"): v for k, v in description.read(need).items()}, **said}
    elif not said:
        said = _asked(words)
    found = answer(description.describe(said), language=language)
    column = None if need is None else description.target(need)
    if column is not None:
        found = dataclasses.replace(found, command=found.command.replace(" COLUMN", f" {shlex.quote(column)}"))
    if as_json:
        return json.dumps({**asdict(found), "task": said["task"]}, ensure_ascii=False)
    return "\n".join(_page(found, said, words))


def _asked(words: Any) -> dict[str, Any]:
    """The questionnaire: the six chapters in turn; an empty answer is an unknown. Raises UsageError without answers."""
    from rightfit.advice import _files, description

    said: dict[str, Any] = {}
    chapter = 0
    if not sys.stdin.isatty():
        _piped(said, words, description)
    typer.echo(words("ask.intro"), err=True)
    for question in _files.read("facts", "questions")["question"]:
        if question["key"] in said or not _concerns(question, said, description):
            continue
        if question["chapter"] != chapter:
            chapter = question["chapter"]
            typer.echo(f"\n{words(f'ask.chapter{chapter}')}", err=True)
        _one(question["key"], said, words, description)
    return said


def _piped(said: dict[str, Any], words: Any, description: Any) -> None:
    """The first answer where nobody sits at a terminal, before anything is printed. Raises UsageError if it is empty.
    """
    task = sys.stdin.readline().strip()
    if not task:
        raise UsageError("a description must come from options, from --need FILE or from answers on a terminal; got "
                         "none of them, pass --task.")
    said["task"] = task
    description.describe(said)


def _concerns(question: Mapping[str, Any], said: Mapping[str, Any], description: Any) -> bool:
    if "task" not in said:
        return bool(question["key"] == "task")
    known = description.describe(said)
    if question.get("after", "task") not in said:
        return False
    return (known.modality in question.get("modalities", (known.modality,))
            and known.problem in question.get("problems", (known.problem,)))


def _one(key: str, said: dict[str, Any], words: Any, description: Any) -> None:
    """One question, asked until its answer can be used together with those before."""
    known = {"task": description.tasks, "device": description.devices}.get(key)
    text = words(f"ask.{key}", **({"known": ", ".join(known())} if known else {}))
    while True:
        try:
            answer = str(typer.prompt(text, default="", show_default=False, err=True))
        except typer.Abort:
            if sys.stdin.isatty():
                raise
            raise UsageError(f"the questions must be answered on a terminal; input ended at question={key}, pass "
                             "--task or --need FILE instead.") from None
        if not answer.strip() and key != "task":
            return
        try:
            value = description.spoken(key, answer)
            description.describe({**said, key: value})
        except UsageError as error:
            typer.echo(words("ask.again", error=error), err=True)
            continue
        said[key] = value
        return


def _page(found: Any, said: Mapping[str, Any], words: Any) -> Iterator[str]:
    yield words("h.advice", task=said["task"])
    yield words("h.assumed", said=", ".join(f"{k} {v}" for k, v in said.items() if k != "task") or "-")
    yield f"\n{words('h.picks')}"
    for place, pick in enumerate(found.picks, 1):
        yield from _pick(place, pick, words)
    if not found.picks:
        yield f"  {words('h.no_picks')}"
    if found.out:
        yield f"\n{words('h.out')}"
        yield from (f"  {name}: {reason}" for name, reason in found.out.items())
    yield f"\n{words('h.metric')}: {found.metric_name or '-'}. {_with_rule(found.metric)}"
    if found.treatments:
        yield words("h.treatments")
        yield from (f"  {name}: {_with_rule(one)}" for name, one in found.treatments.items())
    yield f"{words('h.place')}: {words(f'place.{found.place}')}. {_with_rule(found.place_why)}"
    if found.changes:
        yield f"\n{words('h.changes')}"
        yield from (f"  {line}" for line in found.changes)
    yield f"\n{words('h.command')}"
    yield f"  {found.command or words('h.no_command')}"
    yield f"\n{words('h.note')}"


def _with_rule(said: Any) -> str:
    return f"{said.text} [{said.rule}]" if said.rule else str(said.text)


def _pick(place: int, pick: Any, words: Any) -> Iterator[str]:
    told = pick.forecast
    yield f"{place}. {pick.family}" + (f" ({words('h.planned')})" if pick.planned else "")
    figures = [f"{words(f'n.{name}')} {_interval(name, getattr(told, name), words)}"
               for name in ("latency_ms", "memory_mib", "size_mib") if getattr(told, name) is not None]
    if figures:
        yield f"   {words('h.forecast')} {words('h.on', device=told.device)}: {', '.join(figures)}"
    if told.fit_s is not None:
        line = words("h.fit", fit=_interval("fit_s", told.fit_s, words), device=told.train_on)
        if told.fit_usd is not None:
            line += ", " + words("h.cost", cost=words.figure("fit_usd", told.fit_usd.value), asof=told.asof)
        yield f"   {words('h.forecast')}: {line}"
    if told.serve_usd is not None:
        cost = _interval("serve_usd", told.serve_usd, words)
        yield f"   {words('h.forecast')}: {words('h.serve', cost=cost, asof=told.serve_asof)}"
    yield from (f"   + {_with_rule(one)}" for one in pick.why)
    yield from (f"   - {_with_rule(one)}" for one in pick.against)


def _interval(name: str, figure: Any, words: Any) -> str:
    low, value, high = (words.figure(name, v) for v in (figure.low, figure.value, figure.high))
    return f"{value} ({low} … {high})"


def _rule(name: str, language: str, as_json: bool) -> str:
    """One rule in full. Raises UnknownName."""
    from rightfit.advice import rules
    from rightfit.advice.words import Words
    from rightfit.records import asdict

    one = rules.rule(name)
    if as_json:
        return json.dumps(asdict(one), ensure_ascii=False)
    words = Words(language=language)
    effect = f"{one.effect} {', '.join(one.targets)}" + (f" ({one.points:g})" if one.points else "")
    return "\n".join((one.id, f"  {words('rule.when')}: {json.dumps(asdict(one.when), ensure_ascii=False)}",
                      f"  {words('rule.effect')}: {effect}", f"  {words('rule.reason')}: {one.said(language)}",
                      f"  {words('rule.source')}: {one.source}"))
