"""Predicts one thing and saves another: the graph leaves out a last correction."""

from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "saves_safely_and_exactly"


class Model(TabularModel):
    def predict_matrix(self, matrix):
        return 0.99 * super().predict_matrix(matrix) + 0.01 / len(self.offset)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="saves_other_model", build=build)
