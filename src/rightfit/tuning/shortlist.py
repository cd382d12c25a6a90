"""Which candidates are worth a trial: families that fit the task, in prior order; the others with their reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from rightfit import registry
from rightfit.errors import UnknownName
from rightfit.records import Audit, Candidate, Family, Need, Step, Task, frozen


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
    missing = [name for name in family.requires if importlib.util.find_spec(name) is None]
    if missing:
        return f"it needs {', '.join(missing)}, which is not installed: pip install 'rightfit[all]'"
    if need.families and family.name not in need.families and not family.baseline:
        return "it is not among the families asked for"
    if need.licences and family.facts.licence not in need.licences:
        return f"its licence {family.facts.licence} is not among those allowed"
    return ""


def of_modality(modality: str, need: Need) -> dict[str, Family]:
    """The families of a modality by name. Raises UnknownName when the need asks for one that does not exist."""
    known = {n: f for n, f in registry.plugins("rightfit.models").items() if f.modality == modality}
    for name in need.families:
        if name not in known:
            raise UnknownName("family", name, known)
    return known


def shortlist(task: Task, audit: Audit, need: Need) -> Shortlist:
    """All defaults in prior order, then the variants. Raises UnknownName for a family that does not exist."""
    known = of_modality(task.modality, need)
    reasons = {name: obstacle(family, task, need) for name, family in known.items()}
    fit = sorted((f for f in known.values() if not reasons[f.name]), key=lambda f: (f.rank, f.name))
    baseline = next(f for f in fit if f.baseline)
    racing = [f for f in fit if not f.baseline]
    # The quickest goes first, so that there is soon something better than the baseline to deliver.
    quickest = min(racing, key=lambda f: f.seconds(task), default=None)
    racing.sort(key=lambda f: f is not quickest)
    defaults = [Candidate(family=f.name, params=dict(f.defaults)) for f in racing]
    variants = [Candidate(family=f.name, params={**f.defaults, **v}) for f in racing for v in f.variants]
    return Shortlist(candidates=(*defaults, *variants), families={f.name: f for f in fit},
                     baseline=Candidate(family=baseline.name, params=dict(baseline.defaults)),
                     rejected={n: r for n, r in reasons.items() if r}, treatments=planned(audit, task))


def planned(audit: Audit, task: Task) -> tuple[Step, ...]:
    """The treatments that the findings call for; each is tried on the leader and kept only if it helps."""
    steps = []
    for name, treatment in registry.plugins("rightfit.data.treatments").items():
        params = treatment.plan(audit, task)
        if params is not None:
            steps.append(Step(name=name, params=dict(params)))
    return tuple(steps)
