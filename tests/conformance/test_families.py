"""Every tabular family that is found, against the public suite."""

import importlib.util

import pytest

from rightfit import registry
from rightfit.testing import check_family

FAMILIES = registry.plugins("rightfit.models.tabular")


def cases():
    for family in FAMILIES.values():
        absent = [name for name in family.requires if importlib.util.find_spec(name) is None]
        marks = [pytest.mark.skip(reason=f"needs {', '.join(absent)}")] if absent else []
        for name, check in check_family(family):
            yield pytest.param(check, id=f"{family.name}-{name}", marks=marks)


@pytest.mark.parametrize("check", list(cases()))
def test_family(check):
    check()


def test_the_families_are_all_there():
    assert {"baseline", "tree", "linear", "naive_bayes", "knn", "svm_linear", "svm_rbf", "random_forest", "extra_trees",
            "lightgbm", "xgboost", "catboost", "mlp"} <= set(FAMILIES)
    assert sum(family.baseline for family in FAMILIES.values()) == 1
