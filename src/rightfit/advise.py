"""Advice from a description alone: which families, why and why not, at what cost, with which data treatment.

    describe -> rules fire -> families in order, with forecasts -> treatments, metric, place -> what would change it

The rules are those of the `choose` short list (rightfit.advice.rules). Nothing heavy is imported, nothing is trained.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rightfit.advice import catalogue, description, forecast, rules
from rightfit.advice.catalogue import Card
from rightfit.advice.description import Description
from rightfit.advice.forecast import Forecast
from rightfit.advice.rules import Rule
from rightfit.advice.words import Words
from rightfit.records import frozen

LISTED = 6
FOLDS = 5  # of a cross-validation, on each of which a family is fitted
LIKELY_BROKEN, SURELY_BROKEN = 6.0, 100.0  # places of rank that a limit costs which the forecast lies beyond
EXPLICIT = ("multilabel", "ordinal", "regression", "quantile", "count", "ranking")  # what data do not tell


@frozen
class Said:
    """One sentence and the rule it comes from; "" where it is a fact or a forecast."""

    text: str
    rule: str = ""


@frozen
class Pick:
    """One family of the short list: `why` it is in, what speaks `against` it, and what it would cost."""

    family: str
    planned: bool
    installed: bool
    score: float
    why: tuple[Said, ...]
    against: tuple[Said, ...]
    forecast: Forecast
    licence: str
    framework: str


@frozen
class Advice:
    """The answer. `picks` are ranked, the best first; `out` are families ruled out, with the reason; `place` is local
    or cloud; `changes` say what else would put another family first; `command` is empty where `choose` cannot do it
    yet.
    """

    description: Description
    picks: tuple[Pick, ...]
    out: Mapping[str, str]
    metric: Said
    metric_name: str
    treatments: Mapping[str, Said]
    place: str
    place_why: Said
    changes: tuple[str, ...]
    command: str
    fired: tuple[str, ...]


def advise(asked: Description, *, language: str = "en", most: int = LISTED) -> Advice:
    """The advice for a description; sentences in English or Chinese (zh_CN). Raises UnknownName for a language.

    >>> advise(Description(modality="tabular", problem="binary", rows=5000)).picks[0].family
    'catboost'
    """
    words, fired = Words(language=language), rules.fired(asked)
    cards = catalogue.known(asked.modality)
    place, place_why = _recommended(fired, "place", words)
    picks, out = _ranked(cards, asked, fired, words, place)
    name, metric = _recommended(fired, "metric", words)
    if asked.metric is not None:
        name, metric = asked.metric, Said(text=words("metric.asked"))
    found = {target: Said(text=one.said(language), rule=one.id)
             for one in fired if one.effect == "treatment" for target in one.targets}
    return Advice(description=asked, picks=tuple(picks[:most]), out=out, metric=metric, metric_name=name,
                  treatments=found, place=place or "local", place_why=place_why,
                  changes=tuple(_changes(cards, asked, picks, words)),
                  command=_command(asked, name, picks), fired=tuple(one.id for one in fired))


def order(asked: Description, most: int = 0) -> list[str]:
    """Only the names, ranked: for benchmarks and for what would change the advice; 0 is all of them."""
    cards = catalogue.known(asked.modality)
    return _names(cards, asked)[:most or None]


def _recommended(fired: tuple[Rule, ...], effect: str, words: Words) -> tuple[str, Said]:
    """The last rule of an effect that fired: later rules are the more special ones."""
    found = [one for one in fired if one.effect == effect]
    if not found:
        return "", Said(text=words(f"{effect}.none"))
    return found[-1].targets[0], Said(text=found[-1].said(words.language), rule=found[-1].id)


def _able(cards: Mapping[str, Card], asked: Description) -> Iterator[Card]:
    for card in cards.values():
        if asked.problem in card.problems and not card.baseline and not card.scheme and not card.kinds:
            yield card


def _scored(card: Card, asked: Description, fired: tuple[Rule, ...], place: str) -> tuple[float, Forecast]:
    told = forecast.forecast(card, asked, place)
    score = card.rank + rules.shift(fired, card.name, card.tags)
    for *_, surely in forecast.broken(told, asked):
        score += SURELY_BROKEN if surely else LIKELY_BROKEN
    return score + _too_slow(told, asked), told


def _too_slow(told: Forecast, asked: Description) -> float:
    """Places of rank that a budget costs which one fit, or one on every fold, is forecast not to keep to."""
    if told.fit_s is None or asked.budget_s is None:
        return 0.0
    if told.fit_s.low > asked.budget_s:
        return SURELY_BROKEN
    return LIKELY_BROKEN if FOLDS * told.fit_s.value > asked.budget_s else 0.0


def _out(card: Card, asked: Description, fired: tuple[Rule, ...], words: Words) -> str:
    """Why a family is ruled out, or an empty string."""
    if asked.licence == "commercial" and not card.commercial:
        return words("out.licence", licence=card.licence)
    hard = rules.excluded(fired, card.name, card.tags)
    return f"{hard.said(words.language)} [{hard.id}]" if hard else ""


def _ranked(cards: Mapping[str, Card], asked: Description, fired: tuple[Rule, ...], words: Words,
            place: str) -> tuple[list[Pick], dict[str, str]]:
    found, out = {}, dict[str, str]()
    for card in _able(cards, asked):
        reason = _out(card, asked, fired, words)
        if reason:
            out[card.name] = reason
        else:
            found[card.name] = _scored(card, asked, fired, place)
    order = rules.ranked({name: score for name, (score, _) in found.items()}, fired,
                         {name: cards[name].tags for name in found})
    return [_pick(cards[name], asked, fired, words, (score, score > found[name][0], found[name][1]))
            for name, score in order.items()], out


def _pick(card: Card, asked: Description, fired: tuple[Rule, ...], words: Words,
          placed: tuple[float, bool, Forecast]) -> Pick:
    """placed: the family's score, whether it stands back behind one that is like it, and its forecast."""
    score, back, told = placed
    meant = [one for one in fired if rules.falls_on(one, card.name, card.tags)]
    good, bad = (card.spoken(name, words.language) for name in ("good_at", "bad_at"))
    why = [Said(text=one.said(words.language), rule=one.id) for one in meant if one.effect == "prefer"]
    against = [Said(text=one.said(words.language), rule=one.id) for one in meant
               if one.effect == "avoid" or (one.effect == "alike" and back)]
    return Pick(family=card.name, planned=card.planned, installed=card.installed, score=score,
                why=(*why, Said(text=words("good", what=good))),
                against=(*_objections(card, asked, told, words), *against,
                         *((Said(text=words("bad", what=bad)),) if bad else ())),
                forecast=told, licence=card.licence, framework=card.framework)


