"""Rows as a saved model's graphs see them, whatever the runtime encodes them with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import UsageError
from rightfit.package.cores import _tap
from rightfit.package.read import RUNTIMES
from rightfit.records import Dataset

PIECE = 8  # rows whose activations are held at once

CALIBRATE = 64


def some(folder: Path, meta: Mapping[str, Any], rows: Dataset, seed: int) -> dict[str, list[Any]]:
    """As `heard` of 64 rows in small pieces; nothing where there are no rows to calibrate on."""
    if not len(rows):
        return {}
    return {name: list(pieces(arrays, PIECE)) for name, arrays in heard(folder, meta, rows, CALIBRATE, seed).items()}


def heard(folder: Path, meta: Mapping[str, Any], rows: Dataset, most: int, seed: int) -> dict[str, list[Any]]:
    """{file of a graph: arrays X (m, ...)} of at most `most` rows drawn at random. Raises UsageError without rows."""
    if not len(rows):
        raise UsageError("calibration needs rows; got rows=0, give some.")
    some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
    with _tap.listening() as found:
        scorer = registry.plugin(RUNTIMES, str(meta["runtime"]), "runtime").load(folder, meta)
    scorer.frame(rows.X.iloc[some].reset_index(drop=True))
    return found


def pieces(arrays: Sequence[Any], size: int) -> Iterator[Any]:
    """The same rows in arrays of at most `size`.

    >>> [len(piece) for piece in pieces([np.zeros((5, 2)), np.zeros((1, 3))], 4)]
    [4, 1, 1]
    """
    for array in arrays:
        for start in range(0, len(array), size):
            yield array[start:start + size]
