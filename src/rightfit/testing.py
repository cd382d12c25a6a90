"""Public conformance suites: what every plug-in must hold, as named checks that any test runner can call.

    @pytest.mark.parametrize(("name", "check"), check_family(SPEC))
    def test_family(name, check):
        check()

A check raises AssertionError with one sentence. Checks build their own rows, so they need no data and no network.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.records import Candidate, Column, Dataset, Family, Model, Problem, Schema, Task, asdict

Named = tuple[str, Callable[[], None]]
SUPERVISED: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
PARITY = 1e-5
OVERRUN_S = 2.0
NOISE = 1.35
UNSAFE = (b"cpickle", b"sklearn.", b"numpy.core.multiarray", b"joblib")
SUFFIXES = (".json", ".onnx", ".cbm", ".txt", ".ubj", ".safetensors")


def table(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """An easy table with numeric (some missing), categorical, boolean, date and text columns, and its task.

    `noise` shuffles the target, so that nothing can be learned.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    size, price = rng.normal(size=n), rng.normal(size=n) * 100
    town = rng.choice(["north", "south", "west"], n)
    code = np.array([f"c{i}" for i in rng.integers(0, 15, n)], dtype=object)
    signal = 2.0 * size + price / 100 + 2.0 * (town == "north")
    y, classes = _target(problem, signal, rng)
    if noise:
        y = y[rng.permutation(n)]
    days = pd.Series(rng.integers(0, 1000, n).astype("timedelta64[D]") + np.datetime64("2020-01-01"))
    frame = pd.DataFrame({
        "size": size, "price": price, "half": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        "town": pd.Series(town, dtype=object), "code": pd.Series(code, dtype=object),
        "flag": (rng.random(n) < 0.5).astype(np.float64), "when": days.astype("datetime64[ns]"),
        "note": pd.Series(rng.choice(["good value", "very bad", "ok"], n), dtype=object)})
    frame.loc[frame.index[::10], "town"] = None
    kinds = {"size": "numeric", "price": "numeric", "half": "numeric", "town": "categorical", "code": "categorical",
             "flag": "boolean", "when": "datetime", "note": "text"}
    schema = Schema(columns=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()))
    outputs = y.shape[1] if y.ndim == 2 else 1
    task = Task(modality="tabular", problem=problem, target=tuple(f"y{i}" for i in range(outputs)), metric="",
                classes=classes, outputs=outputs, rows=n, features=len(kinds))
    return Dataset(X=frame, y=y, schema=schema), task


def _target(problem: Problem, signal: Any, rng: Any) -> tuple[Any, tuple[str, ...]]:
    if problem == "binary":
        return (signal > 0.7).astype(np.int64), ("no", "yes")
    if problem == "multiclass":
        return np.digitize(signal, [-0.5, 1.5]).astype(np.int64), ("low", "middle", "high")
    if problem == "multilabel":
        return np.column_stack([signal > 0, signal > 1.5]).astype(np.int8), ("some", "many")
    return 3e5 + 1e4 * (signal + 0.1 * rng.normal(size=len(signal))), ()


def check_family(family: Family, problem: Problem | None = None) -> tuple[Named, ...]:
    """Every check of a tabular family for each of its problems, or for one: (name, function without arguments).

    The family is built with `family.smoke`. A check named in `family.xfail` must fail, and fails if it passes.
    """
    problems = [problem] if problem else [p for p in family.problems if p in SUPERVISED]
    named = [(check.__name__.removeprefix("_"), check) for check in FAMILY_CHECKS]
    cases = [(f"{one}-{name}", _expected(check, family, one, family.xfail.get(name)))
             for one in problems for name, check in named]
    return (*cases, ("stated", lambda: _stated(family)))


def _expected(check: Callable[[Family, Problem], None], family: Family, problem: Problem,
              reason: str | None) -> Callable[[], None]:
    def run() -> None:
        if reason is None:
            check(family, problem)
            return
        try:
            check(family, problem)
        except AssertionError:
            return
        raise AssertionError(f"{family.name} must fail where its xfail says so ({reason}), but passed: remove it.")

    return run


