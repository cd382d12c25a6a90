"""ConvNeXts of timm: Atto from scratch and from pretrained weights, Nano from pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.image import _timm
from rightfit.records import Facts


def _stem(side: int, params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"patch_size": 2} if side <= _timm.SMALL else {}


def _small(net: Any, side: int) -> Any:
    """With a stem of stride 2 timm halves once more before the first stage; small pictures do not."""
    if side <= _timm.SMALL:
        first = net.stages[0].downsample[-1]
        first.stride, first.padding = (1, 1), (1, 1)
    return net


SPEC = _timm.family(
    _timm.maker(_small, _stem), step_s=0.01, name="convnext",
    facts=Facts(year=2022, paper="Liu et al. 2022, A ConvNet for the 2020s; Atto: Wightman 2022",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="fine-tuning; no batch statistics",
                bad_at="few images from scratch; large depthwise kernels are slow on CPUs",
                pretrained="ImageNet-1k, timm/convnext_atto.d2_in1k (15 MB), timm/convnext_nano.in12k_ft_in1k (62 MB)"),
    defaults={"network": "convnext_atto", "learning_rate": 2e-3, "drop_path_rate": 0.05},
    variants=({**_timm.TUNED, "network": "convnext_atto", "learning_rate": 1e-3},
              {**_timm.TUNED, "network": "convnext_nano", "learning_rate": 1e-3}),
    smoke={"network": "test_convnext", "epochs": 12, "size": 32, "learning_rate": 5e-3, "augment": "none"},
    rank=35)
