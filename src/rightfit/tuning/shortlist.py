"""Which candidates are worth a trial: families that fit the task, in prior order; the others with their reason."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from rightfit import registry
from rightfit.advice import catalogue, description, rules
from rightfit.advice.rules import Rule as Advised
from rightfit.errors import Unavailable, UnknownName
from rightfit.records import Audit, Candidate, Family, Need, Step, Task, frozen
from rightfit.resources.machine import usable_cores
from rightfit.tuning.prepare import Prepare, here

NAMED = 2  # params in the name of a candidate that cannot take part, more where they do not tell it from another
RUNG_ROWS = 10_000  # rows of the first rung on large tables
LARGE = 30_000
MANY = 20_000  # rows from which on a network from nothing is as good a guess as a pretrained one
DEAR = 0.1  # of the budget of all workers for one fold


@frozen
class Shortlist:
    """What will be tried, in this order, and what will not: {family: reason}."""

    candidates: tuple[Candidate, ...]
    baseline: Candidate
    families: Mapping[str, Family]
    rejected: Mapping[str, str]
    treatments: tuple[Step, ...]


def obstacle(family: Family, task: Task, need: Need) -> str:
    """Why a family cannot take part, or an empty string."""
    if task.problem not in family.problems:
        return f"it does not solve {task.problem} problems"
    lacking = sorted(family.kinds - set(task.kinds))
    if lacking:
        return f"it is for tables with columns of kind {', '.join(lacking)}, and this one has none"
    missing = [name for name in family.requires if importlib.util.find_spec(name) is None]
    if missing:
        return f"it needs {', '.join(missing)}, which is not installed: pip install 'rightfit[all]'"
    if need.families and family.name not in need.families and not family.baseline and not family.scheme:
        return "it is not among the families asked for"
    if task.monotone and "monotone" not in family.handles and not family.baseline:
        return f"it cannot keep predictions monotone in {', '.join(task.monotone)}"
    if need.licences and family.facts.licence not in need.licences:
        return f"its licence {family.facts.licence} is not among those allowed"
    return ""


def ruled_out(family: Family, need: Need, fired: tuple[Advised, ...]) -> str:
    """The reason and the id of the hard rule that leaves a family out, or an empty string.

    What the user asks for or brings is tried whatever a rule says.
    """
    if family.baseline or family.scheme or family.name in need.families:
        return ""
    rule = rules.excluded(fired, family.name, catalogue.tags(family))
    return f"{rule.reason} [{rule.id}]" if rule else ""


def of_modality(modality: str, need: Need) -> dict[str, Family]:
    """The families of a modality by name. Raises UnknownName when the need asks for one that does not exist."""
    schemes = {entry.partition(":")[0] for entry in need.bring}
    known = {n: f for n, f in registry.plugins("rightfit.models").items()
             if f.modality == modality and (not f.scheme or f.scheme in schemes)}
    lost = sorted(schemes - {f.scheme for f in known.values()})
    if lost:
        raise UnknownName("scheme", lost[0], {f.scheme for f in registry.plugins("rightfit.models").values()
                                              if f.scheme and f.modality == modality})
    for name in need.families:
        if name not in known:
            raise UnknownName("family", name, known)
    return known


def shortlist(task: Task, audit: Audit, need: Need, prepare: Prepare = here) -> Shortlist:
    """All defaults in prior order as the rules of the advice shift it, then the variants, each with what it needs.

    Raises UnknownName for a family that does not exist.
    """
    known = of_modality(task.modality, need)
    fired = rules.fired(description.from_task(task, audit, need))
    reasons = {n: obstacle(f, task, need) or ruled_out(f, need, fired) for n, f in known.items()}
    places = {n: f.rank + rules.shift(fired, n, catalogue.tags(f)) for n, f in known.items()}
    ranked = rules.ranked({n: place for n, place in places.items() if not reasons[n]}, fired,
                          {n: catalogue.tags(f) for n, f in known.items()})
    fit = [known[n] for n in ranked]
    baseline = next(f for f in fit if f.baseline)
    racing = [f for f in fit if not f.baseline and not f.scheme and f.compose is None]
    # The quickest goes first, so that there is soon something better than the baseline to deliver; whose folds
    # would take half of the budget goes last.
    quickest = min(racing, key=lambda f: f.seconds(task), default=None)
    look = dataclasses.replace(task, rows=min(task.rows, RUNG_ROWS) if task.rows > LARGE else task.rows)
    much = DEAR * need.budget_s * (need.workers or usable_cores())
    racing.sort(key=lambda f: (f is not quickest, f.seconds(look) > much))
    wishes = [*_brought(fit, need), *((f, f.defaults) for f in racing),
              *((f, {**f.defaults, **v}) for f in racing for v in f.variants)]
    rejected = {n: r for n, r in reasons.items() if r}
    ready = prepare([(f.name, params) for f, params in wishes], task, need)
    found = {c.key: c for (f, params), one in zip(wishes, ready, strict=True)
             if (c := _candidate(f, params, one, rejected)) is not None}
    return Shortlist(candidates=_pretrained_first(list(found.values()), task.rows), families={f.name: f for f in fit},
                     baseline=Candidate(family=baseline.name, params=dict(baseline.defaults)),
                     rejected=rejected, treatments=planned(audit, task))


def _pretrained_first(candidates: list[Candidate], rows: int) -> tuple[Candidate, ...]:
    """Where weights are at hand, a family's first turn is that of its first pretrained candidate.

    Fine-tuning ends ahead of training from nothing, and sooner (Kornblith et al. 2019, Do Better ImageNet Models
    Transfer Better?); of fewer than MANY rows, networks from nothing come after everybody else.
    """
    first: dict[str, int] = {}
    for at, candidate in enumerate(candidates):
        turn = first.setdefault(candidate.family, at)
        if candidate.params.get("weights") and not candidates[turn].params.get("weights"):
            candidates[turn], candidates[at] = candidate, candidates[turn]
    if rows < MANY and any(candidate.params.get("weights") for candidate in candidates):
        candidates.sort(key=lambda c: c.params.get("pretrained") is False)
    return tuple(candidates)


def bring(known: Mapping[str, Family], task: Task, need: Need) -> None:
    """Raises UsageError, UnknownName, DataError for a model of the user's own that cannot be what it is said to be."""
    for family, params in _brought([f for f in known.values() if f.scheme], need):
        if family.prepare is not None and not obstacle(family, task, need):
            with contextlib.suppress(Unavailable):  # listed with its reason among the candidates
                family.prepare(params, task, need)


