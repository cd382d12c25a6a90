"""From a package to predictions; imports numpy and what the model runs on, nothing that trains.

predict_one is the path whose latency is promised: everything that can be decided when loading is decided then.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import PackageError, RightfitError, UsageError
from rightfit.package import verify
from rightfit.package.cores import THREADS
from rightfit.package.runtimes import Runtime, Scorer
from rightfit.records import Rule, Schema, Task, revive

RUNTIMES = "rightfit.package.runtimes"


class LoadedModel:
    """A packaged model, ready to predict; made by `load`.

    `classes_`: labels as text in the order of the probability columns. `info`: package.json. `sample`: real records.
    """

    def __init__(self, info: Mapping[str, Any], schema: Schema, sample: Sequence[Mapping[str, Any]], scorer: Scorer,
                 path: Path) -> None:
        from rightfit.data.schema import compile_row

        self.info, self.schema, self.sample, self.path = info, schema, sample, path
        self.task, self.rule = revive(Task, info["task"]), revive(Rule, info["rule"])
        self.classes_ = np.array(self.task.classes, dtype=object)
        self._scorer = scorer
        self._coerce = compile_row(schema)
        self._calibrate = _calibration(self.rule)
        self._answer = answer(self.task, self.rule)

    def __repr__(self) -> str:
        return f"LoadedModel({self.task.problem}, {self.info['candidate']['family']}, {str(self.path)!r})"

    @cached_property
    def decision(self) -> dict[str, Any] | None:
        """decision.json, if it stands in the package or next to it."""
        for place in (self.path / "decision.json", self.path.parent / "decision.json"):
            if place.is_file():
                with place.open("rb") as file:
                    found = verify.parse(file.read(verify.MAX_JSON + 1), str(place))
                return found if isinstance(found, dict) else None
        return None

    def raw(self, X: Any) -> Any:
        """What the model says before calibration and rule: float64 (n, k). X as for `predict`."""
        if isinstance(X, Mapping):
            X = [X]
        if isinstance(X, Sequence) and not isinstance(X, str):
            return self._records(X)
        return self.raw_of_coerced(self._frame(X))

    def raw_of_coerced(self, X: Any) -> Any:
        """As `raw`, for a frame of feature columns that was coerced to the schema before."""
        return np.asarray(self._scorer.frame(X), np.float64).reshape(len(X), -1)

    def predict_proba(self, X: Any) -> Any:
        """Calibrated probabilities (n, k) in the order of `classes_`. Raises UsageError where there are no classes."""
        if not self.task.classifies:
            raise UsageError(f"predict_proba needs a classification task; got problem={self.task.problem!r}.")
        return self.values(X)

    def predict(self, X: Any) -> Any:
        """Labels (n,) as text, 0/1 (n, k) for multilabel, values (n,) or (n, k) otherwise.

        X: a pandas or Polars frame with the schema's columns in any order, a list of records, or one record, of raw
        values. Raises DataError for rows that break the schema.
        """
        return self.decide(self.values(X))

    def decide(self, values: Any) -> Any:
        """What `predict` returns, from what `values` returned."""
        if not self.task.classifies:
            return values[:, 0] if values.shape[1] == 1 else values
        from rightfit.metrics.base import labels

        codes = labels(values, self.task, self.rule)
        return codes if self.task.problem == "multilabel" else self.classes_[codes]

    def predict_interval(self, X: Any, level: float | None = None) -> Any:
        """(n, 2) lower and upper ends that hold the stated share of rows, (n, k, 2) for several outputs.

        X as for `predict`; level: the coverage the package was made with, or another that it keeps. Raises UsageError
        where there is none, or for classes.
        """
        from rightfit.metrics import conformal

        found = conformal.intervals(self.values(X), self.task, self.rule.conformal, level)
        return found[:, 0] if found.shape[1] == 1 else found

    def predict_set(self, X: Any, level: float | None = None) -> list[list[str]]:
        """The classes that may be true, n lists, which hold the truth for the stated share of rows; one may be empty.

        X and level as for `predict_interval`. Raises UsageError where there is no coverage, or for values.
        """
        from rightfit.metrics import conformal

        inside = conformal.sets(self.values(X), self.task, self.rule.conformal, level)
        return [self.classes_[row].tolist() for row in inside]

    def predict_one(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """One raw record to {"prediction": label, "probabilities": {class: p}} or {"prediction": value}.

        A multilabel prediction is the list of its labels; that of several outputs, or quantiles, the list of their
        values. A package with a coverage adds "interval" [low, high], or "set" [class, ...].
        """
        values = self._scorer.row(self._coerce(record))
        return self._answer((self._calibrate(values) if self._calibrate else values)[0].tolist())

    def values(self, X: Any) -> Any:
        """Calibrated probabilities or plain values, float64 (n, k), whatever the task. X as for `predict`."""
        raw = self.raw(X)
        return self._calibrate(raw) if self._calibrate and len(raw) else raw

    def parse(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """One raw record as values of the schema's kinds, for `values_of`. Raises DataError."""
        return self._coerce(record)

    def values_of(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """As `values`, for records that `parse` read before: float64 (n, k)."""
        if not rows:
            return np.empty((0, len(self.task.classes) or self.task.outputs))
        one = len(rows) == 1
        raw = self._scorer.row(rows[0]) if one else self._scorer.rows(rows)
        raw = np.asarray(raw, np.float64).reshape(len(rows), -1)
        return self._calibrate(raw) if self._calibrate else raw

    def answer(self, values: Any) -> dict[str, Any]:
        """What `predict_one` gives, from one row (k,) of `values`."""
        return self._answer(values.tolist())

    def _records(self, records: Sequence[Mapping[str, Any]]) -> Any:
        if not all(isinstance(r, Mapping) for r in records):
            kind = next(type(r).__name__ for r in records if not isinstance(r, Mapping))
            raise UsageError(f"rows must be a frame, records or one record; got a list of {kind}.")
        if not records:
            return np.empty((0, len(self.task.classes) or self.task.outputs))
        rows = [self._coerce(record) for record in records]
        return np.asarray(self._scorer.rows(rows), np.float64).reshape(len(rows), -1)

    def _frame(self, X: Any) -> Any:
        from rightfit.data.schema import coerce

        if not hasattr(X, "iloc"):
            if not hasattr(X, "to_pandas"):
                raise UsageError(f"rows must be a pandas or Polars frame, records or one record; "
                                 f"got {type(X).__name__}.")
            X = X.to_pandas()
        return coerce(X, self.schema)


def _calibration(rule: Rule) -> Callable[[Any], Any] | None:
    if rule.calibration.get("kind", "none") == "none":
        return None
    from rightfit.metrics.calibration import calibrator

    return calibrator(rule.calibration)


def answer(task: Task, rule: Rule) -> Callable[[list[float]], dict[str, Any]]:
    """The function from one row's calibrated predictions (k floats) to predict_one's answer.

    It decides as `rightfit.metrics.labels` does, without arrays.
    """
    classes, threshold, cost = task.classes, rule.threshold, rule.cost

    bounds = rule.conformal["bounds"][f"{rule.conformal['level']:g}"] if rule.conformal else None
    if bounds is not None and task.classifies:
        least_p = 1 - bounds[0] - 1e-12
        plain = answer(task, dataclasses.replace(rule, conformal={}))
        return lambda row: {**plain(row), "set": [c for c, p in zip(classes, row, strict=True) if p >= least_p]}

    def surrounded(row: list[float]) -> dict[str, Any]:
        from rightfit.metrics import conformal

        ends = conformal.intervals(np.array([row]), task, rule.conformal)[0].tolist()
        return {**values(row), "interval": ends[0] if len(ends) == 1 else ends}

    def values(row: list[float]) -> dict[str, Any]:
        return {"prediction": row[0] if len(row) == 1 else row}

    def multilabel(row: list[float]) -> dict[str, Any]:
        found = [name for name, p, least in zip(classes, row, least_of, strict=True) if p >= least]
        return {"prediction": found, "probabilities": dict(zip(classes, row, strict=True))}

    def cheapest(row: list[float]) -> dict[str, Any]:
        prices = (np.array([row]) @ matrix)[0].tolist()
        return {"prediction": classes[prices.index(min(prices))], "probabilities": dict(zip(classes, row, strict=True))}

    def binary(row: list[float]) -> dict[str, Any]:
        return {"prediction": classes[row[-1] >= least], "probabilities": dict(zip(classes, row, strict=True))}

    def likeliest(row: list[float]) -> dict[str, Any]:
        return {"prediction": classes[row.index(max(row))], "probabilities": dict(zip(classes, row, strict=True))}

    if not task.classifies:
        return values if bounds is None else surrounded
    if task.problem == "multilabel":
        least_of = tuple(threshold) * (len(classes) if len(threshold) == 1 else 1) or (0.5,) * len(classes)
        return multilabel
    if cost and not threshold:
        matrix = np.asarray(cost, np.float64)
        return cheapest
    least = threshold[0] if threshold else 0.5
    return binary if task.problem == "binary" else likeliest


def _info(folder: Path) -> dict[str, Any]:
    info = verify.parse((folder / "package.json").read_bytes(), "package.json")
    version = info.get("format") if isinstance(info, dict) else None
    if type(version) is not int or version < 1:
        raise PackageError(f"package.json must state its format; got format={version!r}, the package is damaged.")
    if version > verify.FORMAT:
        raise PackageError(f"a package must be of format {verify.FORMAT} or older; got format={version}, written by "
                           f"rightfit {str(info.get('rightfit'))[:20]}, install a newer rightfit.")
    return dict(info)


def _scorer(folder: Path, info: Mapping[str, Any]) -> Scorer:
    meta = info["runtime"]
    runtime: Runtime = registry.plugin(RUNTIMES, str(meta["runtime"]), "runtime")
    return runtime.load(folder, meta)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    token = THREADS.set(number)
    try:
        yield
    finally:
        THREADS.reset(token)


@contextlib.contextmanager
def _as_package_error(path: Path) -> Any:
    """Whatever a hostile or damaged file makes a parser raise, the user gets one sentence."""
    try:
        yield
    except PackageError:
        raise
    except ModuleNotFoundError as error:
        raise PackageError(f"this package needs the library {error.name}; got path={str(path)!r} without it, "
                           "install it.") from error
    except RightfitError as error:
        raise PackageError(f"a package must be readable by this rightfit; got path={str(path)!r}: {error}") from error
    except Exception as error:  # native parsers raise classes of their own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise PackageError(f"a package must be whole and of this version's making; got path={str(path)!r} and "
                           f"{reason!r}.") from error


def load(path: str | Path, threads: int = 1) -> LoadedModel:
    """A verified package, folder or zip, ready to predict. Raises PackageError for what is damaged, unsafe, newer.

    threads: how many an ONNX graph may use for one call. One is what limits were measured with and what servers want;
    more make a large network answer sooner on a machine that has nothing else to do. Raises UsageError below 1.
    """
    if not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a whole number from 1 on; got threads={threads!r}, correct it.")
    path = Path(path)
    with _threads(threads), _as_package_error(path), verify.opened(path) as folder:
        info = _info(folder)
        schema = revive(Schema, verify.parse((folder / "schema.json").read_bytes(), "schema.json"))
        sample = verify.parse((folder / "sample.json").read_bytes(), "sample.json")
        if not isinstance(sample, list) or not all(isinstance(record, dict) for record in sample):
            raise PackageError("sample.json must be a list of records; got something else, the package is damaged.")
        return LoadedModel(info, schema, sample, _scorer(folder, info), path)
