"""Compression steps, one file each: they make a further candidate out of one that is trained.

    int8_dynamic   weights and activations of matrix products in 8 bits, ranges of activations found row by row
    int8_static    convolutions and matrix products in 8 bits, ranges of activations found on training rows
    int8_weights   weights stored in 8 bits, computed with as 32: four times smaller, as fast as before
    float16        weights stored in 16 bits, computed with as 32: half the size, as fast as before
    prune_weights  the smallest weights are zero and not stored: smaller, no faster
    prune_channels whole channels are taken out while training: smaller and faster
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rightfit import registry
from rightfit.records import Dataset, Model, Step, Task

PLUGINS = "rightfit.tuning.compress"


def is_compression(step: Step) -> bool:
    """Whether a candidate's step compresses the fitted model, rather than treat the rows it learns from.

    >>> is_compression(Step(name="float16")), is_compression(Step(name="oversample"))
    (True, False)
    """
    return step.name in registry.plugins(PLUGINS)


def apply_steps(model: Model | Path, steps: Sequence[Step], rows: Dataset, task: Task, seed: int) -> Model:
    """A fitted model, or a package's folder, after the steps in their order; steps that were done in training pass.

    rows: training rows (n), to calibrate on. Raises UsageError where a step finds nothing to compress.
    """
    from rightfit.tuning.compress._model import compressed

    return compressed(model, steps, rows, task, seed)
