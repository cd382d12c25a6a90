"""The runtime of images: decoded and resized here, everything after that is inside the ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.data._media import decode
from rightfit.errors import DataError, PackageError
from rightfit.package import verify
from rightfit.package.runtimes import Runtime

CORES = "rightfit.package.cores"
CHUNK = 32
MAX_SIZE = 1024


class _Images:
    """Decodes at `size` and hands uint8 (n, size, size, 3) to the core, whose answers are final."""

    def __init__(self, column: str, size: int, outputs: int, core: Callable[[Any], Any]) -> None:
        self._column, self._size, self._outputs, self._core = column, size, outputs, core

    def _run(self, refs: Sequence[str | None]) -> Any:
        out = np.empty((len(refs), self._outputs), dtype=np.float64)
        for start in range(0, len(refs), CHUNK):
            some = refs[start:start + CHUNK]
            out[start:start + CHUNK] = self._score(np.stack([self._array(ref) for ref in some]))
        return out

    def _array(self, ref: str | None) -> Any:
        if ref is None:
            raise DataError(f"every row must hold an image to predict from; got {self._column}=None, give one or "
                            "leave the row out.")
        return decode.array(ref, self._size)

    def _score(self, X: Any) -> Any:
        return np.asarray(self._core(X), np.float64).reshape(len(X), self._outputs)

    def frame(self, X: Any) -> Any:
        return self._run(list(X[self._column]))

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return self._run([record[self._column] for record in records])

    def row(self, record: Mapping[str, Any]) -> Any:
        return self._score(self._array(record[self._column])[None])


def _core(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    cores = meta.get("cores")
    if not isinstance(cores, list) or len(cores) != 1 or not isinstance(cores[0], Mapping) or "file" not in cores[0]:
        raise PackageError(f"a package of images must name one core with its file; got cores={str(cores)[:80]}.")
    only: Mapping[str, Any] = cores[0]
    return only


def load(folder: Path, meta: Mapping[str, Any]) -> _Images:
    """The scorer of a verified folder. Raises PackageError, UnknownName for a core format that does not exist."""
    column, size, outputs = meta.get("column"), meta.get("size"), meta.get("outputs")
    if not isinstance(column, str) or type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise PackageError(f"a package of images must name its column and a size of 1 to {MAX_SIZE} pixels; got "
                           f"column={str(column)[:40]!r} and size={str(size)[:20]}.")
    if type(outputs) is not int or outputs < 1:
        raise PackageError(f"a package of images must state its outputs, 1 or more; got outputs={str(outputs)[:20]}.")
    core = _core(meta)
    found = registry.plugin(CORES, str(core.get("format")), "core format").load(verify.inside(folder, core["file"]))
    return _Images(column, size, outputs, found)


def requires(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The distributions that decoding and the core need."""
    format_ = registry.plugin(CORES, str(_core(meta).get("format")), "core format")
    return tuple(sorted({"numpy", "pillow", *format_.requires}))


SPEC = Runtime(name="image", load=load, requires=requires)
