"""Packages: what is written is what is read, three paths agree, nothing half-written, nothing heavy imported."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit.errors import PackageError, RightfitError, UsageError
from rightfit.metrics.base import labels
from rightfit.package import load
from rightfit.package import write as writing
from rightfit.package.read import answer
from rightfit.package.runtimes.tabular import _join
from rightfit.records import Candidate, Rule, Task

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture(scope="module", params=sorted(toy.PROBLEMS))
def made(request: Any, tmp_path_factory: Any) -> tuple[str, Path]:
    return request.param, toy.package(tmp_path_factory.mktemp("made") / "package", request.param)


def frame(rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, dtype=object)


def test_frame_records_and_one_row_agree(made: tuple[str, Path]) -> None:
    problem, path = made
    model, rows = load(path), toy.records(40, seed=5)
    one = [model.predict_one(row) for row in rows]
    assert np.array_equal(model.predict(frame(rows)), model.predict(rows))
    np.testing.assert_allclose(model.raw(frame(rows)), model.raw(rows), rtol=1e-6)
    if problem == "regression":
        np.testing.assert_allclose([o["prediction"] for o in one], model.predict(rows), rtol=1e-6)
        with pytest.raises(UsageError, match="classification"):
            model.predict_proba(rows)
        return
    assert model.predict_proba(rows).shape == (40, len(model.classes_))
    np.testing.assert_allclose([list(o["probabilities"].values()) for o in one], model.predict_proba(rows), rtol=1e-6)
    if problem == "multilabel":
        found = [[name for name, yes in zip(model.classes_, row, strict=True) if yes] for row in model.predict(rows)]
        assert [o["prediction"] for o in one] == found and {0, 1} == set(model.predict(rows).ravel())
    else:
        assert [o["prediction"] for o in one] == model.predict(rows).tolist()
        assert set(model.predict(rows)) <= set(model.classes_) and len(set(model.predict(rows))) > 1


def test_the_package_predicts_what_the_model_predicts(made: tuple[str, Path]) -> None:
    from rightfit.data.schema import coerce

    problem, path = made
    rows = toy.records(25, seed=9)
    expected = np.asarray(toy.Toy(problem).predict(coerce(frame(rows), toy.SCHEMA))).reshape(25, -1)
    np.testing.assert_allclose(load(path).raw(frame(rows)), expected, rtol=1e-5, atol=1e-6)


def test_what_the_package_says_about_itself(made: tuple[str, Path]) -> None:
    problem, path = made
    model = load(path)
    assert (model.task, model.schema) == (toy.PROBLEMS[problem], toy.SCHEMA)
    assert model.rule == toy.RULES.get(problem, Rule())
    parity = model.info["parity"]
    assert parity["rows"] == 30 and parity["max_abs"] <= 1e-4 * parity["scale"]
    assert model.info["candidate"]["family"] == "toy" and "onnxruntime" in model.info["requires"]
    assert model.decision is None
    (path.parent / "decision.json").write_text('{"status": "chosen"}')
    assert load(path).decision == {"status": "chosen"}
    (path.parent / "decision.json").unlink()


def test_columns_in_any_order_and_further_ones(made: tuple[str, Path]) -> None:
    _, path = made
    model, rows = load(path), toy.records(10)
    turned = [dict(reversed([*row.items(), ("note", "x")])) for row in rows]
    assert np.array_equal(model.raw(rows), model.raw(turned))
    assert np.array_equal(model.raw(frame(rows)), model.raw(frame(turned)))


def test_no_rows_one_record_and_nonsense(made: tuple[str, Path]) -> None:
    _, path = made
    model = load(path)
    assert len(model.predict([])) == 0
    assert len(model.predict(toy.records(1)[0])) == 1
    for wrong in (["text"], 3, "text"):
        with pytest.raises(RightfitError):
            model.predict(wrong)


def test_polars_frames(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    model, rows = load(toy.package(tmp_path / "p")), toy.records(20)
    assert np.array_equal(model.predict(polars.DataFrame(rows)), model.predict(rows))


def test_a_package_that_differs_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="must predict what its model predicts"):
        toy.package(tmp_path / "p", "regression", model=toy.Toy("regression", wrong=0.5))
    assert list(tmp_path.iterdir()) == []


def test_replacing_keeps_the_old_one_until_the_new_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy.package(tmp_path / "p")
    with pytest.raises(PackageError):
        toy.package(path, "regression", model=toy.Toy("regression", wrong=1.0))
    assert load(path).task.problem == "binary"
    toy.package(path, "regression")
    assert load(path).task.problem == "regression"
    monkeypatch.setattr(writing, "_exchange", lambda one, other: False)
    toy.package(path, "multiclass")
    assert load(path).task.problem == "multiclass" and [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_file_or_a_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(PackageError, match="written to a folder"):
            toy.package(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_no_sample_no_package(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="at least one sample row"):
        toy.package(tmp_path / "p", sample=[])


def test_the_sample_is_at_most_64_rows_and_extra_files_are_under_the_manifest(tmp_path: Path) -> None:
    path = toy.package(tmp_path / "p", sample=frame(toy.records(500)), extra={"notes.json": {"a": [1]}})
    assert len(load(path).sample) == 64 and json.loads((path / "notes.json").read_text()) == {"a": [1]}
    with pytest.raises(PackageError, match="plain relative names"):
        toy.package(tmp_path / "q", extra={"../notes.json": {}})
    assert not (tmp_path / "notes.json").exists() and not (tmp_path / "q").exists()


def test_zips_are_deterministic_and_load(tmp_path: Path) -> None:
    path = toy.package(tmp_path / "p")
    one = writing.zip_package(path, tmp_path / "one.zip").read_bytes()
    os.utime(path / "package.json", (1, 1))
    assert writing.zip_package(path, tmp_path / "two.zip").read_bytes() == one
    rows = toy.records(12)
    assert np.array_equal(load(tmp_path / "one.zip").raw(rows), load(path).raw(rows))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.zip", "p", "two.zip"]


def test_loading_and_one_prediction_import_nothing_heavy(tmp_path: Path) -> None:
    path = toy.package(tmp_path / "p", rule=Rule(threshold=(0.4,), calibration={"kind": "temperature", "t": 2.0}))
    code = """if True:
        import json, sys, time
        started = time.perf_counter()
        from rightfit.package import load
        model = load(sys.argv[1])
        rows = [model.predict_one(model.sample[0]), model.predict(model.sample).tolist()]
        heavy = {"pandas", "sklearn", "lightgbm", "xgboost", "catboost", "torch", "scipy", "onnx", "optuna"}
        print(json.dumps([sorted(heavy & set(sys.modules)), time.perf_counter() - started]))
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    heavy, seconds = json.loads(done.stdout)
    print(f"load to first prediction: {seconds:.3f} s")
    assert heavy == [] and seconds < 5


