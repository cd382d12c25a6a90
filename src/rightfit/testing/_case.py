"""What the checks share: rows, fits, and how predictions are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from rightfit import metrics, registry
from rightfit.data.table import Modality
from rightfit.records import Dataset, Family, Model, Need, Problem, Schema, Task, frozen

T = TypeVar("T")
TRIES = 4
SUPERVISED: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression", "forecasting", "ordinal",
                                   "quantile", "count", "ranking")
OWN = {"quantile": "pinball", "count": "poisson_deviance", "ranking": "ndcg"}
LONG = {"epochs": 100_000, "patience": 100_000, "n_estimators": 100_000, "max_iter": 100_000, "early_stopping": False}


@frozen
class Size:
    """How much of a modality's rows the suite asks for: rows to learn from, rows without signal, rows for the
    deadline, and how far float32 may lead two ways to one prediction apart.

    `whole`: whether every problem is checked in full; otherwise one classification is, and the others in part.
    `noise`: by how much a model that believes noise may be worse than a constant.
    """

    rows: int = 240
    noisy: int = 300
    many: int = 2000
    parity: float = 1e-5
    whole: bool = True
    noise: float = 1.35


SIZES: Mapping[str, Size] = dict.fromkeys(
    ("image", "text"), Size(rows=120, noisy=120, many=400, parity=1e-4, whole=False, noise=1.6))


def modality(name: str) -> Modality:
    """The SPEC of a modality that has an example. Raises UnknownName."""
    found: Modality = registry.plugin("rightfit.data.modalities", name, "modality")
    return found


@lru_cache(maxsize=8)
def _example(name: str, problem: Problem, n: int, seed: int, noise: bool) -> tuple[Dataset, Task]:
    make = modality(name).example
    assert make is not None, f"a modality must give examples to be checked on; got {name} without."
    data, task = make(problem, n, seed=seed, noise=noise)
    return data, task


def rows(name: str, problem: Problem, n: int, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """An own copy of an easy problem of a modality: n rows and their task; `noise` shuffles the target."""
    data, task = _example(name, problem, n, seed, noise)
    return Dataset(X=data.X.copy(deep=True), y=data.y.copy(), schema=data.schema), task


def table(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """An easy table with numeric (some missing), categorical, boolean, date and text columns, and its task.

    `noise` shuffles the target, so that nothing can be learned.
    """
    return rows("tabular", problem, n, seed, noise)


class Case:
    """One family on one problem; `few`: on a third of the rows, where nothing is to be learned."""

    def __init__(self, family: Family, problem: Problem, few: bool = False) -> None:
        self.family, self.problem, self.few = family, problem, few
        self.size = SIZES.get(family.modality, Size())

    def rows(self, n: int = 0, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
        """Rows to learn from (n 0: as many as the suite needs), or with another seed rows to predict."""
        usual = self.size.rows // 3 if self.few else self.size.rows
        return rows(self.family.modality, self.problem, n or usual, seed, noise)

    def params(self, task: Task, more: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The family's smoke parameters and `more`, prepared. Raises Unavailable."""
        params = {**self.family.smoke, **(more or {})}
        if self.family.prepare is None:
            return params
        return self.family.prepare({**self.family.defaults, **params}, task, Need())

    def fit(self, data: Dataset, task: Task, *, seed: int = 1, more: Mapping[str, Any] | None = None,
            within: float = 120.0) -> Model:
        """A model fitted on the rows within so many seconds."""
        model = self.family.build(self.params(task, more), task)
        fitted = model.fit(data, seed=seed, deadline=time.monotonic() + within)
        assert fitted is model, f"fit must return the model itself; got {type(fitted).__name__}."
        return model

    def fitted(self) -> Fitted:
        """The model of the problem's plain rows, fitted once for all checks that only look at it."""
        return _fitted(self)


@frozen
class Fitted:
    """A model, the rows it was fitted on, and what fitting changed of them: empty when nothing."""

    model: Model
    data: Dataset
    task: Task
    changed: str = ""


