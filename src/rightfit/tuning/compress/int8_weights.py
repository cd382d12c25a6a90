"""Weights in 8 bits, arithmetic in 32: a quarter of the size at the same speed, hardly any loss, no calibration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.records import Candidate, Compression, Dataset, Family, Task
from rightfit.tuning.compress import _bias, _graph, _inputs
from rightfit.tuning.compress._weights8 import restored, store


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """One variant for every network."""
    return ({},) if _graph.neural(family) else ()


def apply(folder: Path, meta: Mapping[str, Any], rows: Dataset, task: Task, params: Mapping[str, Any],
          seed: int) -> dict[str, Any]:
    """Store every large weight as int8, one scale for each channel; memory while serving is as before.

    Biases take back what rounding shifts on up to 64 of the rows; without rows they stay. Raises UsageError where
    there is no graph, or no large weight in it.
    """
    _graph.files(folder, meta, SPEC.name)
    heard = _inputs.some(folder, meta, rows, seed)

    def change(model: Any, path: Path) -> tuple[Any, int]:
        net = _graph.Net(_graph.simplified(model))
        _bias.correct(net, heard.get(str(path), ()), lambda node, name: restored(
            node, 1, net.array(name)) if net.large(name) else None)
        count = store(net)
        return net.model, count

    _graph.rewritten(folder, meta, SPEC.name, change)
    return dict(meta)


SPEC = Compression(name="int8_weights", plan=plan, apply=apply, requires=("onnx", "onnxruntime"),
                   doc="Stores weights in 8 bits and computes in 32: a quarter of the size, the same speed.")
