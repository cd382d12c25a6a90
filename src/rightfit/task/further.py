"""What problems beyond classes and plain values ask for: levels, an order of classes, queries, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rightfit.data.values import canonical
from rightfit.errors import UnknownName, UsageError
from rightfit.records import Need, Problem, Schema

if TYPE_CHECKING:
    import pandas as pd

LEVELS = (0.1, 0.5, 0.9)
MOST_LEVELS = 25
TOP_RELEVANCE = 30  # 2^relevance - 1 is the gain; LightGBM's table of gains ends here
_DEFAULTS = {
    "quantile": ("pinball", "the mean pinball loss is least for the true quantiles (Koenker and Bassett 1978)"),
    "count": ("poisson_deviance", "counts vary as their mean does: the Poisson deviance is least for the true means "
                                  "(McCullagh and Nelder 1989)"),
    "ordinal": ("kappa_quadratic", "classes are ordered: agreement beyond chance, a far miss costs more than a near "
                                   "one (Cohen 1968)"),
    "ranking": ("ndcg_10", "the order within a query counts, first places most (Jarvelin and Kekalainen 2002)")}


def implied(need: Need) -> Need:
    """The need with the problem that quantiles, an order or a pinball metric imply.

    >>> implied(Need(quantiles=(0.9,))).problem, implied(Need(metric="pinball_0.9")).quantiles
    ('quantile', (0.9,))
    """
    import dataclasses

    level = (need.metric or "").removeprefix("pinball_")
    if need.quantiles and need.problem not in (None, "quantile"):
        raise UsageError(f"quantiles are those of a quantile problem; got quantiles={need.quantiles} and "
                         f"problem={need.problem!r}, leave one out.")
    if need.order and need.problem not in (None, "ordinal"):
        raise UsageError(f"order is that of an ordinal problem; got order={need.order} and problem={need.problem!r}, "
                         "leave one out.")
    if need.problem in (None, "quantile") and level.startswith("0.") and not need.quantiles:
        return dataclasses.replace(need, problem="quantile", quantiles=(float(level),), metric="pinball")
    problem: Problem | None = "quantile" if need.quantiles else "ordinal" if need.order else need.problem
    return dataclasses.replace(need, problem=problem)


def levels(problem: str, need: Need) -> tuple[float, ...]:
    """The levels of a quantile problem, rising; none for others."""
    if problem != "quantile":
        return ()
    found = tuple(sorted(need.quantiles or LEVELS))
    if len(found) > MOST_LEVELS:
        raise UsageError(f"a quantile problem has at most {MOST_LEVELS} levels; got quantiles={len(found)}.")
    return found


def metric(problem: str, quantiles: tuple[float, ...]) -> tuple[str, str] | None:
    """The default metric (name, reason) of these problems."""
    return _DEFAULTS.get(problem)


def named(name: str, problem: Problem) -> str | None:
    """The canonical name of a metric of these problems, None for a user's function or another problem.

    Raises UsageError for a metric that does not fit.
    """
    from rightfit import metrics

    return None if ":" in name or problem not in _DEFAULTS else metrics.find(name, problem).name


def ordered(labels: list[str], need: Need, target: str) -> list[str]:
    """The labels of an ordinal target, lowest first: as the need orders them, else numbers by size."""
    if need.order:
        wanted = [canonical(label) or "" for label in need.order]
        lost = [label for label in labels if label not in wanted]
        if lost or len(set(wanted)) < len(wanted):
            raise UsageError(f"order must name every class once, lowest first; got order={', '.join(need.order)} for "
                             f"{target} with {', '.join(labels[:20])}.")
        return wanted
    try:
        [float(label) for label in labels]
    except ValueError:
        raise UsageError(f"an ordinal target of texts needs its order; got {target} with {', '.join(labels[:20])}, add "
                         f"--order {','.join(labels[:20])} with the lowest first.") from None
    return labels


def check(problem: str, columns: dict[str, pd.Series], need: Need, group: str | None) -> None:
    """Raise UsageError for a target or a need that does not fit the problem."""
    name, values = next(iter(columns.items()))
    if problem == "ordinal" and values.nunique() < 3 and len(need.order) < 3:
        raise UsageError(f"an ordinal problem needs three classes or more; got {name} with {values.nunique()}, say "
                         "binary.")
    if problem == "ranking" and group is None:
        raise UsageError("a ranking problem needs the column of its queries; got problem='ranking' and group=None, add "
                         "--group COLUMN.")
    if problem in ("count", "ranking") and bool((values < 0).any()):
        raise UsageError(f"a {problem} target must never be negative; got {name}={values.min():g}, say regression.")
    if problem == "count" and not bool((values > 0).any()):
        raise UsageError(f"a count target must be above 0 somewhere; got {name} with {len(values)} zeros.")
    if problem == "ranking" and not bool(((values == np.floor(values)) & (values <= TOP_RELEVANCE)).all()):
        bad = values[(values != np.floor(values)) | (values > TOP_RELEVANCE)].iloc[0]
        raise UsageError(f"relevance must be a whole number from 0 to {TOP_RELEVANCE}; got {name}={bad:g}, bin it.")
    if need.coverage is not None and problem in ("multilabel", "ranking", "forecasting"):
        raise UsageError(f"coverage needs values or one class a row; got problem={problem!r}, leave it out.")


def monotone(frame: pd.DataFrame, schema: Schema, need: Need, problem: str, target: tuple[str, ...]) -> dict[str, int]:
    """The signs by column. Raises UnknownName, UsageError for a column or a problem that cannot be monotone."""
    kinds = {c.name: c.kind for c in schema.features if c.name not in target}
    for name in need.monotone:
        if name not in kinds:
            raise UnknownName("monotone column", name, kinds)
        if kinds[name] not in ("numeric", "boolean"):
            raise UsageError(f"a monotone column must hold numbers; got monotone={name!r}, which is "
                             f"{kinds[name]}.")
    if need.monotone and problem in ("multiclass", "multilabel"):
        raise UsageError(f"monotone needs predictions with one direction; got problem={problem!r}, say binary, ordinal "
                         "or regression.")
    return dict(need.monotone)

