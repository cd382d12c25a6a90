"""Pixels as the training loop wants them: rows of a cached table, augmented picture by picture."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from rightfit.records import Task

MANY = 20_000  # rows from which on more of the same tells more than distorted copies do
SIDED = ("left", "right", "clockwise")


class Pixels:
    """Rows for the loop: uint8 (n, size, size, 3), shown to the net as they are, or augmented while training.

    table: what `take(positions)` gives pixels of, `index` the rows of it that these are. augment: none, light or
    strong. flip: whether a mirrored picture is still of its class.
    """

    def __init__(self, table: Any, index: Any, y: Any, weight: Any = None, groups: Any = None, *,
                 augment: str = "none", flip: bool = True) -> None:
        self.table, self.index, self.y, self.weight, self.groups = table, np.asarray(index), y, weight, groups
        self.augment, self.flip = augment, flip

    def __len__(self) -> int:
        return len(self.index)

    def take(self, positions: Any) -> Pixels:
        """The rows at positions (m,)."""
        def pick(values: Any) -> Any:
            return None if values is None else values[positions]

        return Pixels(self.table, self.index[positions], pick(self.y), pick(self.weight), pick(self.groups),
                      augment=self.augment, flip=self.flip)

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        """One uint8 tensor (m, size, size, 3)."""
        import torch

        x = torch.from_numpy(self.table.take(self.index[positions]))
        change = _transforms(self.augment, int(x.shape[1]), self.flip) if training else None
        if change is None:
            return (x,)
        # One by one, because a transform draws once for whatever it is handed.
        return (torch.stack([change(one) for one in x.permute(0, 3, 1, 2)]).permute(0, 2, 3, 1),)


@cache
def _transforms(strength: str, size: int, flip: bool) -> Any:
    """A torchvision transform of one picture uint8 (3, size, size), or None."""
    if strength == "none":
        return None
    import torch
    from torchvision.transforms import v2

    # Small pictures are moved as for CIFAR (He et al. 2016), larger ones cropped as for ImageNet, but more gently.
    crop = v2.RandomCrop(size, padding=max(size // 8, 1), padding_mode="reflect") if size <= 64 else \
        v2.RandomResizedCrop(size, scale=(0.5, 1.0), ratio=(0.8, 1.25), antialias=False)
    steps: list[Any] = [crop, *([v2.RandomHorizontalFlip()] if flip else [])]
    if strength == "strong":
        steps += [v2.TrivialAugmentWide() if flip else v2.ColorJitter(0.4, 0.4, 0.4), v2.RandomErasing(p=0.25)]
    else:
        steps += [v2.RandomApply([v2.ColorJitter(0.2, 0.2, 0.2)], p=0.5)]
    assert torch is not None
    return v2.Compose(steps)


def strength(asked: str, rows: int, epochs: int) -> str:
    """How much to augment: as asked, else (auto) strongly where rows are seen often, lightly where there are many.

    >>> strength("auto", 300, 30), strength("auto", 50_000, 30), strength("auto", 300, 5), strength("none", 9, 9)
    ('strong', 'light', 'light', 'none')
    """
    if asked != "auto":
        return asked
    return "strong" if rows < MANY and epochs >= 20 else "light"


def mirrors(task: Task) -> bool:
    """Whether pictures may be mirrored: not digits, letters, or classes that name a side.

    >>> mirrors(Task(modality="image", problem="binary", target=("y",), metric="", classes=("left turn", "no turn")))
    False
    """
    names = [name.strip().lower() for name in task.classes]
    signs = bool(names) and all(len(name) == 1 or name.isdigit() for name in names)
    return not signs and not any(side in name.replace("_", " ").replace("-", " ").split() for name in names
                                 for side in SIDED)
