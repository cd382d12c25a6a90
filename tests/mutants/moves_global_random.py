"""Draws from the standard library's generator, which belongs to whoever calls."""

import random
from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "same_seed_same_predictions"


class Model(TabularModel):
    def fit(self, data, *, seed, deadline):
        random.random()
        return super().fit(data, seed=seed, deadline=deadline)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="moves_global_random", build=build)
