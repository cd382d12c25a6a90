"""Is measured before training as another network than the one that is trained: four times as wide."""

from dataclasses import replace

from rightfit.models.image import cnn as base

FAILS = "untrained_costs_the_same"
FAMILY = base.SPEC


def untrained(params, task, data):
    return base.SPEC.untrained({**params, "width": int(params["width"]) * 4}, task, data)


SPEC = replace(base.SPEC, name="untrained_is_wider", untrained=untrained)