def test_calibration_is_part_of_what_is_delivered(tmp_path: Path) -> None:
    rule = Rule(threshold=(0.5,), calibration={"kind": "temperature", "t": 3.0})
    model, rows = load(toy.package(tmp_path / "p", rule=rule)), toy.records(15)
    calibrated = model.predict_proba(rows)
    assert np.abs(calibrated - 0.5).max() < np.abs(model.raw(rows) - 0.5).max()
    one = [list(model.predict_one(r)["probabilities"].values()) for r in rows]
    np.testing.assert_allclose(one, calibrated, rtol=1e-6)


probabilities = st.lists(st.floats(0.001, 1), min_size=3, max_size=3)


@given(probabilities, st.lists(st.lists(st.floats(0, 100), min_size=3, max_size=3), min_size=3, max_size=3),
       st.sampled_from(["binary", "multiclass", "multilabel"]), st.booleans(), st.floats(0, 1))
def test_one_row_decides_as_the_metrics_do(row: Any, cost: Any, problem: Any, priced: bool, least: float) -> None:
    k = 2 if problem == "binary" else 3
    row = row[:k] if problem == "multilabel" else [p / sum(row[:k]) for p in row[:k]]
    task = Task(modality="tabular", problem=problem, target=("y",), metric="f1", classes=("a", "b", "c")[:k])
    rule = Rule(cost=tuple(tuple(c[:k]) for c in cost[:k])) if priced and problem != "multilabel" else Rule(
        threshold={"binary": (least,), "multilabel": (least, 0.5, 0.2), "multiclass": ()}[problem])
    code = labels(np.array([row]), task, rule)[0]
    several = problem == "multilabel"
    expected = [c for c, yes in zip(task.classes, code, strict=True) if yes] if several else task.classes[code]
    got = answer(task, rule)(row)
    assert got == {"prediction": expected, "probabilities": dict(zip(task.classes, row, strict=True))}