@lru_cache(maxsize=1)
def _fitted(case: Case) -> Fitted:
    data, task = case.rows()
    model = case.fit(data, task)
    before, _ = case.rows()
    return Fitted(model=model, data=before, task=task, changed=changed(data, before))


def changed(data: Dataset, before: Dataset) -> str:
    """What differs between rows and an earlier copy of them, as a sentence; empty when nothing does."""
    import pandas as pd

    try:
        pd.testing.assert_frame_equal(data.X, before.X, check_exact=True)
    except AssertionError as error:
        return f"fit and predict must not change X; {str(error).splitlines()[0]}"
    return "" if np.array_equal(data.y, before.y) else "fit must not change y; it did."


def only(data: Dataset, X: Any) -> Dataset:
    """Other rows X for these labels, repeated or cut to their number; the schema keeps the columns of X."""
    y = data.y[np.arange(len(X)) % len(data)]
    kept = tuple(c for c in data.schema.columns if c.name in X.columns)
    return Dataset(X=X.reset_index(drop=True), y=y, schema=Schema(columns=kept))


def in_time(run: Callable[[], T], seconds: float, must: str = "it must end in time") -> T:
    """What the first of a few runs gives that takes no longer; a machine with other work stands still at times."""
    took = []
    for _ in range(TRIES):
        start = time.monotonic()
        found = run()
        took.append(time.monotonic() - start)
        if took[-1] < seconds:
            return found
    raise AssertionError(f"{must}; got {min(took):.2g} s for {seconds:.2g} s, the best of {TRIES} runs.")


def proper(predicted: Any, task: Task, n: int) -> Any:
    """Predictions of the right shape, finite, and probabilities where the task classifies."""
    out = np.asarray(predicted)
    if task.classifies:
        wide: tuple[int, ...] = (n, len(task.classes))
    else:
        wide = (n,) if task.outputs == 1 else (n, task.outputs)
    assert out.shape == wide, f"predictions must be {wide}; got shape={out.shape}."
    assert np.isfinite(out).all(), f"predictions must be finite; got {int((~np.isfinite(out)).sum())} that are not."
    if task.classifies:
        assert out.min() >= -1e-6 and out.max() <= 1 + 1e-6, \
            f"probabilities must be in 0..1; got {out.min()}..{out.max()}."
    if task.one_label:
        away = float(np.abs(out.sum(axis=1) - 1).max())
        assert away < 1e-5, f"probabilities of a row must sum to 1; got a sum {away:.2g} away."
    return out


def loss(predicted: Any, y: Any, task: Task) -> float:
    """The Brier score, the problem's own loss, or the mean squared error as a share of the target's variance."""
    if task.problem in OWN:
        value = metrics.score(OWN[task.problem], y, predicted, task)
        return 1 - value if task.problem == "ranking" else value
    if not task.classifies:
        return float(np.mean((predicted - y) ** 2) / np.var(y))
    truth = y if task.problem == "multilabel" else np.eye(len(task.classes))[y]
    return float(np.mean((predicted - truth) ** 2))


def constant_loss(y: Any, new: Any, task: Task) -> float:
    """The loss on `new` of always predicting what is usual in y."""
    if task.problem == "quantile":
        return loss(np.tile(np.quantile(y, task.quantiles), (len(new), 1)), new, task)
    if task.problem in ("count", "ranking"):
        return loss(np.full(len(new), np.mean(y)), new, task)
    if not task.classifies:
        return loss(np.broadcast_to(np.mean(y, axis=0), new.shape), new, task)
    shares = y.mean(axis=0) if task.problem == "multilabel" else np.bincount(y, minlength=len(task.classes)) / len(y)
    return loss(np.tile(shares, (len(new), 1)), new, task)


def apart(a: Any, b: Any) -> float:
    """The largest difference, relative where values exceed 1."""
    return float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max())
