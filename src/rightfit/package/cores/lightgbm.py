"""LightGBM's own text format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.package.cores import Core


def load(path: Path) -> Callable[[Any], Any]:
    """What the booster's objective gives: (n, 1) values or P(positive), (n, k) class probabilities; one thread."""
    from lightgbm import Booster

    booster = Booster(model_file=str(path))
    return lambda X: np.asarray(booster.predict(X, num_threads=1)).reshape(len(X), -1)


SPEC = Core(name="lightgbm", load=load, requires=("lightgbm",))
