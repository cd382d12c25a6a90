"""Residual networks of timm: ResNet-10-T from scratch, ResNet-18 and ResNet-50 from pretrained weights."""

from __future__ import annotations

from typing import Any

from rightfit.models.image import _timm
from rightfit.records import Facts


def _small(net: Any, side: int) -> Any:
    """For small pictures the stem keeps their resolution; its pooling stays, which makes it four times as fast."""
    import torch

    if side <= _timm.SMALL:
        for module in net.conv1.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.stride = (1, 1)
    return net


SPEC = _timm.family(
    _timm.maker(_small), step_s=0.008, name="resnet",
    facts=Facts(year=2015, paper="He et al. 2016, Deep Residual Learning for Image Recognition; recipes: Wightman et "
                                 "al. 2021, ResNet strikes back",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="a strong default that trains stably and quantises well",
                bad_at="slower than mobile networks on a CPU; few images without pretrained weights",
                pretrained="ImageNet-1k, timm/resnet18.a1_in1k (47 MB), timm/resnet50.a1_in1k (102 MB)"),
    defaults={"network": "resnet10t"},
    variants=({**_timm.TUNED, "network": "resnet18"}, {**_timm.TUNED, "network": "resnet50", "learning_rate": 1e-3}),
    smoke={"network": "test_resnet", "epochs": 8, "size": 24, "learning_rate": 0.01, "augment": "none"},
    rank=26)
