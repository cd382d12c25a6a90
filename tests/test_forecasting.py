"""Forecasting through the ordinary records: rows are origins, targets are steps ahead, folds keep a horizon apart."""

import gzip
import importlib.util
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rightfit.data.assemble import assemble
from rightfit.data.modalities import sequence
from rightfit.data.schema import coerce
from rightfit.data.split import folds
from rightfit.data.table import pick
from rightfit.errors import DataError, PackageError, UsageError
from rightfit.models.sequence import ridge_lags, seasonal_naive
from rightfit.package.runtimes.sequence import SPEC as RUNTIME
from rightfit.records import Candidate, Dataset, Need, Rule, Task
from rightfit.registry import plugins
from rightfit.task.understand import understand

HORIZON = 6


def seasonal(n: int = 600, noise: float = 0.1, period: int = 12, slope: float = 0.01) -> pd.DataFrame:
    t = np.arange(n)
    values = np.sin(2 * np.pi * t / period) + slope * t + noise * np.random.default_rng(0).normal(size=n)
    when = pd.date_range("2024-01-01", periods=n, freq="h").astype(str)
    return pd.DataFrame({"when": when, "load": values, "x": 1.0})


def prepare(source: Any, **asked: Any) -> tuple[Dataset, Task, Need]:
    need = Need(**{"target": "load", "time": "when", "horizon": HORIZON} | asked)
    table = sequence.read(source, need)
    task = understand(table.frame, table.schema, sequence.posed(need, table), "sequence")
    return assemble(table.frame, table.schema, task), task, need


def fitted(spec: Any, data: Dataset, task: Task, params: dict[str, Any] | None = None) -> Any:
    return spec.build(params or spec.defaults, task).fit(data, seed=0, deadline=time.monotonic() + 10)


def rmse(a: Any, b: Any) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_a_horizon_makes_it_a_sequence_and_nothing_else_does() -> None:
    frame = seasonal(100)
    assert pick(frame, Need(target="load", horizon=3)).name == "sequence"
    assert pick(frame, Need(target="load")).name == "tabular"
    families = {n for n, f in plugins("rightfit.models").items() if f.modality == "sequence"}
    assert {"seasonal_naive", "ridge_lags"} <= families
    for name in families:
        assert all(importlib.util.find_spec(package) for package in plugins("rightfit.models")[name].requires)


def test_rows_are_origins_with_their_past_and_their_future() -> None:
    frame = seasonal(200)
    data, task, _ = prepare(frame.sample(frac=1.0, random_state=1))
    values = frame["load"].to_numpy()
    lags = sum("[t-" in c for c in data.X.columns)
    assert (task.problem, task.outputs, len(task.target)) == ("forecasting", HORIZON, HORIZON)
    assert data.y.shape == (200 - lags - HORIZON + 1, HORIZON) and data.y.dtype == np.float64
    for row in (0, 17, len(data) - 1):
        origin = lags - 1 + row
        assert np.array_equal(data.y[row], values[origin + 1:origin + 1 + HORIZON])
        assert [data.X[f"load[t-{k}]"].iloc[row] for k in range(3)] == [values[origin - k] for k in range(3)]
    assert not {sequence.BLOCK, sequence.SPAN, "x"} & set(data.X.columns)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(60, 300), horizon=st.integers(1, 20), n_folds=st.integers(2, 5), series=st.integers(1, 2))
def test_no_fold_trains_on_what_it_is_asked_to_forecast(n: int, horizon: int, n_folds: int, series: int) -> None:
    time_of = np.arange(n)
    frame = pd.concat([pd.DataFrame({"when": time_of + 7 * s, "who": f"s{s}", "load": (time_of + 7.0 * s)})
                       for s in range(series)])
    try:
        data, task, _ = prepare(frame, horizon=horizon, group="who" if series > 1 else None, options={"lags": 4})
        found = folds(data, task, n_folds=n_folds, seed=0)
    except DataError:
        assert n < 8 * horizon
        return
    for train, valid in found:
        # The value of a series is its time here, so targets say when they lie.
        y = data.y.reshape(len(data), -1)
        assert y[train].max() <= data.X["load[t-0]"].to_numpy()[valid].min()


