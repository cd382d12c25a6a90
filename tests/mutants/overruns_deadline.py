"""Works on for a fixed time whatever the deadline says."""

import time
from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "obeys_the_deadline"


class Model(TabularModel):
    def fit(self, data, *, seed, deadline):
        time.sleep(2.2)
        return super().fit(data, seed=seed, deadline=deadline)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="overruns_deadline", build=build)
