"""Structured pruning: whole channels leave the trained network, which is tuned again for a few epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.records import Candidate, Compression, Family, Task


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """Two variants for families that take the param `prune` and are not pruned yet."""
    if "prune" not in family.defaults or candidate.params.get("prune"):
        return ()
    return {"share": 0.3}, {"share": 0.5}


def retrain(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The family's param: the share of channels that `models/_nn/prune.py` takes out after training, 0..1."""
    return {"prune": float(params["share"])}


SPEC = Compression(name="prune_channels", plan=plan, retrain=retrain, requires=("torch", "torch_pruning"),
                   doc="Takes out whole channels while training: smaller and faster.")
