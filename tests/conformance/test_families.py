"""Every family that is found, of every modality, against the public suite."""

import importlib.util

import pytest

from rightfit import cache, registry
from rightfit.errors import Unavailable
from rightfit.testing import check_family

FAMILIES = registry.plugins("rightfit.models")


def cases():
    for family in FAMILIES.values():
        absent = [name for name in family.requires if importlib.util.find_spec(name) is None]
        marks = [pytest.mark.skip(reason=f"needs {', '.join(absent)}")] if absent else []
        if "tensorflow" in family.requires:  # every fit compiles its graph anew: minutes for the family
            marks.append(pytest.mark.slow)
        for name, check in check_family(family):
            yield pytest.param(check, id=f"{family.name}-{name}", marks=marks)


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory):
    with cache.at(tmp_path_factory.mktemp("cache")):
        yield


@pytest.mark.parametrize("check", list(cases()))
def test_family(check):
    try:
        check()
    except Unavailable as error:
        pytest.skip(str(error))


def test_the_families_are_all_there():
    assert {"baseline", "tree", "linear", "naive_bayes", "knn", "svm_linear", "svm_rbf", "random_forest", "extra_trees",
            "lightgbm", "xgboost", "catboost", "mlp", "realmlp", "tabm", "ft_transformer", "blend", "seasonal_naive",
            "ridge_lags"} <= set(FAMILIES)
    for modality in {family.modality for family in FAMILIES.values()}:
        assert sum(family.baseline for family in FAMILIES.values() if family.modality == modality) == 1