def test_cores_become_outputs() -> None:
    def p(X: Any) -> Any:
        return np.full((len(X), 1), 0.25, np.float32)

    X = np.zeros((4, 2), np.float32)
    assert _join([p], {"outputs": 2})(X).tolist() == [[0.75, 0.25]] * 4
    assert _join([p], {"outputs": 1, "target_mean": 2.0, "target_scale": 4.0})(X).tolist() == [[3.0]] * 4
    several = _join([p, lambda X: np.tile([0.9, 0.1], (len(X), 1))], {"outputs": 2})(X)
    np.testing.assert_allclose(several, [[0.25, 0.1]] * 4)


@pytest.mark.parametrize("native", ["catboost", "lightgbm", "xgboost"])
def test_native_cores(native: str, tmp_path: Path) -> None:
    """What the core gives is what the library's own classifier and regressor give."""
    library = pytest.importorskip(native)
    from rightfit import registry

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).astype(np.float32)
    X[::9, 1] = np.nan
    codes = np.digitize(X[:, 0], [-0.5, 0.5])
    core = registry.plugin("rightfit.package.cores", native, "core format")
    for y, k in ((codes, 3), ((codes > 0).astype(int), 2), (X[:, 0] * 3.0, 0)):
        if native == "catboost":
            kind = library.CatBoostClassifier if k else library.CatBoostRegressor
            fitted = kind(iterations=5, thread_count=1, verbose=False, allow_writing_files=False).fit(X, y)
            fitted.save_model(str(tmp_path / "model"), format="cbm")
        elif native == "lightgbm":
            kind = library.LGBMClassifier if k else library.LGBMRegressor
            fitted = kind(n_estimators=5, n_jobs=1, verbose=-1, min_child_samples=3).fit(X, y)
            fitted.booster_.save_model(str(tmp_path / "model"))
        else:
            kind = library.XGBClassifier if k else library.XGBRegressor
            fitted = kind(n_estimators=5, n_jobs=1).fit(X, y)
            fitted.get_booster().save_model(str(tmp_path / "model.ubj"))
        path = tmp_path / ("model.ubj" if native == "xgboost" else "model")
        expected = fitted.predict_proba(X) if k else fitted.predict(X)[:, None]
        got = _join([core.load(path)], {"outputs": max(k, 1)})(X)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_runtime_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rightfit import registry

    (tmp_path / "far_runtime.py").write_text("""if True:
        import json
        import numpy as np
        from rightfit.package.runtimes import Runtime

        class Constant:
            def __init__(self, value): self.value = value
            def frame(self, X): return np.full((len(X), 1), self.value)
            def rows(self, records): return np.full((len(records), 1), self.value)
            def row(self, record): return np.full((1, 1), self.value)

        SPEC = Runtime(name="far", load=lambda folder, meta: Constant(json.loads((folder / "value.json").read_text())))
    """)
    info = tmp_path / "far-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rightfit.package.runtimes]\nfar = far_runtime:SPEC\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.plugins.cache_clear()

    class Far:
        learned: dict[str, Any] = {}  # noqa: RUF012

        def fit(self, data: Any, *, seed: int, deadline: float) -> Far:
            return self

        def predict(self, X: Any) -> Any:
            return np.full(len(X), 7.5)

        def save(self, folder: Path) -> dict[str, Any]:
            (folder / "value.json").write_text("7.5")
            return {"runtime": "far"}

    try:
        path = toy.package(tmp_path / "p", "regression", model=Far(), candidate=Candidate(family="far"))
        assert load(path).predict_one(toy.records(1)[0]) == {"prediction": 7.5}
    finally:
        registry.plugins.cache_clear()
    monkeypatch.undo()
    with pytest.raises(PackageError, match="runtime must be one of"):
        load(path)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_threads_are_whole_numbers_from_one_on(threads: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="threads must be a whole number from 1 on; got threads="):
        load(tmp_path, threads=threads)
