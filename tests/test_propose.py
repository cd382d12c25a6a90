"""Grid, random and TPE proposals, and candidates without a regulariser."""

import itertools

import numpy as np

from rightfit.records import Candidate, Dimension, Facts, Family
from rightfit.tuning import propose

FACTS = Facts(year=2000, paper="", licence="", framework="", good_at="")
SPACE = {"depth": Dimension(low=1, high=9, whole=True), "rate": Dimension(low=1e-3, high=1.0, log=True),
         "kind": Dimension(choices=("a", "b")), "l2": Dimension(low=0.0, high=10.0)}


def family(**changes):
    fields = {"name": "toy", "modality": "toy", "problems": ("regression",), "build": lambda params, task: None,
              "facts": FACTS, "space": SPACE,
              "defaults": {"depth": 3, "rate": 0.1, "kind": "a", "l2": 1.0, "stop": True},
              "regularisers": ("l2", "stop")}
    return Family(**(fields | changes))


def test_the_grid_has_every_point_once():
    found = list(propose.grid({"toy": family()}))
    assert len(found) == 3 * 3 * 2 * 3 == len({c.key for c in found})


def test_random_points_lie_in_the_space_and_follow_the_seed():
    first, again, other = (list(itertools.islice(propose.random({"toy": family()}, seed), 20)) for seed in (1, 1, 2))
    assert first == again != other
    assert all(1 <= c.params["depth"] <= 9 and 1e-3 <= c.params["rate"] <= 1 for c in first)


def test_tpe_learns_where_the_good_points_are():
    spec = family(space={"l2": Dimension(low=0.0, high=10.0)})
    seen = []
    for _ in range(40):
        candidate = propose.tpe(spec, seen, 0)
        seen.append((candidate, -abs(candidate.params["l2"] - 7.0)))
    late = np.median([abs(c.params["l2"] - 7.0) for c, _ in seen[-10:]])
    early = np.median([abs(c.params["l2"] - 7.0) for c, _ in seen[:10]])
    assert late < early


def test_tpe_is_rebuilt_from_what_was_seen():
    seen = [(Candidate(family="toy", params={"l2": v, "depth": 2, "rate": 0.5, "kind": "b"}), -v) for v in range(9)]
    assert propose.tpe(family(), seen, 3) == propose.tpe(family(), seen, 3)


def test_each_regulariser_can_be_taken_away():
    candidate = Candidate(family="toy", params=family().defaults)
    without = propose.unregularised(candidate, family())
    assert without["l2"].params["l2"] == 0.0 and without["stop"].params["stop"] is False
