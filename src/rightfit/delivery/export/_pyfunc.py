"""What MLflow calls to load an exported package; no pickle takes part."""

from __future__ import annotations

from typing import Any

from rightfit.package import LoadedModel, load


class Wrapped:
    """A package as MLflow's pyfunc: `predict(frame, params=None)` gives labels or values (n,)."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def predict(self, frame: Any, params: Any = None) -> Any:
        """Labels as text, or values, one for each row of a pandas frame."""
        return self.model.predict(frame)


def _load_pyfunc(path: str) -> Wrapped:
    return Wrapped(load(path))
