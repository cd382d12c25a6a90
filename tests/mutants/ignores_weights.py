"""Says that it handles weights and drops them."""

from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "takes_weights"


class Model(TabularModel):
    def fit(self, data, *, seed, deadline):
        return super().fit(replace(data, weight=None), seed=seed, deadline=deadline)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="ignores_weights", build=build)
