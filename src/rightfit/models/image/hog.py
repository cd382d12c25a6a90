"""Histograms of oriented gradients and of colours under a linear, support vector or k-NN head, in one graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rightfit.models.image import _timm
from rightfit.models.image._features import FeatureModel
from rightfit.records import Dataset, Dimension, Facts, Family, Task

# Cells, blocks and nine unsigned directions as in Dalal & Triggs 2005; eight cells along a side at any size.
DEFAULTS: Mapping[str, Any] = {"size": 0, "cells": 8, "directions": 9, "colours": 8, "head": "svm", "l2": "auto",
                               "neighbours": 20, "early_stopping": True}
CLIP = 0.2
VERSION = 1


class HogModel(FeatureModel):
    """The features at `size` pixels (0: the pictures' own, at most 64)."""

    def _size(self, natural: int) -> int:
        asked = int(self.params.get("size") or 0) or min(natural, 64)
        cells = int(self.params["cells"])
        return max(asked // cells, 2) * cells

    def _name(self) -> str:
        return "-".join(["hog", str(VERSION), *(str(self.params[n]) for n in ("cells", "directions", "colours"))])

    def _encoder(self) -> Any:
        return encoder(self.size, int(self.params["cells"]), int(self.params["directions"]),
                       int(self.params["colours"]))


def encoder(size: int, cells: int, directions: int, colours: int) -> Any:
    """A torch module from pixels (n, size, size, 3) to (n, d): gradient histograms of blocks of 2 x 2 cells, colour
    histograms of quarters of the picture, and its colours at 4 x 4 places."""
    import torch
    from torch.nn import functional as f

    class Histograms(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """HOG and colours."""

        grey: Any
        sides: Any
        around: Any
        levels: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("grey", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))
            step = torch.tensor([[0.0, 0.0, 0.0], [-0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
            self.register_buffer("sides", torch.stack([step, step.T])[:, None])
            angle = torch.arange(directions) * math.pi / directions
            self.register_buffer("around", torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None, None])
            self.register_buffer("levels", torch.linspace(0, 1, colours).view(1, 1, -1, 1, 1))

        def gradients(self, x: Any) -> Any:
            """(n, d): energy of each direction in each cell, normalised block by block, clipped, normalised again."""
            slope = f.conv2d(f.pad((x * self.grey).sum(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate"),
                             self.sides)
            size2 = (slope**2).sum(dim=1, keepdim=True)
            along = f.conv2d(slope, self.around) ** 2 / (size2 + 1e-8)
            # cos^8 of the angle to each direction: a soft vote whose neighbours get 0.6, the next ones 0.1.
            energy = f.avg_pool2d(along**4 * (size2 + 1e-8).sqrt(), size // cells)
            blocks = torch.cat([energy[:, :, :-1, :-1], energy[:, :, 1:, :-1], energy[:, :, :-1, 1:],
                                energy[:, :, 1:, 1:]], dim=1)
            blocks = blocks / ((blocks**2).sum(dim=1, keepdim=True) + 1e-4).sqrt()
            blocks = blocks.clamp(max=CLIP)
            return (blocks / ((blocks**2).sum(dim=1, keepdim=True) + 1e-6).sqrt()).flatten(1)

        def colouring(self, x: Any) -> Any:
            """(n, d): soft histograms of each channel in each quarter, and mean colours."""
            near = (1 - (x[:, :, None] - self.levels).abs() * (colours - 1)).clamp(min=0).flatten(1, 2)
            half = size // 2
            return torch.cat([f.avg_pool2d(near, half).flatten(1), f.avg_pool2d(x, size // 4).flatten(1)], dim=1)

        def forward(self, x: Any) -> Any:
            x = x.permute(0, 3, 1, 2).float() / 255
            return torch.cat([self.gradients(x), self.colouring(x)], dim=1)

    return Histograms()


def build(params: Mapping[str, Any], task: Task) -> HogModel:
    """An unfitted model of gradient and colour histograms."""
    return HogModel(task, {**DEFAULTS, **params})


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Any:
    """The features with a head that answers the class frequencies; it costs what the fitted one costs."""
    return build(params, task).untrained(data)


SPEC = Family(
    name="hog", modality="image", problems=_timm.PROBLEMS, build=build,
    facts=Facts(year=2005, paper="Dalal & Triggs 2005, Histograms of Oriented Gradients; colour histograms: Swain & "
                                 "Ballard 1991; the head: Cortes & Vapnik 1995",
                licence="Apache-2.0", framework="torch",
                good_at="shapes in place, few pictures, nothing to download, under a millisecond",
                bad_at="photographs of things that stand anywhere"),
    space={"head": Dimension(choices=("linear", "svm")), "cells": Dimension(choices=(4, 8)),
           "directions": Dimension(choices=(6, 9, 12))},
    defaults=DEFAULTS, variants=({"head": "linear", "cells": 4},),
    regularisers=("head", "cells"), handles=frozenset({"weights", "imbalance"}),
    seconds=lambda task: 2.0 + 2e-3 * max(task.rows, 1), requires=("torch", "torchvision"), untrained=untrained,
    rung=0.25,
    smoke={"size": 32, "cells": 4}, rank=29)
