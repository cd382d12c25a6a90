"""Pictures made here: easy problems for the conformance suite, and hard rows that every model must survive."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.data._media import decode
from rightfit.records import Column, Dataset, Problem, Schema, Task

COLUMN = "image"
SCHEMA = Schema(columns=(Column(name=COLUMN, kind="image", dtype="object"),))


def png(pixels: Any, mode: str | None = None) -> str:
    """A uint8 array (h, w[, c]) as the data URI of a PNG, first converted to `mode`."""
    from PIL import Image

    into = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    (image if mode is None else image.convert(mode)).save(into, "PNG")
    return decode.uri(into.getvalue())


def _draw(colour: float, disc: bool, rng: Any) -> Any:
    """A noisy picture of 24 to 32 pixels, the redder (and the less blue) the higher `colour`, with a bright disc or
    square in it."""
    height, width = rng.integers(24, 33, 2)
    red = 128 + 45 * np.clip(colour, -2.5, 2.5)
    picture = np.stack([np.full((height, width), level) for level in (red, 90.0, 255 - red)], axis=-1)
    y, x = np.mgrid[:height, :width]
    radius = rng.uniform(6, 8)
    cy, cx = height * rng.uniform(0.4, 0.6), width * rng.uniform(0.4, 0.6)
    inside = (y - cy) ** 2 + (x - cx) ** 2 < radius ** 2 if disc else \
        np.maximum(abs(y - cy), abs(x - cx)) < 0.35 * radius
    picture[inside] = 235
    return np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255)


def example(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """Pictures (n) whose colour and shape tell the target, and their task; `noise` shuffles the target."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    colour, disc = rng.normal(size=n), rng.random(n) < 0.5
    refs = [png(_draw(c, d, rng)) for c, d in zip(colour, disc, strict=True)]
    y, classes = _target(problem, colour, disc, rng)
    if noise:
        y = y[rng.permutation(n)]
    outputs = y.shape[1] if y.ndim == 2 else 1
    names = ("label",) if outputs == 1 else tuple(f"label{i}" for i in range(outputs))
    task = Task(modality="image", problem=problem, target=names, metric="", classes=classes, outputs=outputs, rows=n,
                features=1)
    return Dataset(X=pd.DataFrame({COLUMN: pd.Series(refs, dtype=object)}), y=y, schema=SCHEMA), task


def _target(problem: Problem, colour: Any, disc: Any, rng: Any) -> tuple[Any, tuple[str, ...]]:
    if problem == "binary":
        return (colour > 0.3).astype(np.int64), ("blue", "red")
    if problem == "multiclass":
        return np.digitize(colour, [-0.5, 0.5]).astype(np.int64), ("blue", "purple", "red")
    if problem == "multilabel":
        return np.column_stack([colour > 0, disc]).astype(np.int8), ("red", "disc")
    return 3e5 + 1e4 * (np.clip(colour, -2.5, 2.5) + 0.1 * rng.normal(size=len(colour))), ()


def hard() -> Mapping[str, Any]:
    """{what is hard: one-row frame}: one pixel, grey, transparent, palette, black and white, very wide, constant."""
    import pandas as pd

    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (24, 30, 3))
    clear = np.concatenate([colour, rng.integers(0, 256, (24, 30, 1))], axis=-1)
    made = {"one pixel": png(colour[:1, :1]), "grey": png(colour[..., 0]), "transparent": png(clear),
            "palette": png(colour, "P"), "two colours": png(colour, "1"),
            "very wide": png(rng.integers(0, 256, (2, 900, 3))), "very tall": png(rng.integers(0, 256, (700, 1, 3))),
            "constant": png(np.zeros((20, 20, 3)))}
    return {name: pd.DataFrame({COLUMN: pd.Series([ref], dtype=object)}) for name, ref in made.items()}
