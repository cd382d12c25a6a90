"""EfficientNets of timm: Lite-0 from scratch, B0 and V2-B0 from pretrained weights."""

from __future__ import annotations

from rightfit.models.image import _timm
from rightfit.records import Facts

SPEC = _timm.family(
    _timm.maker(_timm.early), step_s=0.015, name="efficientnet",
    facts=Facts(year=2019, paper="Tan & Le 2019, EfficientNet; Tan & Le 2021, EfficientNetV2",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="much accuracy for its size and operations",
                bad_at="depthwise layers train slowly; B0 is slower on CPUs than its operations suggest",
                pretrained="ImageNet-1k, timm/efficientnet_b0.ra_in1k (21 MB), "
                           "timm/tf_efficientnetv2_b0.in1k (29 MB)"),
    defaults={"network": "efficientnet_lite0"},
    variants=({**_timm.TUNED, "network": "efficientnet_b0"}, {**_timm.TUNED, "network": "tf_efficientnetv2_b0"}),
    smoke={"network": "test_efficientnet", "epochs": 10, "size": 24, "learning_rate": 0.01,
           "augment": "none"},
    rank=23)