def test_ridge_beats_the_seasonal_naive_which_finds_the_season() -> None:
    data, task, _ = prepare(seasonal())
    train, valid = folds(data, task, n_folds=3, seed=0)[-1]
    held = data.take(valid)
    naive = fitted(seasonal_naive.SPEC, data.take(train), task)
    ridge = fitted(ridge_lags.SPEC, data.take(train), task)
    assert naive.learned == {"period": 12}
    scores = {name: rmse(model.predict(held.X), held.y) for name, model in (("naive", naive), ("ridge", ridge))}
    assert scores["ridge"] < 0.16 < scores["naive"] < 0.25
    again = fitted(seasonal_naive.SPEC, data, task, {"period": 5})
    assert again.learned == {"period": 5}


def test_seasonal_naive_repeats_the_last_season() -> None:
    frame = pd.DataFrame({"load": np.tile([1.0, 5.0, 2.0, 9.0], 30)})
    data, task, _ = prepare(frame, time=None, horizon=7)
    model = fitted(seasonal_naive.SPEC, data, task)
    assert model.learned == {"period": 4} and np.array_equal(model.predict(data.X), data.y)


@pytest.mark.parametrize("relative", [True, False])
def test_folded_weights_are_the_ridge(relative: bool) -> None:
    from sklearn.linear_model import Ridge

    data, task, _ = prepare(seasonal(150))
    model = fitted(ridge_lags.SPEC, data, task, {"alpha": 2.0, "relative": relative})
    X, last = data.X.to_numpy(), data.X[["load[t-0]"]].to_numpy()
    lags = ["[t-" in c for c in data.X.columns]
    Z = np.where(lags, X - last, X) if relative else X
    std = Z.std(axis=0)
    Z = (Z - Z.mean(axis=0)) / np.where(std > 1e-9, std, 1.0)
    base = last if relative else 0.0
    expected = Ridge(alpha=2.0 * len(X) / 100).fit(Z, data.y - base).predict(Z) + base
    assert np.allclose(model.predict(data.X), expected, atol=1e-8)


@pytest.mark.parametrize("spec", [seasonal_naive.SPEC, ridge_lags.SPEC], ids=lambda s: s.name)
@pytest.mark.parametrize("horizon", [1, HORIZON])
def test_saved_and_loaded_it_forecasts_the_same(tmp_path: Path, spec: Any, horizon: int) -> None:
    data, task, _ = prepare(seasonal(200), horizon=horizon)
    model = fitted(spec, data, task)
    meta = json.loads(json.dumps(model.save(tmp_path)))
    scorer = RUNTIME.load(tmp_path, meta)
    expected = model.predict(data.X).reshape(len(data), horizon)
    assert np.array_equal(scorer.frame(data.X[data.X.columns[::-1]]), expected)
    records = data.X.to_dict("records")
    assert np.allclose(scorer.rows(records), expected) and np.allclose(scorer.row(records[3]), expected[[3]])
    gone = data.X.copy()
    gone.iloc[:, 1] = np.nan
    assert np.isfinite(scorer.frame(gone)).all()
    assert np.array_equal(scorer.frame(gone), model.predict(gone).reshape(expected.shape))
    with pytest.raises(PackageError, match="damaged"):
        RUNTIME.load(tmp_path, {**meta, "names": meta["names"][:-1]})


def test_a_package_forecasts_what_comes_after_the_data(tmp_path: Path) -> None:
    from rightfit.package.read import load
    from rightfit.package.write import write

    frame = seasonal(400, noise=0.0)
    known, ahead = frame.iloc[:-HORIZON], frame["load"].to_numpy()[-HORIZON:]
    data, task, need = prepare(known)
    model = fitted(ridge_lags.SPEC, data, task, {"alpha": 1e-6, "relative": True})
    candidate = Candidate(family="ridge_lags")
    info = write(model, tmp_path / "package", task=task, schema=data.schema, rule=Rule(), candidate=candidate,
                 sample=data.X)
    assert info["runtime"]["runtime"] == "sequence" and info["parity"]["max_abs"] < 1e-9
    loaded = load(tmp_path / "package")
    row = sequence.latest(known, need, loaded.schema)
    assert np.allclose(loaded.predict(row), ahead[None], atol=0.02)
    assert np.allclose(loaded.predict_one(row.iloc[0].to_dict())["prediction"], ahead, atol=0.02)


