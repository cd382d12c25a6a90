"""Pulls every prediction towards the mean of the rows that happen to be predicted together."""

from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "row_is_independent_of_its_batch"


class Model(TabularModel):
    def predict_matrix(self, matrix):
        out = super().predict_matrix(matrix)
        return 0.9 * out + 0.1 * out.mean(axis=0)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="depends_on_batch", build=build)
