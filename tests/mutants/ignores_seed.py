"""Draws from numpy's global generator instead of its seed."""

from dataclasses import replace

import numpy as np

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "same_seed_same_predictions"


class Model(TabularModel):
    def fit(self, data, *, seed, deadline):
        rows = np.random.permutation(len(data))[: len(data) // 2]
        return super().fit(data.take(rows) if len(rows) else data, seed=seed, deadline=deadline)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="ignores_seed", build=build)
