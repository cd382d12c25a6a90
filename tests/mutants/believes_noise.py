"""Encodes a column by the targets of its own rows, and believes it."""

from dataclasses import replace

import numpy as np

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "finds_nothing_in_noise"


class Model(TabularModel):
    def fit(self, data, *, seed, deadline):
        self.known = dict(zip(data.X["code"], data.y, strict=True)) if "code" in data.X else {}
        return super().fit(data, seed=seed, deadline=deadline)

    def predict(self, X):
        out = super().predict(X)
        for i, level in enumerate(X.get("code", ())):
            if level in self.known:
                out[i] = 0.1 * out[i] + 0.9 * np.eye(out.shape[1])[self.known[level]]
        return out


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="believes_noise", build=build)
