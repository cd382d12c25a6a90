"""Mobile networks of timm: V3 small from scratch; V2, V3 and V4 from pretrained weights."""

from __future__ import annotations

from typing import Any

from rightfit.models.image import _timm
from rightfit.records import Facts


def _small(net: Any, side: int) -> Any:
    """For the smallest pictures the first stage keeps their resolution too."""
    net = _timm.early(net, side)
    halving = [m for m in net.blocks.modules() if getattr(m, "stride", None) == (2, 2)]
    if side <= 32 and halving:
        halving[0].stride = (1, 1)
    return net



SPEC = _timm.family(
    _timm.maker(_small), step_s=0.006, name="mobilenet",
    facts=Facts(year=2018, paper="Sandler et al. 2018 (V2); Howard et al. 2019 (V3); Qin et al. 2024 (V4)",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="few milliseconds and few megabytes on a CPU; fine-tunes well",
                bad_at="batch statistics of small batches; loses more than others when quantised",
                pretrained="ImageNet-1k, timm/mobilenetv2_100.ra_in1k (14 MB), timm/mobilenetv3_large_100.ra_in1k "
                           "(22 MB), timm/mobilenetv4_conv_small.e2400_r224_in1k (15 MB)"),
    defaults={"network": "mobilenetv3_small_050"},
    variants=({**_timm.TUNED, "network": "mobilenetv2_100"}, {**_timm.TUNED, "network": "mobilenetv3_large_100"},
              {**_timm.TUNED, "network": "mobilenetv4_conv_small"}),
    smoke={"network": "test_efficientnet", "epochs": 10, "size": 24, "learning_rate": 0.01,
           "augment": "none"},
    rank=20)
