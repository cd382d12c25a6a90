"""The runtime of tables: one encoder, then one core, or one core per output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import PackageError
from rightfit.package import verify
from rightfit.package.runtimes import Runtime

CORES = "rightfit.package.cores"
CHUNK = 4096


class _Tabular:
    def __init__(self, encoder: Any, core: Callable[[Any], Any]) -> None:
        self._encoder = encoder
        self._encode = encoder.row
        self._core = core

    def frame(self, X: Any) -> Any:
        matrix = self._encoder.frame(X)
        # Graphs that compare every row with every stored row would need memory for all pairs at once.
        parts = [self._core(matrix[start:start + CHUNK]) for start in range(0, max(len(matrix), 1), CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return self._core(np.concatenate([self._encode(record) for record in records]))

    def row(self, record: Mapping[str, Any]) -> Any:
        return self._core(self._encode(record))


def _join(cores: list[Callable[[Any], Any]], meta: Mapping[str, Any]) -> Callable[[Any], Any]:
    """One function float32 (n, f) -> float64 (n, outputs) over all cores.

    A core of one column where two are due holds P(positive); of several cores, each one's last column is its output.
    """
    outputs = int(meta["outputs"])
    mean, scale = meta.get("target_mean"), meta.get("target_scale")
    shift = None if mean is None and scale is None else (np.asarray(mean or 0.0, np.float64),
                                                         np.asarray(1.0 if scale is None else scale, np.float64))

    def several(X: Any) -> Any:
        return np.stack([np.asarray(core(X), np.float64).reshape(len(X), -1)[:, -1] for core in cores], axis=1)

    def single(X: Any) -> Any:
        values = np.asarray(only(X), np.float64).reshape(len(X), -1)
        return np.concatenate([1.0 - values, values], axis=1) if values.shape[1] == 1 and outputs == 2 else values

    only = cores[0]
    score = several if len(cores) > 1 else single
    if shift is not None:
        return lambda X: score(X) * shift[1] + shift[0]
    return score


def _cores(meta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    cores = meta.get("cores")
    if not isinstance(cores, list) or not cores or not all(isinstance(c, Mapping) and "file" in c for c in cores):
        raise PackageError(f"a tabular package must list its cores with their files; got cores={str(cores)[:80]}.")
    return cores


def load(folder: Path, meta: Mapping[str, Any]) -> _Tabular:
    """The scorer of a verified folder. Raises PackageError, UnknownName for a core format that does not exist."""
    from rightfit.data.encode import Encoder

    encoder = Encoder.from_json(verify.inside(folder, meta.get("encoder")).read_text(encoding="utf-8"))
    cores = [registry.plugin(CORES, str(c.get("format")), "core format").load(verify.inside(folder, c["file"]))
             for c in _cores(meta)]
    return _Tabular(encoder, _join(cores, meta))


def requires(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The distributions that the cores need."""
    found = {"numpy"}
    for core in _cores(meta):
        found.update(registry.plugin(CORES, str(core.get("format")), "core format").requires)
    return tuple(sorted(found))


SPEC = Runtime(name="tabular", load=load, requires=requires)