def test_series_are_kept_apart_and_text_is_read(tmp_path: Path) -> None:
    a, b = seasonal(80).assign(who="a"), seasonal(70).assign(who="b", load=lambda f: f["load"] + 100)
    both = pd.concat([a, b]).sort_values("when", kind="stable")
    both.to_csv(tmp_path / "both.csv", index=False)
    need = Need(target="load", time="when", horizon=3, group="who", options={"lags": 10})
    table = sequence.read(tmp_path / "both.csv", need)
    assert table.origin["series"] == 2 and len(table.frame) == 80 + 70 - 2 * (10 + 3 - 1)
    lagged = table.frame[[c for c in table.frame if c.startswith("load")]]
    assert (lagged.max(axis=1) - lagged.min(axis=1)).max() < 10
    assert len(sequence.latest(tmp_path / "both.csv", need, table.schema)) == 2
    assert len(coerce(table.frame, table.schema)) == len(table.frame)


def test_missing_values_drop_targets_and_stay_in_lags() -> None:
    frame = seasonal(120)
    frame.loc[60, "load"] = np.nan
    data, _, _ = prepare(frame, options={"lags": 10})
    assert np.isfinite(data.y).all() and data.X.isna().sum().sum() == 10
    assert len(data) == 120 - 10 - HORIZON + 1 - HORIZON


def test_uneven_steps_are_found() -> None:
    frame = seasonal(120).drop(index=[40, 41])
    table = sequence.read(frame, Need(target="load", time="when", horizon=3))
    assert "irregular_steps" in [f.code for f in table.findings]


@pytest.mark.parametrize(("change", "asked", "error", "text"), [
    ({}, {"target": None}, UsageError, "needs one target"),
    ({}, {"target": ("load", "x")}, UsageError, "needs one target"),
    ({}, {"time": "nope"}, UsageError, "'nope'"),
    ({}, {"horizon": 300}, DataError, "longer than its .* lags and the horizon"),
    ({"load": "high"}, {}, DataError, "load must be numeric"),
    ({"when": "2024-01-01"}, {}, DataError, "twice"),
])
def test_what_cannot_be_forecast_is_one_sentence(change: Any, asked: Any, error: Any, text: str) -> None:
    frame = seasonal(100).assign(**change)
    with pytest.raises(error, match=text) as caught:
        sequence.read(frame, Need(**{"target": "load", "time": "when", "horizon": 3} | asked))
    assert "\n" not in str(caught.value)


def test_no_season_is_a_period_of_one() -> None:
    assert sequence.period(np.random.default_rng(0).normal(size=500)) == 1
    assert sequence.period(np.ones(50)) == 1
    assert sequence.period(seasonal(500)["load"].to_numpy()) == 12


@pytest.mark.shared
def test_ett_is_forecast_better_than_by_the_season() -> None:
    folder = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
    path = folder / "sequence" / "ETTh1.csv.gz"
    if not path.exists():
        pytest.skip("RIGHTFIT_DATA is absent")
    frame = pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes()))).iloc[:3000]
    data, task, _ = prepare(frame, target="OT", time="date", horizon=24)
    train, valid = folds(data, task, n_folds=4, seed=0)[-1]
    held = data.take(valid)
    naive = fitted(seasonal_naive.SPEC, data.take(train), task)
    ridge = fitted(ridge_lags.SPEC, data.take(train), task)
    scores = rmse(ridge.predict(held.X), held.y), rmse(naive.predict(held.X), held.y)
    print(f"ETTh1, 24 h ahead, RMSE in degrees: ridge {scores[0]:.2f}, seasonal naive {scores[1]:.2f} "
          f"(period {naive.learned['period']})")
    assert scores[0] < 0.95 * scores[1]
