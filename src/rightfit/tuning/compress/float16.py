"""Weights in 16 bits, arithmetic in 32: half of the size at the same speed. CPUs without fp16 units gain no time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.records import Candidate, Compression, Dataset, Family, Task
from rightfit.tuning.compress import _graph


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """One variant for every network."""
    return ({},) if _graph.neural(family) else ()


def _change(model: Any, path: Path) -> tuple[Any, int]:
    net = _graph.Net(model)
    first, count = [], 0
    for name in list(net.constants):
        values = net.array(name) if net.large(name) else None
        if values is None or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        net.constants[name].name = f"{name}__32"
        net.add("Cast", net.constant(values.astype(np.float16)), to=1, out=name)
        first += net.taken()
        count += 1
    net.put([*first, *net.graph.node])
    return net.model, count


def apply(folder: Path, meta: Mapping[str, Any], rows: Dataset, task: Task, params: Mapping[str, Any],
          seed: int) -> dict[str, Any]:
    """Store every large weight as float16 (11 significant bits); those beyond its range (65504) stay as they are.

    The casts are folded when the model is loaded. Raises UsageError where there is no graph, or no large weight.
    """
    _graph.rewritten(folder, meta, SPEC.name, _change)
    return dict(meta)


SPEC = Compression(name="float16", plan=plan, apply=apply, requires=("onnx", "onnxruntime"),
                   doc="Stores weights in 16 bits and computes in 32: half the size, the same speed.")
