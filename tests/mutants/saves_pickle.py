"""Puts a pickle beside its graph."""

import pickle
from dataclasses import replace

from rightfit.models.tabular import tree
from rightfit.models.tabular._pipeline import TabularModel

FAILS = "saves_safely_and_exactly"


class Model(TabularModel):
    def save(self, folder):
        (folder / "extra.json").write_bytes(pickle.dumps({"why": "not"}))
        return super().save(folder)


def build(params, task):
    return Model(task, {**tree.DEFAULTS, **params}, tree._learn, {"impute": "median"})


SPEC = replace(tree.SPEC, name="saves_pickle", build=build)
