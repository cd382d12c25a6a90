"""Any network of timm by its name: timm:NAME?option=value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rightfit.errors import Unavailable
from rightfit.models.bring import _source
from rightfit.models.image import _timm
from rightfit.records import Facts, Need, Task

_FAMILY = _timm.family(
    _timm.maker(), step_s=0.03, name="timm",
    facts=Facts(year=2019, paper="Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="a network that the user trusts, under the same recipe as all others",
                bad_at="many are too slow for a CPU", pretrained="what its name says; pretrained=false: from scratch"),
    defaults={"source": "", **_timm.TUNED}, rank=1)
_SCRATCH = {name: _timm.SCRATCH[name] for name in _timm.TUNED if name in _timm.SCRATCH}


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the network's name, the user's options, and where its weights lie.

    Raises UnknownName for no network of timm, UsageError for an unknown option, Unavailable without the weights.
    """
    name, options = _source.known(str(params["source"]), _timm.SCRATCH)
    _timm.create(name, 1)
    chosen = {**params, **({} if options.get("pretrained", True) else _SCRATCH), **options, "network": name}
    try:
        return _timm.prepare(chosen, task, need)
    except Unavailable as error:
        raise Unavailable(f"{str(error).rstrip('.')}, or train it from scratch: timm:{name}?pretrained=false."
                          ) from error


SPEC = replace(_FAMILY, scheme="timm", prepare=prepare, smoke={})
