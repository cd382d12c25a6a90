"""Blends: what is mixed after the race, how honestly it is scored, and what its package does."""

import importlib

import numpy as np
import pandas as pd
import pytest

from rightfit import registry
from rightfit.engines.inline import Inline
from rightfit.errors import PackageError, UsageError
from rightfit.metrics import base
from rightfit.package import load
from rightfit.package.runtimes import blend as runtime
from rightfit.records import Need, Task
from rightfit.tuning import blend

choosing = importlib.import_module("rightfit.choose")
TASK = Task(modality="tabular", problem="regression", target=("y",), metric="rmse")
RMSE = base.find("rmse", "regression")


def parts(folds=4, rows=60, seed=0):
    """Two unbiased guesses with independent errors, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(folds):
        y = rng.normal(size=rows)
        found.append((y, [y + rng.normal(size=rows), y + rng.normal(size=rows), rng.normal(size=rows)]))
    return found


def test_two_good_guesses_share_the_weight_and_noise_has_next_to_none():
    weights = blend.selected(parts(rows=400), RMSE, TASK, most=8)
    assert weights.sum() == pytest.approx(1) and weights[:2].min() > 0.3 and weights[2] <= 0.2


def test_no_more_members_than_asked_for():
    assert np.count_nonzero(blend.selected(parts(), RMSE, TASK, most=1)) == 1


def test_a_fold_is_scored_by_weights_that_never_saw_it():
    given = parts()
    spoiled = [(np.full_like(given[0][0], 1e3), given[0][1]), *given[1:]]
    weights = blend.selected(given[1:], RMSE, TASK, most=8)
    for some in (given, spoiled):
        first = blend.crossed(some, RMSE, TASK, most=8)[0]
        assert np.allclose(first, sum(w * p for w, p in zip(weights, some[0][1], strict=True)))


def test_the_only_fold_is_cut_so_that_no_row_chooses_its_own_weights():
    y, preds = parts(folds=1, rows=40)[0]
    before = blend.crossed([(y, preds)], RMSE, TASK, most=8)[0]
    changed = y.copy()
    changed[::4] = 50.0
    after = blend.crossed([(changed, preds)], RMSE, TASK, most=8)[0]
    assert np.allclose(before[::4], after[::4]) and before.shape == y.shape


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5)])
def test_weights_must_fit_the_members(weights):
    family = registry.plugin("rightfit.models", "blend", "family")
    members = [{"family": "linear", "params": {}}, {"family": "tree", "params": {}}]
    with pytest.raises(UsageError, match="together 1"):
        family.build({"members": members, "weights": weights}, TASK)


@pytest.mark.parametrize("members", [None, [], [{"folder": "a"}], [{"folder": "a", "weight": 1.0,
                                                                    "meta": {"runtime": "blend", "members": []}}]])
def test_a_damaged_meta_is_one_sentence(tmp_path, members):
    with pytest.raises(PackageError, match="must list its members"):
        runtime.load(tmp_path, {"runtime": "blend", "members": members})


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """A step on a slope: a line knows the one, a tree the other."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, size=(300, 2))
    y = x[:, 0] + 3 * (x[:, 1] > 0.5) * (x[:, 1] < 2) + 0.5 * rng.normal(size=300)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y})
    folder = tmp_path_factory.mktemp("blend") / "run"
    with pytest.MonkeyPatch.context() as patch:
        return raced(patch, frame, folder), frame, folder


def raced(patch, frame, folder, **limits):
    """What is chosen among a line, a tree and their blends."""
    need = Need(target="y", metric="rmse", budget="10m", workers=1, folds=3, proposals=0,
                families=("linear", "tree", "blend"), **limits)
    patch.setattr(choosing, "_pool", lambda source, need: Inline())
    patch.setattr("rightfit.tuning.race._ablate", lambda race: None)
    patch.setattr("rightfit.tuning.race._curve", lambda race: None)
    return choosing.choose(frame, need, out=folder)


def test_the_race_ends_with_blends_on_the_finalists_folds(chosen):
    choice, _, _ = chosen
    rows = [t for t in choice.decision.trials if t["family"] == "blend"]
    assert rows and all(t["state"] == "ok" and t["folds_done"] == 3 for t in rows)
    assert all(abs(sum(t["params"]["weights"]) - 1) < 1e-6 for t in rows)
    assert all(t["fit_s"] > 0 for t in rows)


