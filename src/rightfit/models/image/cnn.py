"""A small residual CNN from scratch, sized for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.image import _timm
from rightfit.models.image._graph import IMAGENET, pictured
from rightfit.records import Dimension, Facts


def _make(params: Mapping[str, Any], side: int, outputs: int) -> Any:
    """ResNet-9 (Page 2018): four stages, each halves the picture, the second and the last with a residual pair."""
    import torch

    nn = torch.nn

    class Residual(nn.Module):  # type: ignore[misc, unused-ignore]
        """x + inner(x)."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    def unit(into: int, out: int, pool: int = 1, stride: int = 1) -> Any:
        return nn.Sequential(nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out),
                             nn.ReLU(inplace=True), *([nn.MaxPool2d(pool)] if pool > 1 else []))

    w = int(params["width"])
    parts = [unit(3, w, stride=1 if side <= _timm.SMALL else 2), unit(w, 2 * w, 2),
             Residual(nn.Sequential(unit(2 * w, 2 * w), unit(2 * w, 2 * w))), unit(2 * w, 4 * w, 2),
             unit(4 * w, 8 * w, 2), Residual(nn.Sequential(unit(8 * w, 8 * w), unit(8 * w, 8 * w))),
             nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(float(params["drop_rate"])),
                           nn.Linear(8 * w, outputs))]
    return pictured(nn.Sequential(*parts), parts, side, *IMAGENET)


SPEC = _timm.family(
    _make, step_s=0.004, name="cnn",
    facts=Facts(year=2018, paper="Page 2018, How to Train Your ResNet (ResNet-9); LeCun et al. 1989",
                licence="Apache-2.0", framework="torch",
                good_at="small pictures, many of them; milliseconds on a CPU; nothing to download",
                bad_at="few images: pretrained features are better then"),
    defaults={"network": "resnet9", "width": 24, "epochs": 24, "drop_rate": 0.1},
    variants=({"width": 48, "epochs": 30},), space={"width": Dimension(low=12, high=64, log=True, whole=True)},
    smoke={"width": 8, "epochs": 20, "size": 32, "learning_rate": 3e-3, "augment": "none"}, rank=32)
