"""Every drift test that is found: size, power, determinism; and broken ones, which must fail."""

import numpy as np
import pytest

from rightfit import registry
from rightfit.delivery.monitor.drift._spec import DriftTest
from rightfit.testing import check_drift_test

TESTS = registry.plugins("rightfit.delivery.monitor.drift")
CASES = [pytest.param(run, id=f"{spec.name}-{name}") for spec in TESTS.values() for name, run in check_drift_test(spec)]


def test_the_tests_of_the_issue_are_here():
    assert {"ks", "chi_square", "wasserstein", "energy", "psi", "classifier", "mmd"} <= set(TESTS)
    assert [name for name, spec in TESTS.items() if spec.figure_only] == ["psi", "psi_category"]


@pytest.mark.parametrize("check", CASES)
def test_drift(check):
    check()


def anti_conservative(reference, window, rng):
    p, effect = TESTS["ks"].run(reference, window, rng)
    return p / 3, effect


def sure_at_one_percent(reference, window, rng):
    p, effect = TESTS["ks"].run(reference, window, rng)
    return (p / 5 if p < 0.05 else p), effect


def unpooled(reference, window, rng):
    from scipy import stats

    counts = np.unique(np.concatenate([reference, window]), return_inverse=True)[1]
    table = np.stack([np.bincount(side, minlength=counts.max() + 1)
                      for side in (counts[:len(reference)], counts[len(reference):])])
    terms = ((table[1] / len(window) - table[0] / len(reference))**2 / (table[0] + 0.5) * len(reference)**2)
    return float(stats.chi2.sf(terms.sum(), table.shape[1] - 1)), 0.0


def blind(reference, window, rng):
    return 1.0, 0.0


def careless(reference, window, rng):
    reference.sort()
    return TESTS["ks"].run(reference, window, rng)


def restless(reference, window, rng):
    return TESTS["wasserstein"].run(reference, window, np.random.default_rng())


def global_state(reference, window, rng):
    p, effect = TESTS["ks"].run(reference, window, rng)
    return p, min(effect + 1e-9 * np.random.rand() * 0, 1.0)


def one_sided(reference, window, rng):
    p, effect = TESTS["ks"].run(reference, window, rng)
    return (p if np.mean(window) > np.mean(reference) else 1.0), effect


def unbounded(reference, window, rng):
    p, effect = TESTS["ks"].run(reference, window, rng)
    return p, 3 * effect


@pytest.mark.parametrize(("run", "on", "fails"), [
    (anti_conservative, "number", "keeps_its_size"), (sure_at_one_percent, "number", "keeps_its_size"),
    (unpooled, "category", "keeps_its_size"), (blind, "number", "has_power"),
    (careless, "number", "changes_nothing_and_gives_the_same"),
    (restless, "number", "changes_nothing_and_gives_the_same"),
    (global_state, "number", "changes_nothing_and_gives_the_same"),
    (one_sided, "number", "says_the_same_of_either_side"), (unbounded, "number", "survives_hard_sides")])
def test_a_broken_test_is_rejected(run, on, fails):
    suite = dict(check_drift_test(DriftTest(name="broken", on=on, figure_only=False, source="", run=run)))
    with pytest.raises(AssertionError, match=r"\.$"):
        suite[fails]()


def test_a_figure_that_gives_p_is_rejected():
    suite = dict(check_drift_test(DriftTest(name="b", on="number", figure_only=True, source="", run=blind)))
    with pytest.raises(AssertionError, match="figure only"):
        suite["survives_hard_sides"]()


def test_rare_categories_are_put_together():
    reference = np.array(["a"] * 150 + ["b"] * 140 + [f"r{i}" for i in range(10)], object)
    window = np.array(["a"] * 150 + ["b"] * 140 + [f"s{i}" for i in range(10)], object)
    assert TESTS["chi_square"].run(reference, window, None) == (1.0, 0.0)
    assert TESTS["chi_square"].run(reference, np.array(["new"] * 300, object), None)[1] == 1.0


def test_effects_are_in_their_units():
    rng = np.random.default_rng(0)
    x, y = rng.normal(10, 4, 4000), rng.normal(14, 4, 4000)
    assert TESTS["wasserstein"].run(x, y, rng)[1] == pytest.approx(1.0, abs=0.1)
    assert TESTS["ks"].run(x, y, rng)[1] == pytest.approx(0.383, abs=0.03)  # 2 Phi(1/2) - 1
    assert TESTS["energy"].run(x, x + 1000, rng)[1] == pytest.approx(1.0, abs=0.02)
    assert TESTS["psi"].run(x, x, rng) == (None, 0.0)
    vectors = rng.normal(size=(2, 3000, 1)).astype(np.float32)
    vectors[1] += 1
    assert TESTS["classifier"].run(*vectors, rng)[1] == pytest.approx(0.52, abs=0.05)  # 2 Phi(1/sqrt 2) - 1
