"""Forecasts that are a linear map of the history: what is learned, saved and run. Prediction needs numpy only."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import PackageError
from rightfit.records import Dataset, Task, frozen

FILE = "linear.npz"
Learn = Callable[[Any, Any, list[str], Mapping[str, Any], int], tuple["Map", dict[str, Any]]]


@frozen
class Map:
    """`weights` (f, h), `bias` (h,), `fill` (f,) for what is missing: float64, f features in order, h steps ahead."""

    names: tuple[str, ...]
    weights: Any
    bias: Any
    fill: Any

    def __call__(self, X: Any) -> Any:
        """Features (n, f) to forecasts (n, h)."""
        return np.where(np.isnan(X), self.fill, X) @ self.weights + self.bias


class LinearForecast:
    """A forecasting model whose `learn(X, y, names, params, seed)` gives a Map and what a refit should reuse."""

    def __init__(self, task: Task, params: Mapping[str, Any], learn: Learn) -> None:
        self.learned: dict[str, Any] = {}
        self._task, self._params, self._learn = task, params, learn
        self._map: Map | None = None

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> LinearForecast:
        """Learn from rows of origins: X lags and calendar, y (n, h) or (n,); quick, so `deadline` is not asked."""
        y = np.asarray(data.y, np.float64).reshape(len(data), -1)
        names = [str(name) for name in data.X.columns]
        X = data.X.to_numpy(np.float64)
        fill = np.array([np.nanmean(c) if np.isfinite(c).any() else 0.0 for c in X.T])
        found, self.learned = self._learn(np.where(np.isnan(X), fill, X), y, names, self._params, seed)
        self._map = Map(names=found.names, weights=found.weights, bias=found.bias, fill=fill)
        return self

    def predict(self, X: Any) -> Any:
        """Frame of n origins to (n, h) values, or (n,) when h is 1."""
        assert self._map is not None, "fit comes first"
        found = self._map(X[list(self._map.names)].to_numpy(np.float64))
        return found[:, 0] if found.shape[1] == 1 else found

    def save(self, folder: Any) -> dict[str, Any]:
        """Write linear.npz, plain arrays without pickle."""
        assert self._map is not None, "fit comes first"
        buffer = io.BytesIO()
        np.savez(buffer, weights=self._map.weights, bias=self._map.bias, fill=self._map.fill)
        (Path(folder) / FILE).write_bytes(buffer.getvalue())
        return {"runtime": "sequence", "file": FILE, "names": list(self._map.names)}


def read(path: Path, names: Any) -> Map:
    """The map that `save` wrote. Raises PackageError when the shapes do not fit together."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        weights, bias, fill = (archive[name].astype(np.float64) for name in ("weights", "bias", "fill"))
    if not isinstance(names, list) or weights.shape != (len(names), *bias.shape) or fill.shape != (len(names),):
        raise PackageError(f"a forecast's weights must be (features, steps); got weights={weights.shape}, "
                           f"bias={bias.shape}, fill={fill.shape}, the package is damaged.")
    return Map(names=tuple(map(str, names)), weights=weights, bias=bias, fill=fill)


def lags_of(names: list[str]) -> Any:
    """Positions of the lag columns, ordered by lag: entry k is the value k steps before the origin, (lags,) int."""
    found = {int(name.rpartition("[t-")[2][:-1]): place for place, name in enumerate(names) if "[t-" in name}
    return np.array([found[k] for k in range(len(found))], dtype=np.int64)