def test_a_blends_fold_package_says_what_its_members_say(chosen):
    _, frame, folder = chosen
    home = next(p for p in (folder / "stage" / "models").iterdir() if p.name.startswith("blend-")
                and not p.name.endswith(".all"))
    model = load(home)
    info = model.info["runtime"]["members"]
    apart = sum(m["weight"] * load(folder / "stage" / "models" / _key(folder, m, home)).values(frame) for m in info)
    assert np.allclose(model.values(frame), apart, atol=1e-5)
    record = frame.drop(columns="y").iloc[0].to_dict()
    assert model.predict_one(record)["prediction"] == pytest.approx(float(model.values(frame.head(1))[0, 0]), abs=1e-5)


def test_a_blend_that_a_limit_forbids_teaches_one_model_that_keeps_it(chosen, tmp_path, monkeypatch):
    choice, frame, _ = chosen
    sizes = {t["family"]: t["size_mib"] for t in choice.decision.trials if t.get("size_mib")}
    limit = (max(sizes["linear"], sizes["tree"]) + sizes["blend"]) / 2
    found = raced(monkeypatch, frame, tmp_path / "run", max_size=f"{limit:.4f}MiB")
    taught = [t for t in found.decision.trials if any(step["name"] == "distil" for step in t["steps"])]
    assert len(taught) == 1 and taught[0]["state"] == "ok" and taught[0]["folds_done"] == 3
    teacher = taught[0]["steps"][0]["params"]["teacher"]
    assert teacher["family"] == "blend" and len(teacher["params"]["members"]) >= 2
    assert found.decision.measured["size_mib"] <= limit
    assert not any(t["steps"] for t in choice.decision.trials)  # nothing is taught where nothing is forbidden


def _key(folder, member, home):
    """The member's own package: the one whose graph it holds."""
    graph = (home / member["folder"] / "model.onnx").read_bytes()
    return next(p.name for p in (folder / "stage" / "models").iterdir() if (p / "model.onnx").exists()
                and (p / "model.onnx").read_bytes() == graph)


def test_distillation_takes_a_blend_as_its_teacher():
    from rightfit.data.treatments import distil
    from rightfit.records import Column, Dataset, Schema

    rng = np.random.default_rng(1)
    X = pd.DataFrame({"a": rng.normal(size=120), "b": rng.normal(size=120)})
    y = (X["a"] + X["b"] + 0.5 * rng.normal(size=120) > 0).to_numpy().astype(np.int64)
    schema = Schema(columns=(Column(name="a", kind="numeric"), Column(name="b", kind="numeric")))
    teacher = {"family": "blend", "params": {"weights": [0.5, 0.5], "members": [
        {"family": "linear", "params": {}}, {"family": "tree", "params": {}}]}}
    soft = distil.apply(Dataset(X=X, y=y, schema=schema), {"teacher": teacher}, 0)
    assert len(soft) > 120 and soft.weight.mean() == pytest.approx(1) and set(soft.y) == {0, 1}


def test_texts_are_blended_too(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    told = {"good": ["fine", "sweet", "warm"], "bad": ["cold", "sour", "late"]}
    rows = [(label if rng.random() < 0.8 else "good", " ".join(rng.choice([*words, *"abcdef"], size=6)))
            for label, words in told.items() for _ in range(120)]
    frame = pd.DataFrame(rows, columns=["label", "text"]).sample(frac=1, random_state=0, ignore_index=True)
    monkeypatch.setattr(choosing, "_pool", lambda source, need: Inline())
    for source in ("_ablate", "_curve", "_propose"):
        monkeypatch.setattr(f"rightfit.tuning.race.{source}", lambda race: None)
    need = Need(target="label", metric="log_loss", budget="10m", workers=1, folds=2, proposals=0, modality="text",
                families=("tfidf_nb", "tfidf_svm", "text_blend"))
    choice = choosing.choose(frame, need, out=tmp_path / "run")
    blends = [t for t in choice.decision.trials if t["family"] == "text_blend"]
    assert blends and all(t["state"] == "ok" and t["folds_done"] == 2 for t in blends)
    model = load(tmp_path / "run" / "stage" / "models" / blends[0]["name"])
    one = model.predict_one({"text": "sour and late"})
    assert one["prediction"] == "bad" == model.predict(frame.head(1).assign(text="sour and late"))[0]
