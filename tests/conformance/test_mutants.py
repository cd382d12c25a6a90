"""The suite must reject every broken family of tests/mutants, and by the check that is meant for it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from rightfit.models.tabular import tree
from rightfit.testing import check_family

FILES = sorted((Path(__file__).parent.parent / "mutants").glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(f"mutant_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_mutant_is_rejected(path):
    mutant = load(path)
    checks = dict(check_family(mutant.SPEC, "binary"))
    with pytest.raises(AssertionError, match="must"):
        checks[f"binary-{mutant.FAILS}"]()


def test_there_are_mutants_enough():
    assert len(FILES) >= 6


def test_the_family_they_were_made_from_passes():
    checks = dict(check_family(tree.SPEC, "binary"))
    for name in {load(path).FAILS for path in FILES}:
        checks[f"binary-{name}"]()


def test_an_expected_failure_that_passes_is_a_failure():
    wrong = replace(tree.SPEC, xfail={"learns": "said to fail"})
    with pytest.raises(AssertionError, match="remove it"):
        dict(check_family(wrong, "binary"))["binary-learns"]()
    right = replace(load(FILES[[p.stem for p in FILES].index("learns_nothing")]).SPEC, xfail={"learns": "a constant"})
    dict(check_family(right, "binary"))["binary-learns"]()
