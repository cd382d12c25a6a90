"""VGG networks: a narrow VGG-11 with batch norm from scratch, VGG-11 and VGG-16 from pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.image import _timm
from rightfit.models.image._graph import IMAGENET, pictured
from rightfit.records import Facts

NARROW = (24, "M", 48, "M", 96, 96, "M", 192, 192, "M", 192, 192)


def _narrow(params: Mapping[str, Any], side: int, outputs: int) -> Any:
    """VGG-11's layers at 0.375 of their width; pooled, where VGG flattens into 100 million weights."""
    import torch

    layers: list[Any] = []
    channels = 3
    width = float(params.get("width", 1.0))
    for entry in NARROW:
        if entry == "M":
            layers.append(torch.nn.MaxPool2d(2))
            continue
        wide = max(int(int(entry) * width), 4)
        layers += [torch.nn.Conv2d(channels, wide, 3, padding=1, bias=False), torch.nn.BatchNorm2d(wide),
                   torch.nn.ReLU(inplace=True)]
        channels = wide
    if side > _timm.SMALL:
        layers.append(torch.nn.MaxPool2d(2))
    features = torch.nn.Sequential(*layers)
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                               torch.nn.Dropout(float(params["drop_rate"])), torch.nn.Linear(channels, outputs))
    return pictured(torch.nn.Sequential(features, head), [features, head], side, *IMAGENET)


def _make(params: Mapping[str, Any], side: int, outputs: int) -> Any:
    return _narrow(params, side, outputs) if params["network"] == "vgg11_narrow" else _timm.maker()(
        params, side, outputs)


SPEC = _timm.family(
    _make, step_s=0.003, name="vgg",
    facts=Facts(year=2014, paper="Simonyan & Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image "
                                 "Recognition; batch norm: Ioffe & Szegedy 2015",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="plain layers that every runtime and accelerator is fast at; small pictures",
                bad_at="the pretrained ones weigh 500 MB; less accurate for their cost than later networks",
                pretrained="ImageNet-1k, timm/vgg11_bn.tv_in1k (532 MB), timm/vgg16_bn.tv_in1k (554 MB)"),
    defaults={"network": "vgg11_narrow", "width": 1.0},
    variants=({**_timm.TUNED, "network": "vgg11_bn"}, {**_timm.TUNED, "network": "vgg16_bn"}),
    smoke={"network": "vgg11_narrow", "width": 0.25, "epochs": 8, "size": 32, "learning_rate": 0.01,
           "augment": "none"}, rank=40)
