"""The runtime of forecasts: history in, the whole horizon out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.models.sequence._linear import Map, read
from rightfit.package import verify
from rightfit.package.runtimes import Runtime


class _Forecast:
    def __init__(self, forecast: Map) -> None:
        self._map, self._names = forecast, forecast.names

    def frame(self, X: Any) -> Any:
        return self._map(X[list(self._names)].to_numpy(np.float64))

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return self._map(np.array([[record[name] for name in self._names] for record in records], np.float64))

    def row(self, record: Mapping[str, Any]) -> Any:
        return self.rows((record,))


def load(folder: Path, meta: Mapping[str, Any]) -> _Forecast:
    """The scorer of a verified folder. Raises PackageError."""
    return _Forecast(read(verify.inside(folder, meta.get("file")), meta.get("names")))


SPEC = Runtime(name="sequence", load=load, requires=lambda meta: ("numpy",))