def _fit(family: Family, data: Dataset, task: Task, seed: int = 1, params: Mapping[str, Any] | None = None,
         within: float = 120.0) -> Model:
    model = family.build({**family.smoke, **(params or {})}, task)
    fitted = model.fit(data, seed=seed, deadline=time.monotonic() + within)
    assert fitted is model, f"fit must return the model itself; got {type(fitted).__name__}."
    return model


def _proper(predicted: Any, task: Task, n: int) -> Any:
    """Predictions of the right shape, finite, and probabilities where the task classifies."""
    out = np.asarray(predicted)
    if task.problem == "regression":
        wide = (n,) if task.outputs == 1 else (n, task.outputs)
    else:
        wide = (n, len(task.classes))
    assert out.shape == wide, f"predictions must be {wide}; got shape={out.shape}."
    assert np.isfinite(out).all(), f"predictions must be finite; got {int((~np.isfinite(out)).sum())} that are not."
    if task.classifies:
        assert out.min() >= -1e-6 and out.max() <= 1 + 1e-6, \
            f"probabilities must be in 0..1; got {out.min()}..{out.max()}."
    if task.problem in ("binary", "multiclass"):
        away = float(np.abs(out.sum(axis=1) - 1).max())
        assert away < 1e-5, f"probabilities of a row must sum to 1; got a sum {away:.2g} away."
    return out


def _loss(predicted: Any, y: Any, task: Task) -> float:
    """The Brier score, or the mean squared error as a share of the target's variance."""
    if task.problem == "regression":
        return float(np.mean((predicted - y) ** 2) / np.var(y))
    truth = y if task.problem == "multilabel" else np.eye(len(task.classes))[y]
    return float(np.mean((predicted - truth) ** 2))


def _constant_loss(y: Any, new: Any, task: Task) -> float:
    if task.problem == "regression":
        return _loss(np.full(len(new), np.mean(y)), new, task)
    shares = y.mean(axis=0) if task.problem == "multilabel" else np.bincount(y, minlength=len(task.classes)) / len(y)
    return _loss(np.tile(shares, (len(new), 1)), new, task)


def _apart(a: Any, b: Any) -> float:
    """The largest difference, relative where values exceed 1."""
    return float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max())


# --- the checks -------------------------------------------------------------------------------------------------------

