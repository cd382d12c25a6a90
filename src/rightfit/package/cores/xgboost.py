"""XGBoost's own JSON or UBJSON format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rightfit.package.cores import Core


def load(path: Path) -> Callable[[Any], Any]:
    """What the booster's objective gives: (n, 1) values or P(positive), (n, k) class probabilities; one thread.

    Missing values are NaN, as everywhere in rightfit.
    """
    from xgboost import Booster

    booster = Booster({"nthread": 1})
    booster.load_model(str(path))
    booster.set_param({"nthread": 1})
    return lambda X: booster.inplace_predict(X).reshape(len(X), -1)


SPEC = Core(name="xgboost", load=load, requires=("xgboost",))
