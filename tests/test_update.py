"""Updates and exports: what is due, what beats the champion, what stays and why."""


import dataclasses

import numpy as np
import pandas as pd
import pytest

from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.delivery import due, update, versions, ways
from rightfit.delivery.export import export
from rightfit.errors import DataError, UnknownName, UsageError
from rightfit.package import load, write
from rightfit.records import Candidate, Limit, Need, Rule, Task
from rightfit.tuning import trial


def rows(n, flip=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = X @ [1.5, -1, 0.5] * (-1 if flip else 1) + 0.5 * rng.normal(size=n) > 0
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": np.where(y, "yes", "no")})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    frame = rows(600)
    schema, _ = infer(frame, Need(target="y"))
    task = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"),
                rows=600, coverage=0.9, limits=(Limit(name="accuracy", limit=0.8, sense="at_least"),))
    candidate = Candidate(family="tree", params={"max_depth": 4})
    model = trial.fit(candidate, assemble(frame, schema, task), task, seed=0, deadline=float("inf"))
    folder = tmp_path_factory.mktemp("made") / "package"
    write.write(model, folder, task=task, schema=schema, rule=Rule(threshold=(0.5,)), candidate=candidate, sample=frame)
    return folder


def test_a_turned_world_is_due_and_the_refit_is_promoted(made, tmp_path):
    folder = tmp_path / "registry"
    versions.promote(folder, versions.add(folder, made))
    found = update.update(folder, rows(400, flip=True, seed=1))
    assert found.status == "promoted" and found.champion < 0.5 < 0.8 < found.challenger
    assert any("limit of 0.8" in reason for reason in found.due) and found.low > 0
    assert versions.read(folder).champion == found.version == 2
    assert load(versions.champion(folder)).rule.conformal["level"] == 0.9
    assert versions.read(folder).lineage(2).data and versions.rollback(folder) == 1


def test_nothing_due_and_nothing_better_leave_the_champion_and_say_why(made, tmp_path):
    folder = tmp_path / "registry"
    versions.promote(folder, versions.add(folder, made))
    assert update.update(folder, rows(200, seed=2)).status == "not due"
    noise = rows(300, seed=3)
    noise["y"] = np.random.default_rng(4).permutation(noise["y"])
    found = update.update(folder, noise, terms=update.Terms(force=True))
    assert found.status == "kept" and "stays" in found.why[-1]
    assert versions.read(folder).champion == 1
    assert [e.event for e in versions.read(folder).history] == ["add", "promote", "keep", "keep"]


def test_a_drift_that_matters_is_due_and_one_that_does_not_is_none(made, tmp_path):
    from rightfit.delivery.monitor import reference

    folder = tmp_path / "package"
    write.install(made, folder)
    model = load(folder)
    held = assemble(rows(500, seed=6), model.schema, model.task)  # the same rows, so that nothing drifts by chance
    reference.attach(folder, held.X, held.y, due.delivered(model, held)[0], {"a": 0.9, "c": 0.001})
    for column, found in (("a", ["a drifted"]), ("c", [])):
        new = rows(500, seed=6)
        new[column] += 1
        said = due.drifted(load(folder), assemble(new, model.schema, model.task))
        assert [text.split(" (")[0] for text in said] == found


def test_a_watched_champion_is_followed_by_one_that_can_be_watched(made, tmp_path):
    from rightfit.delivery.monitor import check, reference

    write.install(made, tmp_path / "package")
    model = load(made)
    held = assemble(rows(500, seed=6), model.schema, model.task)
    reference.attach(tmp_path / "package", held.X, held.y, due.delivered(model, held)[0], {"a": 0.9})
    with pytest.raises(DataError, match="600 labelled rows; got rows=400"):
        update.update(tmp_path / "package", rows(400, flip=True, seed=1), out=tmp_path / "new")
    found = update.update(tmp_path / "package", rows(600, flip=True, seed=1), out=tmp_path / "new")
    assert found.status == "promoted" and found.seconds > 0
    assert check.monitor(found.package, rows(300, flip=True, seed=8)).enough


def test_where_nothing_suffices_a_new_choice_challenges_under_the_same_limits(made, tmp_path):
    asked = []

    def anew(frame, need, folder):
        asked.append((frame, need))
        return None if len(asked) == 1 else made

    noise = rows(300, seed=3)
    noise["y"] = np.random.default_rng(4).permutation(noise["y"])
    for said in ("nothing that meets", "breaks a limit (accuracy)"):
        found = update.update(made, noise, out=tmp_path / "new", terms=update.Terms(force=True, anew=anew))
        assert found.status == "kept" and said in " ".join(found.why)
    frame, need = asked[0]
    assert need.at_least == {"accuracy": 0.8} and need.target == "y" and need.positive == "yes"
    assert len(frame) == 210 and set(frame.columns) == {"a", "b", "c", "y"} and not (tmp_path / "new").exists()


def boosted(folder, frame, problem="binary", classes=("no", "yes")):
    schema, _ = infer(frame, Need(target="y"))
    metric = "log_loss" if classes else "rmse"
    task = Task(modality="tabular", problem=problem, target=("y",), metric=metric, classes=classes, rows=len(frame))
    candidate = Candidate(family="lightgbm", params={"n_estimators": 60, "learning_rate": 0.2, "num_leaves": 7})
    model = trial.fit(candidate, assemble(frame, schema, task), task, seed=0, deadline=float("inf"))
    write.write(model, folder, task=task, schema=schema, rule=Rule(), candidate=candidate, sample=frame)
    return load(folder)