def _brought(families: list[Family], need: Need) -> Iterator[tuple[Family, Mapping[str, Any]]]:
    """The user's own models go first: {scheme}:{source}, where a family of that scheme can take part."""
    for entry in need.bring:
        scheme, _, source = entry.partition(":")
        yield from ((f, {**f.defaults, "source": source}) for f in families if f.scheme == scheme)


def _candidate(family: Family, params: Mapping[str, Any], ready: Mapping[str, Any] | str,
               rejected: dict[str, str]) -> Candidate | None:
    """The candidate with everything it needs, or None with its reason in `rejected`."""
    if not isinstance(ready, str):
        return Candidate(family=family.name, params=dict(ready))
    differs = [f"{k}={v}" for k, v in params.items() if family.defaults.get(k) != v]
    names = [f"{family.name} ({', '.join(differs[:most])})" if differs else family.name
             for most in range(NAMED, max(len(differs), NAMED) + 1)]
    rejected[next((name for name in names if name not in rejected), names[-1])] = ready
    return None


def planned(audit: Audit, task: Task) -> tuple[Step, ...]:
    """The treatments that the findings call for; each is tried on the leader and kept only if it helps."""
    steps = []
    for name, treatment in registry.plugins("rightfit.data.treatments").items():
        params = treatment.plan(audit, task)
        if params is not None:
            steps.append(Step(name=name, params=dict(params)))
    return tuple(steps)
