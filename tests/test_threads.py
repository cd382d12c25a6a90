"""How many threads are worth having: decided by what meeting threads get done, not by how many cores there are."""

import pytest

from rightfit.models.tabular._parts import threads as of_a_fit
from rightfit.resources import threads


def test_the_gain_is_work_over_time(monkeypatch):
    walls = iter([2.0, 2.5])
    monkeypatch.setattr(threads, "_timed", lambda run: (run(), next(walls))[1])
    done = []
    assert threads.gain(2, steps=3, work=done.append) == pytest.approx(2 * 2.0 / 2.5)
    assert len(done) == 2 + 3 + 2 * 3  # two to find out how long one takes, then alone, then both


def test_nobody_is_a_step_ahead():
    order = []

    def step():
        order.append(len(order))

    threads._together(3, 20, step)
    assert len(order) == 60


@pytest.mark.parametrize(("gains", "found"), [({4: 3.2, 2: 1.9}, 4), ({4: 1.5, 2: 1.9}, 2), ({4: 0.4, 2: 0.7}, 1)])
def test_the_most_that_are_worth_it(monkeypatch, gains, found):
    monkeypatch.setattr(threads, "gain", lambda count: gains[count])
    assert threads.worth(4) == found and threads.worth(1) == 1


def test_a_fit_beside_others_has_one(monkeypatch):
    monkeypatch.delenv("RIGHTFIT_THREADS", raising=False)
    assert of_a_fit() == 1
    monkeypatch.setenv("RIGHTFIT_THREADS", "2")
    assert of_a_fit() == 2
