"""The steps of a candidate: treatments of the rows before fitting, compression of the model after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit import registry
from rightfit.records import Compression, Dataset, Model, Step, Task

COMPRESSIONS = "rightfit.tuning.compress"


def divided(steps: Sequence[Step]) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """(treatments, compressions), each in their order."""
    known = registry.plugins(COMPRESSIONS)
    return tuple(s for s in steps if s.name not in known), tuple(s for s in steps if s.name in known)


def retrained(params: Mapping[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """The family's params with what the compressions want to be done while training."""
    found = dict(params)
    for step in steps:
        spec: Compression = registry.plugin(COMPRESSIONS, step.name, "compression")
        if spec.retrain is not None:
            found |= spec.retrain(step.params)
    return found


def finished(model: Model, steps: Sequence[Step], rows: Dataset, task: Task, seed: int) -> Model:
    """The fitted model after its compressions; the model itself without any. `rows` are training rows."""
    if not steps:
        return model
    from rightfit.tuning import compress

    return compress.apply_steps(model, steps, rows, task, seed)


def of_package(folder: Path, steps: Sequence[Step], rows: Dataset, task: Task, seed: int) -> Model:
    """The same from the package that the uncompressed model left. Raises PackageError."""
    from rightfit.tuning import compress

    return compress.apply_steps(folder, steps, rows, task, seed)