def _objections(card: Card, asked: Description, told: Forecast, words: Words) -> Iterator[Said]:
    """What facts and forecasts say against a family."""
    if card.planned:
        yield Said(text=words("against.planned"))
    elif not card.installed:
        yield Said(text=words("against.missing", names=", ".join(card.requires)))
    if "needs_weights" in card.tags and asked.weights is None:
        yield Said(text=words("against.weights"))
    for name, limit, figure, surely in forecast.broken(told, asked):
        yield Said(text=words("against.surely" if surely else "against.likely", name=words(f"n.{name}"),
                              value=words.figure(name, figure.value), limit=words.figure(name, limit)))
    over = _too_slow(told, asked)
    if over:
        assert told.fit_s is not None and asked.budget_s is not None
        yield Said(text=words("against.budget" if over == SURELY_BROKEN else "against.folds", folds=FOLDS,
                              fit=words.figure("fit_s", told.fit_s.value),
                              budget=words.figure("fit_s", asked.budget_s)))


def _names(cards: Mapping[str, Card], asked: Description) -> list[str]:
    fired = rules.fired(asked)
    place = next((one.targets[0] for one in reversed(fired) if one.effect == "place"), "")
    fit = [c for c in _able(cards, asked) if not (asked.licence == "commercial" and not c.commercial)
           and rules.excluded(fired, c.name, c.tags) is None]
    return list(rules.ranked({c.name: _scored(c, asked, fired, place)[0] for c in fit}, fired,
                             {c.name: c.tags for c in fit}))


