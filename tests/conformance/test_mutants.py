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
    for name in module.SPEC.requires:
        pytest.importorskip(name)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_mutant_is_rejected(path):
    mutant = load(path)
    checks = dict(check_family(mutant.SPEC, "binary"))
    with pytest.raises(AssertionError, match="must"):
        checks[f"binary-{mutant.FAILS}"]()


def test_there_are_mutants_enough():
    assert len(FILES) >= 15


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_family_it_was_made_from_passes(path):
    mutant = load(path)
    checks = dict(check_family(getattr(mutant, "FAMILY", tree.SPEC), "binary"))
    checks[f"binary-{mutant.FAILS}"]()


def test_an_expected_failure_that_passes_is_a_failure():
    wrong = replace(tree.SPEC, xfail={"learns": "said to fail"})
    with pytest.raises(AssertionError, match="remove it"):
        dict(check_family(wrong, "binary"))["binary-learns"]()
    right = replace(load(FILES[[p.stem for p in FILES].index("learns_nothing")]).SPEC, xfail={"learns": "a constant"})
    dict(check_family(right, "binary"))["binary-learns"]()
    only = replace(tree.SPEC, xfail={"regression-learns": "of another problem"})
    dict(check_family(only, "binary"))["binary-learns"]()


def test_what_is_dear_is_checked_once_in_full():
    made = replace(tree.SPEC, modality="image", problems=("binary", "multiclass", "multilabel", "regression"))
    names = [name for name, _ in check_family(made)]
    assert "multiclass-obeys_the_deadline" in names and "regression-learns" in names and "stated" in names
    assert [n for n in names if n.startswith("binary-")] == ["binary-predicts_properly"]
    assert "binary-obeys_the_deadline" in dict(check_family(made, "binary"))


def test_a_family_of_the_users_own_models_is_built_only_with_smoke_parameters():
    assert [name for name, _ in check_family(replace(tree.SPEC, scheme="own", smoke={}))] == ["stated"]