@pytest.mark.parametrize(("problem", "classes"), [("binary", ("no", "yes")), ("multiclass", ("0", "1", "2")),
                                                  ("regression", ())])
def test_training_goes_on_from_a_package_and_keeps_what_it_knew(problem, classes, tmp_path):
    pytest.importorskip("lightgbm")

    def made_up(n, seed, more):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, 3))
        z = X @ [1.5, -1, more] + 0.3 * rng.normal(size=n)
        y = {"binary": np.where(z > 0, "yes", "no"), "multiclass": np.digitize(z, [-1, 1]).astype(str)}.get(problem, z)
        return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})

    model = boosted(tmp_path / "p", made_up(2000, 0, 0.0), problem, classes)
    new, test = (assemble(made_up(n, seed, 0.4), model.schema, model.task) for n, seed in ((250, 1), (1500, 2)))
    held = update.Held(model, test, None)
    for name, made in (("refit", ways.refit(model, new)), ("onward", ways.onward(model, new))):
        made.write(tmp_path / name)
        held.hear(name, load(tmp_path / name).raw_of_coerced(test.X), made.rule)
    found = [held.value(), held.value("refit"), held.value("onward")]
    assert found[2] < min(found[:2]), found
    assert "go on with the champion" in ways.ways(model)
    with pytest.raises(DataError, match="100 rows that the champion does not know; got rows=40"):
        ways.newer(dataclasses.replace(new, time=np.arange(250)), 209.0)


def test_dear_ways_are_spared_where_a_cheap_one_keeps_the_promise_and_what_wins_learns_from_all_rows(made, tmp_path):
    seen = []
    whole = ways.refit

    def refit(model, rows, rule):
        seen.append((len(rows), rule is None))
        return whole(model, rows, rule)

    def updated(name, value):
        folder = tmp_path / name
        seen.clear()
        kept = {"promise": {"value": value, "low": value - 0.01, "high": value + 0.01}}
        versions.promote(folder, versions.add(folder, made, details=kept))
        return update.update(folder, rows(1500, flip=True, seed=1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "refit", refit)
        found = updated("low", 0.8)
        assert [w.name for w in found.ways] == ["recalibrate", "refit on the newest third"]
        assert seen == [(350, True), (500, False)]
        found = updated("high", 0.99)
        assert [w.name for w in found.ways][-1] == "refit on all rows" and found.status == "promoted"
    promised = versions.read(tmp_path / "high").lineage(2).details["promise"]
    assert promised["low"] < promised["value"] < promised["high"] < 0.99


def test_labels_that_the_champion_knew_are_no_new_ones(tmp_path):
    def timed(start, n):
        return rows(n, seed=start).assign(at=np.arange(start, start + n))

    schema, _ = infer(timed(0, 600), Need(target="y", time="at"))
    task = Task(modality="tabular", problem="binary", target=("y",), metric="accuracy", classes=("no", "yes"), rows=600,
                time="at")
    candidate = Candidate(family="tree", params={"max_depth": 4})
    model = trial.fit(candidate, assemble(timed(0, 600), schema, task), task, seed=0, deadline=float("inf"))
    write.write(model, tmp_path / "p", task=task, schema=schema, rule=Rule(), candidate=candidate,
                sample=timed(0, 600))
    known = pd.concat([timed(0, 600), timed(600, 100)], ignore_index=True)
    assert update.update(tmp_path / "p", known, out=tmp_path / "n").status == "not due"
    new = pd.concat([timed(0, 600), timed(600, 300)], ignore_index=True)
    assert "300 new labelled rows" in " ".join(update.update(tmp_path / "p", new, out=tmp_path / "n").due)


def test_what_was_asked_is_read_back_from_a_package(made):
    model = load(made)
    limits = (Limit(name="latency_p95_ms", limit=5, sense="at_most"), Limit(name="size_mib", limit=2, sense="at_most"),
              Limit(name="throughput_per_s", limit=100, sense="at_least"))
    model.task = dataclasses.replace(model.task, limits=limits)
    assert ways.need_again(model).limits() == limits


def test_bad_input_gets_one_sentence(made, tmp_path):
    with pytest.raises(DataError, match="must hold the target"):
        update.update(made, rows(200).drop(columns="y"), out=tmp_path / "new")
    with pytest.raises(DataError, match="100 labelled rows"):
        update.update(made, rows(20), out=tmp_path / "new")
    with pytest.raises(DataError, match="b"):
        update.update(made, rows(200).drop(columns="b"), out=tmp_path / "new")
    with pytest.raises(UsageError, match="--out"):
        update.update(made, rows(200))
    assert not (tmp_path / "new").exists()


def test_exports_load_and_predict_the_same(made, tmp_path):
    frame = rows(20, seed=5)
    expected = load(made).predict(frame).tolist()
    assert load(export(made, "huggingface", tmp_path / "hf") / "package").predict(frame).tolist() == expected
    assert (tmp_path / "hf" / "README.md").read_text().startswith("---\nlibrary_name: rightfit")
    with pytest.raises(UnknownName, match="target"):
        export(made, "onyx", tmp_path / "x")
    with pytest.raises(UsageError, match="new folder"):
        export(made, "huggingface", tmp_path / "hf")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_loads_what_was_exported(made, tmp_path):
    pyfunc = pytest.importorskip("mlflow.pyfunc")
    frame = rows(20, seed=5)
    found = pyfunc.load_model(str(export(made, "mlflow", tmp_path / "m")))
    assert found.predict(frame).tolist() == load(made).predict(frame).tolist()
