"""Every audit check that is found, on the easy and the hard rows of every modality it is for."""

import pytest

from rightfit import cache, registry
from rightfit.records import Check, Finding
from rightfit.testing import check_audit

CHECKS = registry.plugins("rightfit.data.checks")
PROBLEMS = {"tabular": "multiclass", "image": "multiclass", "text": "multiclass", "sequence": "forecasting"}
QUIET = "is_silent_on_clean_rows"
EXPECTED = {
    ("time_order", "tabular", QUIET): "the easy table has a column of dates, and the check asks about it",
    ("label_errors", "tabular", QUIET): "trees on 160 rows are too sure of themselves; goes when it calibrates them",
}


def cases():
    for check in CHECKS.values():
        for modality, problem in PROBLEMS.items():
            if not check.modalities or modality in check.modalities:
                for name, run in check_audit(check, modality, problem):
                    reason = EXPECTED.get((check.name, modality, name))
                    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
                    yield pytest.param(run, id=f"{check.name}-{modality}-{name}", marks=marks)


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory):
    with cache.at(tmp_path_factory.mktemp("cache")):
        yield


@pytest.mark.parametrize("check", list(cases()))
def test_check(check):
    check()


def loud(data, task, schema, test):
    yield Finding(code="noise", severity="warning", evidence="Something is wrong.", consequence="Nothing follows.")


def careless(data, task, schema, test):
    data.X.iloc[0, 0] = data.X.iloc[1, 0]
    yield from ()


def sparse(data, task, schema, test):
    yield Finding(code="noise", severity="info", evidence="something", consequence="")


def strict(data, task, schema, test):
    yield from (Finding(code="size", severity="info", evidence=f"{row}.", consequence="None.") for row in [data.y[2]])


@pytest.mark.parametrize(("run", "fails"), [
    (loud, "is_silent_on_clean_rows"), (careless, "gives_the_same_and_changes_nothing"),
    (sparse, "survives_few_and_hard_rows"), (strict, "survives_few_and_hard_rows")])
def test_a_broken_check_is_rejected(run, fails):
    suite = dict(check_audit(Check(name="broken", run=run), "tabular"))
    with pytest.raises((AssertionError, IndexError)):
        suite[fails]()
