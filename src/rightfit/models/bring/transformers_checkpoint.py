"""A text encoder of the user's, a folder or a name on the hub: transformers:FOLDER_OR_NAME?option=value.

It races twice: frozen under a head, and fine-tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rightfit.models.bring import _source
from rightfit.models.text import bert, frozen_encoder
from rightfit.records import Family, Need, Task


def _family(of: Family, name: str) -> Family:
    inner = of.prepare
    assert inner is not None  # both families look for their checkpoint

    def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
        """Params with the checkpoint's folder. Raises UsageError for an unknown option, Unavailable."""
        known = {**frozen_encoder.DEFAULTS, **bert.DEFAULTS}
        place, options = _source.known(str(params["source"]), known)
        own = {key: value for key, value in options.items() if key in of.defaults}
        home = Path(place).expanduser()
        where = {"checkpoint": str(home)} if home.is_dir() else {"encoder": place}
        # An encoder among --weights must not answer in place of the one that is named.
        return inner({**params, **own, **where}, task, need if home.is_dir() else replace(need, weights=tuple(
            weights for weights in need.weights if _named(place, weights))))

    return replace(of, name=name, scheme="transformers", prepare=prepare, variants=(), smoke={}, rank=1,
                   defaults={**of.defaults, "source": ""})


def _named(encoder: str, place: str) -> bool:
    """Whether a place among the weights holds the encoder of this name."""
    from rightfit.errors import Unavailable
    from rightfit.models._nn import weights

    try:
        home = weights.folder(encoder, (place,))
    except Unavailable:
        return False
    return home.resolve().is_relative_to(Path(place).expanduser().resolve())


SPEC = (_family(frozen_encoder.SPEC, "transformers_frozen"), _family(bert.SPEC, "transformers_tuned"))
