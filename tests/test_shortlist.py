"""The order in which candidates get their first turn."""

from rightfit.records import Candidate
from rightfit.tuning.shortlist import _pretrained_first


def test_a_family_starts_with_its_pretrained_candidate_where_weights_are_at_hand():
    a, a2, a3 = (Candidate(family="a", params=p) for p in ({"weights": ""}, {"weights": "x"}, {"weights": "y"}))
    b, b2 = Candidate(family="b", params={"depth": 1}), Candidate(family="b", params={"depth": 2})
    c, c2 = Candidate(family="c", params={"weights": "z"}), Candidate(family="c", params={"weights": "w"})
    assert _pretrained_first([a, b, c, a2, a3, b2, c2]) == (a2, b, c, a, a3, b2, c2)