def _alternatives(asked: Description) -> Iterator[tuple[str, dict[str, Any]]]:
    """(message, what else is said) for every change that is worth asking about."""
    if asked.rows:
        yield "change.more_rows", {"rows": asked.rows * 10, "rows_per_class": None}
        fewer = asked.rows // 10
        if fewer > (asked.classes or 1):
            yield "change.fewer_rows", {"rows": fewer, "rows_per_class": None}
    if asked.weights is not True:
        yield "change.weights", {"weights": True}
    if asked.weights is not False:
        yield "change.no_weights", {"weights": False}
    limits = {name: None for name in ("latency_ms", "memory_mib", "size_mib", "throughput_per_s", "serve_usd")
              if getattr(asked, name) is not None}
    if limits:
        yield "change.no_limits", limits
    if asked.latency_ms:
        yield "change.half_latency", {"latency_ms": asked.latency_ms / 4}
    for name in ("gpu", "raspberry-pi-4"):
        if asked.device != name:
            yield f"change.{name}", {"device": name, "kind": None}
    if asked.budget_s:
        yield "change.more_budget", {"budget_s": asked.budget_s * 10}
    if asked.readable is not True:
        yield "change.readable", {"readable": True}


def _changes(cards: Mapping[str, Card], asked: Description, picks: list[Pick], words: Words) -> Iterator[str]:
    first = picks[0].family if picks else ""
    for message, other in _alternatives(asked):
        names = _names(cards, asked.with_(**other))
        if names and names[0] != first:
            yield words(message, family=names[0], first=first or "-", rows=f"{other.get('rows', 0):,}",
                        latency=words.figure("latency_ms", other.get("latency_ms") or 0.0))


def _command(asked: Description, metric: str, picks: list[Pick]) -> str:
    """The `rightfit choose` command for the same question, or "" where no family of it can be trained yet."""
    task = next(t for t in description.tasks().values() if t["modality"] == asked.modality and t["problem"] in (
        asked.problem, "multiclass" if asked.problem == "binary" else asked.problem))
    able = [p for p in picks if not p.planned]
    if not able:
        return ""
    words = ["rightfit", "choose", task["data"], *(["--target", "COLUMN"] if task["target"] else [])]
    words += ["--metric", metric] if metric else []
    for flag, value in (("--max-latency", _said(asked.latency_ms, "ms")),
                        ("--max-memory", _bytes(asked.memory_mib)), ("--max-size", _bytes(asked.size_mib)),
                        ("--throughput", _said(asked.throughput_per_s, "/s")),
                        ("--max-cost", _said(asked.serve_usd, "USD/month")),
                        ("--traffic", _said(asked.traffic_per_s, "/s") if asked.serve_usd else ""),
                        ("--horizon", _said(asked.horizon, "")), ("--budget", _said(asked.budget_s, "s"))):
        words += [flag, value] if value else []
    words += ["--problem", asked.problem] if asked.problem in EXPLICIT else []
    words += ["--weights", "WEIGHTS"] if asked.weights else []
    words += ["--group", "GROUP"] if asked.groups or asked.problem == "ranking" else []
    if asked.licence == "commercial":
        words += ["--licences", ",".join(sorted({p.licence for p in able}))]
    if asked.readable:
        words += ["--family", ",".join(p.family for p in able)]
    return shlex.join([*words, "--out", "run"])


def _said(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.10g}{unit}"


def _bytes(mib: float | None) -> str:
    """A size in the unit in which it is shorter: the one in which it was most likely asked for."""
    if mib is None:
        return ""
    return min(_said(mib, "MiB"), _said(round(mib * 2**20 / 1e6, 6), "MB"), key=len)
