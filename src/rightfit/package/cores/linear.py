"""Linear weights over sparse features, as safetensors: numpy only, microseconds for a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rightfit.models.text._bag import read
from rightfit.package.cores import Core


def load(path: Path) -> Callable[[Any], Any]:
    """The function from rows (indptr, indices, values) of n to predictions (n, k). Raises PackageError."""
    return read(path)


SPEC = Core(name="linear", load=load, requires=("safetensors",))
