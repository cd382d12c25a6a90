"""rightfit: tell it the task, show it the data, state the limits; it chooses the right model and delivers it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rightfit.choose import choose
    from rightfit.delivery.choice import Choice
    from rightfit.estimators import RightFitClassifier, RightFitRegressor
    from rightfit.package.read import load
    from rightfit.records import Decision, Need

_HOME = {"choose": "rightfit.choose", "Choice": "rightfit.delivery.choice", "load": "rightfit.package.read",
         "Need": "rightfit.records", "Decision": "rightfit.records",
         "RightFitClassifier": "rightfit.estimators", "RightFitRegressor": "rightfit.estimators"}
__all__ = ["Choice", "Decision", "Need", "RightFitClassifier", "RightFitRegressor", "choose", "load"]


def __getattr__(name: str) -> Any:
    """Public names are loaded when first used (PEP 562), so that `import rightfit` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'rightfit' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Importing the module rightfit.choose must not put it in the place of the function rightfit.choose.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
