"""Features of pictures by an exported encoder: computed once for each picture, shared by heads, folds and trials."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import cache
from rightfit.data._media import decode
from rightfit.models.image import _graph

PART = 512  # rows embedded between two looks at the clock that lose nothing


class _Late(Exception):
    """The deadline came while rows were embedded."""


@once
def digest(path: str) -> str:
    """The first 16 digits of the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def embedded(name: str, refs: Sequence[str], order: Any, size: int, encode: Callable[[Any], Any],
             deadline: float) -> tuple[Any, Any]:
    """(rows rising, features float32) of as many rows as could be embedded by the deadline, taken in `order`.

    name: everything that the features depend on but the pixels. encode: pixels (n, size, size, 3) to features (n, d).
    """
    keys = decode.keys(refs)
    place = np.empty(len(order), np.int64)  # of each in the answer: one array is filled, of which there is no copy
    place[np.argsort(order)] = np.arange(len(order))
    out, done = np.empty((0, 0), np.float32), 0
    for at in range(0, len(order), PART):
        some = order[at:at + PART]

        def compute(positions: Any, some: Any = some) -> Any:
            wanted = [refs[some[p]] for p in positions]
            table = decode.pixels(wanted, size)
            found = []
            for start in range(0, len(wanted), _graph.CHUNK):
                if time.monotonic() >= deadline:
                    raise _Late
                found.append(encode(table.take(np.arange(start, min(start + _graph.CHUNK, len(wanted))))))
            return np.concatenate(found)

        try:
            table = cache.rows(name, [keys[row] for row in some], compute)
        except _Late:
            break
        if not done:
            out = np.empty((len(order), *table.shape[1:]), np.float32)
        out[place[at:at + PART]] = table.take(np.arange(len(some)))
        done = at + len(some)
    return np.sort(order[:done]), out if done == len(order) else out[np.sort(place[:done])]


def learnt(name: str, refs: Sequence[str], size: int, encode: Callable[[Any], Any], seed: int,
           deadline: float) -> tuple[Any, Any]:
    """(rows rising, features) to learn from: those embedded already first, then others as long as there is time."""
    order = np.random.default_rng(seed).permutation(len(refs))
    known = cache.known(name, decode.keys(refs))
    return embedded(name, refs, order[np.argsort(~known[order], kind="stable")], size, encode, deadline)
