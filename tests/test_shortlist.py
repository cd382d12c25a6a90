"""The order in which candidates get their first turn."""

from rightfit.records import Audit, Candidate, Need, Task
from rightfit.tuning import shortlist
from rightfit.tuning.shortlist import _pretrained_first


def test_a_family_starts_with_its_pretrained_candidate_where_weights_are_at_hand():
    a, a2, a3 = (Candidate(family="a", params=p) for p in ({"weights": ""}, {"weights": "x"}, {"weights": "y"}))
    b, b2 = Candidate(family="b", params={"depth": 1}), Candidate(family="b", params={"depth": 2})
    c, c2 = Candidate(family="c", params={"weights": "z"}), Candidate(family="c", params={"weights": "w"})
    assert _pretrained_first([a, b, c, a2, a3, b2, c2], 50_000) == (a2, b, c, a, a3, b2, c2)


def test_in_a_short_budget_what_is_slow_waits():
    task = Task(modality="tabular", problem="binary", target=("y",), metric="roc_auc", classes=("a", "b"), rows=10_000,
                features=30)
    clean = Audit(rows=10_000, columns=31, findings=())
    short, long = (shortlist.shortlist(task, clean, Need(budget=budget, workers=2)) for budget in ("9s", "90s"))
    before = [c.family for c in short.candidates[:4]]
    assert "catboost" not in before and "lightgbm" in before[:2]
    assert "catboost" in [c.family for c in long.candidates[:3]]
    assert {c.key for c in short.candidates} == {c.key for c in long.candidates}


def test_few_rows_are_not_spent_on_networks_from_nothing():
    found = {"weights": "file", "pretrained": True}
    hog, net, tuned = (Candidate(family=name, params=params) for name, params in (
        ("hog", {}), ("resnet", {"pretrained": False}), ("mobilenet", found)))
    assert _pretrained_first([net, hog, tuned], 5000) == (hog, tuned, net)
    assert _pretrained_first([net, hog, tuned], 50_000) == (net, hog, tuned)
    assert _pretrained_first([net, hog], 5000) == (net, hog)
