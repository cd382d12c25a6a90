"""Runtimes, one file each: they turn a package's files into a function from rows to predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rightfit.records import frozen


class Scorer(Protocol):
    """Predictions before calibration and rule: (n, k) probabilities, or (n, k) values."""

    def frame(self, X: Any) -> Any:
        """A coerced frame of n rows to float64 (n, k)."""
        ...

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        """n coerced records, 1 or more, to float64 (n, k)."""
        ...

    def row(self, record: Mapping[str, Any]) -> Any:
        """One coerced record to float64 (1, k): the path whose latency is promised."""
        ...


@frozen
class Runtime:
    """A runtime's SPEC; `meta` is what Model.save returned; `requires(meta)` names what must be installed."""

    name: str
    load: Callable[[Path, Mapping[str, Any]], Scorer]
    requires: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda meta: ()
