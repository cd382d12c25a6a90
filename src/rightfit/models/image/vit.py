"""Vision transformers of timm: small ones from scratch, ViT-Tiny and DeiT-Small from pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models.image import _timm
from rightfit.records import Facts

PATCHES = 8  # along a side, from scratch: attention over 64 patches, as Lee et al. 2021 use for small pictures


def _small(side: int, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """A shallow, narrow transformer whose patches fit the picture."""
    if "vit_tiny" not in str(params["network"]):
        return {"img_size": side}
    return {"img_size": side, "patch_size": max(side // PATCHES, 1), "depth": int(params["depth"]),
            "embed_dim": int(params["width"]), "num_heads": max(int(params["width"]) // 32, 1), "class_token": False,
            "global_pool": "avg"}


SPEC = _timm.family(
    _timm.maker(options=_small), step_s=0.015, prunes=False, name="vit",
    facts=Facts(year=2020, paper="Dosovitskiy et al. 2021, An Image is Worth 16x16 Words; small data: Lee et al. 2021",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="much data or good pretrained weights",
                bad_at="from scratch it needs far more images than convolutions do",
                pretrained="ImageNet-21k and -1k, timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k (23 MB), "
                           "timm/deit_small_patch16_224.fb_in1k (88 MB)"),
    defaults={"network": "vit_tiny_patch16_224", "depth": 6, "width": 128, "learning_rate": 1e-3, "epochs": 40},
    variants=({**_timm.TUNED, "network": "vit_tiny_patch16_224", "learning_rate": 5e-4, "size": 224},
              {**_timm.TUNED, "network": "deit_small_patch16_224", "learning_rate": 5e-4, "size": 224}),
    smoke={"network": "test_vit", "epochs": 10, "size": 32, "learning_rate": 5e-3, "augment": "none"},
    rank=38)