def _predicts_properly(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    new, _ = table(problem, n=50, seed=1)
    _proper(_fit(family, data, task).predict(new.X), task, 50)


def _same_seed_same_predictions(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    state = np.random.get_state()
    try:
        np.random.seed(1)
        first = np.asarray(_fit(family, data, task, seed=7).predict(data.X))
        np.random.seed(2)
        before = np.random.get_state()
        again = np.asarray(_fit(family, data, task, seed=7).predict(data.X))
        after = np.random.get_state()
    finally:
        np.random.set_state(state)
    assert np.array_equal(first, again), \
        f"the same seed must give the same model; got {_apart(again, first):.3g} apart."
    same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert same, "fitting must leave numpy's global random state alone; it was used."


def _leaves_input_alone(family: Family, problem: Problem) -> None:
    import pandas as pd

    data, task = table(problem)
    frame, y = data.X.copy(deep=True), data.y.copy()
    model = _fit(family, data, task)
    model.predict(data.X)
    try:
        pd.testing.assert_frame_equal(data.X, frame, check_exact=True)
    except AssertionError as error:
        raise AssertionError(f"fit and predict must not change X; {str(error).splitlines()[0]}") from None
    assert np.array_equal(data.y, y), "fit must not change y; it did."


def _row_is_independent_of_its_batch(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    new, _ = table(problem, n=12, seed=1)
    model = _fit(family, data, task)
    whole = np.asarray(model.predict(new.X))
    single = np.concatenate([np.asarray(model.predict(new.X.iloc[[i]])) for i in range(12)])
    mixed = np.asarray(model.predict(new.X.iloc[::-1]))[::-1]
    away = max(_apart(single, whole), _apart(mixed, whole))
    assert away <= PARITY, f"a row's prediction must not depend on its batch; got {away:.3g} apart."


def _learns(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    new, _ = table(problem, seed=1)
    loss = _loss(np.asarray(_fit(family, data, task).predict(new.X)), new.y, task)
    constant = _constant_loss(data.y, new.y, task)
    if family.baseline:
        assert loss < 1.1 * constant, \
            f"a baseline must be about the constant; got loss={loss:.3g} against {constant:.3g}."
    else:
        assert loss < 0.85 * constant, f"an easy table must be learned; got loss={loss:.3g} against {constant:.3g}."


def _finds_nothing_in_noise(family: Family, problem: Problem) -> None:
    import pandas as pd

    data, task = table(problem, n=300, noise=True)
    new, _ = table(problem, n=300, seed=1, noise=True)
    # A level for every row: whoever encodes it by its own target believes in it, and is wrong on new rows.
    levels = pd.Series([f"c{i}" for i in range(300)], dtype=object)
    model = _fit(family, replace(data, X=data.X.assign(code=levels)), task)
    loss = _loss(np.asarray(model.predict(new.X.assign(code=levels))), new.y, task)
    constant = _constant_loss(data.y, new.y, task)
    assert loss > 0.9 * constant, f"noise must not be predictable; got loss={loss:.3g} against {constant:.3g}."
    assert loss < NOISE * constant, f"noise must not be believed; got loss={loss:.3g} against {constant:.3g}: leakage."


def _survives_one_feature(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    for name in ("size", "town", "when", "note"):
        schema = Schema(columns=(data.schema.column(name),))
        few = Dataset(X=data.X[[name]], y=data.y, schema=schema)
        model = _fit(family, few, replace(task, features=1))
        _proper(model.predict(few.X.iloc[:3]), task, 3)


def _survives_unusable_columns(family: Family, problem: Problem) -> None:
    import pandas as pd

    data, task = table(problem)
    X = data.X.assign(half=np.nan, flag=1.0)
    X["code"] = pd.Series([None] * len(X), dtype=object)
    model = _fit(family, replace(data, X=X), task)
    _proper(model.predict(X), task, len(X))
    _proper(model.predict(data.X), task, len(X))


def _survives_unseen_values(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    model = _fit(family, data, task)
    X = data.X.iloc[:4].reset_index(drop=True).copy()
    X["town"] = X["code"] = X["note"] = "never seen"
    X["size"], X["price"] = [np.nan, np.inf, -1e300, 1e300], np.nan
    _proper(model.predict(X), task, 4)


def _survives_classes_it_never_saw(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    y = np.zeros_like(data.y)
    _proper(_fit(family, replace(data, y=y), task).predict(data.X), task, len(y))
    if problem == "multiclass":
        rows = np.flatnonzero(data.y != 1)
        out = _proper(_fit(family, data.take(rows), task).predict(data.X), task, len(y))
        assert out[:, 1].max() < 0.2, "a class without training rows must stay improbable."


def _survives_few_rows(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    for n in (2, 8):
        _proper(_fit(family, data.take(np.arange(n)), replace(task, rows=n)).predict(data.X.iloc[:5]), task, 5)


def _takes_weights(family: Family, problem: Problem) -> None:
    if "weights" not in family.handles or family.baseline:
        return
    data, task = table(problem)
    new, _ = table(problem, seed=1)
    n = len(data)
    twice = data.take(np.concatenate([np.arange(n), np.arange(n)]))
    y = np.concatenate([data.y, data.y[np.random.default_rng(5).permutation(n)]])
    light = np.repeat([1.0, 0.01], n)
    plain, told = (_loss(np.asarray(_fit(family, replace(twice, y=y, weight=weight), task).predict(new.X)), new.y, task)
                   for weight in (None, light))
    assert told < plain, \
        f"rows of little weight must count little; got loss={told:.3g} with weights, {plain:.3g} without."


def _obeys_the_deadline(family: Family, problem: Problem) -> None:
    data, task = table(problem, n=2000)
    slow = {k: v for k, v in family.defaults.items() if k not in ("early_stopping",)}
    _fit(family, data.take(np.arange(20)), task)  # importing the library is not part of the fit that is timed
    for within in (-1.0, 0.3):
        start = time.monotonic()
        model = _fit(family, data, task, params=slow, within=within)
        over = time.monotonic() - start - max(within, 0.0)
        assert over < OVERRUN_S, f"fitting must stop at its deadline; got {over:.2g} s over."
        _proper(model.predict(data.X.iloc[:20]), task, 20)


def _saves_safely_and_exactly(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    new, _ = table(problem, n=60, seed=1)
    model = _fit(family, data, task)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        meta = model.save(folder)
        assert json.loads(json.dumps(meta, allow_nan=False)) == meta, "the meta of save must be plain JSON."
        assert isinstance(meta.get("runtime"), str), f"save must name its runtime; got runtime={meta.get('runtime')!r}."
        for path in folder.rglob("*"):
            _safe(path)
        if meta["runtime"] == "tabular" and all(core["format"] == "onnx" for core in meta["cores"]):
            served = _serve(folder, meta, new.X)
            told = np.asarray(model.predict(new.X)).reshape(served.shape)
            away = _apart(served, told)
            assert away <= PARITY, f"the saved model must predict what the model predicts; got {away:.3g} apart."


def _safe(path: Path) -> None:
    assert path.suffix in SUFFIXES, f"saved files must be one of {SUFFIXES}; got {path.name!r}."
    content = path.read_bytes()
    found = [word for word in UNSAFE if word in content]
    assert not content.startswith(b"\x80") and not found, f"saved files must hold no pickle; got {path.name!r} {found}."


def _serve(folder: Path, meta: Mapping[str, Any], X: Any) -> Any:
    import onnxruntime

    from rightfit.data.encode import Encoder

    encoder = Encoder.from_json((folder / meta["encoder"]).read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / meta["cores"][0]["file"]), options,
                                           providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["X"] and [o.name for o in session.get_outputs()] == ["Y"], \
        "the graph must have one input X and one output Y."
    return session.run(["Y"], {"X": encoder.frame(X)})[0]


def _reuses_what_it_learned(family: Family, problem: Problem) -> None:
    data, task = table(problem)
    first = _fit(family, data, task)
    json.dumps(dict(first.learned), allow_nan=False)
    unknown = [name for name in first.learned if name not in family.defaults]
    assert not unknown, f"learned figures must be parameters of the family; got {unknown}."
    again = _fit(family, data, task, params={**first.learned, "early_stopping": False})
    for name, value in first.learned.items():
        assert again.learned[name] == value, f"a refit must reuse {name}={value}; got {again.learned[name]}."


def _stated(family: Family) -> None:
    """What is said about the family without building it."""
    facts = family.facts
    assert family.name.isidentifier(), f"names must be identifiers; got name={family.name!r}."
    assert 1900 < facts.year < 2100 and facts.paper and facts.licence and facts.framework and facts.good_at, \
        f"facts must be complete; got {asdict(facts)}."
    for name, dimension in family.space.items():
        if dimension.choices:
            continue
        low, high = dimension.low, dimension.high
        assert low is not None and high is not None and low < high, f"{name} needs low < high; got {low}..{high}."
        assert not dimension.log or low > 0, f"{name} is on a log scale and needs low above 0; got low={low}."
    loose = [name for name in family.regularisers if name not in family.space]
    assert not loose, f"regularisers must be in the space; got {loose}."
    for params in (family.defaults, family.smoke, *family.variants):
        Candidate(family=family.name, params=params)
        assert json.loads(json.dumps(dict(params), allow_nan=False)) == dict(params), \
            f"params must be JSON; got {params}."
    for rows in (10, 10_000_000):
        task = Task(modality="tabular", problem=family.problems[0], target=("y",), metric="", rows=rows, features=10)
        assert 0 < family.seconds(task) < float("inf"), f"seconds must be positive; got {family.seconds(task)}."


FAMILY_CHECKS: tuple[Callable[[Family, Problem], None], ...] = (
    _predicts_properly, _same_seed_same_predictions, _leaves_input_alone, _row_is_independent_of_its_batch, _learns,
    _finds_nothing_in_noise, _survives_one_feature, _survives_unusable_columns, _survives_unseen_values,
    _survives_classes_it_never_saw, _survives_few_rows, _takes_weights, _obeys_the_deadline, _saves_safely_and_exactly,
    _reuses_what_it_learned,
)
