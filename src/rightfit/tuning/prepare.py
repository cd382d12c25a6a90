"""What candidates need before they can be tried: imports, and pretrained weights, found here or in a process apart.

Finding them reads files of others and imports what only trials need otherwise; a process of the pool has that already,
and takes the memory with it when it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit import registry
from rightfit.data.table import Modality
from rightfit.engines.jobs import Job, Outcome
from rightfit.errors import Unavailable
from rightfit.records import Need, Task, asdict, revive
from rightfit.resources import hub

Params = Mapping[str, Any]
Wish = tuple[str, Params]
"""Name of a family, params."""
Prepare = Callable[[Sequence[Wish], Task, Need], list["Params | str"]]
"""For each wish its params with all that it needs, or the reason why that cannot be had."""

LIMIT_S = 300.0
LONG_S = 30.0  # of budget, from which on two seconds of imports come back
_TOLD = ("HF_", "HOME", "RIGHTFIT_", "TORCH_", "XDG_")  # of the environment, which a fork server has from its start


def imports(modality: Modality, need: Need) -> tuple[str, ...]:
    """What the fork server imports for all trials; a family that needs torch would import it anew for each fold.

    >>> from rightfit.data.table import Modality
    >>> short = Modality(name="tabular", claims=bool, read=bool, preload_long=("torch",))
    >>> imports(short, Need(budget="20s")), imports(short, Need(families=("linear",)))
    (('rightfit.tuning.preload',), ('rightfit.tuning.preload',))
    >>> imports(short, Need(families=("mlp",)))
    ('rightfit.tuning.preload', 'torch')
    """
    asked = [family for family in registry.plugins("rightfit.models").values()
             if family.modality == modality.name and (not need.families or family.name in need.families)]
    wanted = {name for family in asked for name in family.requires}
    late = [name for name in modality.preload_long if name in wanted and need.budget_s >= LONG_S]
    return "rightfit.tuning.preload", *modality.preload, *late


def here(wishes: Sequence[Wish], task: Task, need: Need) -> list[Params | str]:
    """A `Prepare` in this process.

    >>> task = Task(modality="tabular", problem="binary", target=("y",), metric="roc_auc")
    >>> here([("linear", {"l2": 1.0})], task, Need())
    [{'l2': 1.0}]
    """
    return [_one(name, params, task, need) for name, params in wishes]


def _one(name: str, params: Params, task: Task, need: Need) -> Params | str:
    family = registry.plugin("rightfit.models", name, "family")
    try:
        return params if family.prepare is None else dict(family.prepare(params, task, need))
    except Unavailable as error:
        return str(error)


def apart(pool: Any) -> Prepare:
    """A `Prepare` in a process of an idle pool, without the hub; what only the hub has is fetched here.

    So that the size of what is fetched is seen before it comes. Where that process fails, all is done here.
    """
    def prepare(wishes: Sequence[Wish], task: Task, need: Need) -> list[Params | str]:
        known = registry.plugins("rightfit.models")
        dear = [i for i, (name, _) in enumerate(wishes) if known[name].prepare is not None and not known[name].scheme]
        found: dict[int, Params | str] = dict(zip(dear, _asked(pool, [wishes[i] for i in dear], task, need),
                                                  strict=False))
        if any(isinstance(one, str) for one in found.values()) and hub.reachable():
            found = {i: one for i, one in found.items() if not isinstance(one, str)}
        return [found[i] if i in found else _one(*wish, task, need) for i, wish in enumerate(wishes)]

    return prepare


def _asked(pool: Any, wishes: Sequence[Wish], task: Task, need: Need) -> list[Params | str]:
    """The child's answers, empty where it gave none."""
    if not wishes:
        return []
    plain = asdict(need)
    plain["weights"] = [str(Path(place).expanduser().absolute()) for place in need.weights]
    told = {name: value for name, value in os.environ.items() if name.startswith(_TOLD)}
    job = Job(key="prepare", function="rightfit.tuning.prepare:run", soft_s=LIMIT_S, hard_s=LIMIT_S,
              payload={"wishes": asdict(wishes), "task": asdict(task), "need": plain, "environment": told})
    pool.submit(job)
    ended: list[Outcome] = []
    while not ended:
        ended = [one for one in pool.wait(1.0) if one.key == job.key]
    return list(ended[0].result["found"]) if ended[0].state == "ok" and ended[0].result is not None else []


def run(payload: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    """The job of `apart`: {"found": one answer for each wish}."""
    os.environ.update({**payload["environment"], "HF_HUB_OFFLINE": "1"})
    wishes = [(str(name), params) for name, params in payload["wishes"]]
    return {"found": here(wishes, revive(Task, payload["task"]), revive(Need, payload["need"]))}
