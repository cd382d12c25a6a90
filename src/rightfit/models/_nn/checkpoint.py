"""Training that was killed goes on where it was: its state is kept beside the run's cache, and goes with it."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit import cache

FOLDER = "checkpoints"
SHOWN = 8
EVERY_S = 20.0  # between two that are written; what is trained in less is trained again


class Keeper:
    """The state of one fit in one file, written whole or not at all; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.last = path, time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return self.path is not None and time.monotonic() - self.last >= EVERY_S

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace what was kept; a disk that is full costs only the checkpoint."""
        import torch

        assert self.path is not None
        self.last = time.monotonic()
        half = self.path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(dict(state), half)
            os.replace(half, self.path)
        except OSError:
            half.unlink(missing_ok=True)

    def read(self) -> dict[str, Any] | None:
        """What an earlier process left, tensors and plain values only; None when there is nothing that can be read."""
        import torch

        if self.path is None or not self.path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            return found
        except Exception:  # half a disk, another version: trained from the start
            self.drop()
            return None

    def drop(self) -> None:
        """Forget it: the fit is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def keeper(net: Any, recipe: Mapping[str, Any], rows: Any, seed: int) -> Keeper:
    """The keeper of this fit: same network, recipe, rows and seed, same file. Outside of a run it keeps nothing.

    Rows are known by their number, all their targets, and what SHOWN of them look like.
    """
    import numpy as np

    place = cache.place()
    if place is None:
        return Keeper(None)
    shapes = [(name, tuple(value.shape)) for name, value in net.state_dict().items()]
    known = (shapes, sorted((str(k), repr(v)) for k, v in recipe.items()), len(rows), seed)
    told = hashlib.sha256(repr(known).encode())
    some = np.unique(np.linspace(0, len(rows) - 1, SHOWN, dtype=np.int64))
    for array in (np.asarray(rows.y), *(one.numpy() for one in rows.inputs(some, False, None))):
        told.update(np.ascontiguousarray(array).tobytes())
    return Keeper(place / FOLDER / f"{told.hexdigest()[:24]}.pt")
