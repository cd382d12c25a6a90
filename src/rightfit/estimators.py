"""rightfit as scikit-learn estimators: the whole choice behind fit, in pipelines, searches and cross-validation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_array, check_is_fitted, validate_data

from rightfit.errors import DataError, RightfitError

if TYPE_CHECKING:
    from rightfit.records import Need, Problem

TARGET, WEIGHT = "target", "sample weight"


class _RightFit(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; see `RightFitClassifier`."""

    def __init__(self, *, metric: str | None = None, time_limit: float = 300.0, limits: Mapping[str, Any] | None = None,
                 need: Need | None = None, n_jobs: int | None = None, random_state: Any = None) -> None:
        self.metric, self.time_limit, self.limits, self.need = metric, time_limit, limits, need
        self.n_jobs, self.random_state = n_jobs, random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.target_tags.multi_output = True
        tags.non_deterministic = True  # the clock decides how much is tried
        return tags

    def _needed(self, names: tuple[str, ...], problem: Problem, numeric: bool, weighted: bool) -> Need:
        """What is asked of `choose`, with the data's own columns named."""
        import dataclasses

        from rightfit.records import Need
        from rightfit.resources.machine import usable_cores

        base = self.need if self.need is not None else Need()
        many = len(names) > 1
        if base.quantiles or (base.problem in ("quantile", "count") and problem == "regression"):
            problem = base.problem or "quantile"
        elif base.problem == "ordinal" and problem == "multiclass":
            problem = "ordinal"  # classes are named by their place, so sorted they are in order
        jobs = None if self.n_jobs is None else self.n_jobs if self.n_jobs > 0 else usable_cores() + 1 + self.n_jobs
        features = range(self.n_features_in_)
        return dataclasses.replace(
            base, target=names if many else names[0], problem=problem, modality="tabular",
            order=tuple(self._texts) if problem == "ordinal" else (),
            metric=self.metric or base.metric, budget=self.time_limit, seed=_seed(self.random_state),
            workers=None if jobs is None else max(1, jobs), row_weight=WEIGHT if weighted else None,
            keep=tuple(_named(i) for i in features) if numeric else base.keep,
            kinds={**{_named(i): "numeric" for i in features}, **base.kinds} if numeric else base.kinds,
            **dict(self.limits or {}))

    def _choose(self, X: Any, targets: Mapping[str, Any], problem: Problem, sample_weight: Any) -> None:
        from rightfit.choose import choose
        from rightfit.package.write import zip_package

        frame, numeric = self._frame(X)
        if sample_weight is not None:
            frame[WEIGHT] = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        for name, values in targets.items():
            frame[name] = values
        need = self._needed(tuple(targets), problem, numeric, sample_weight is not None)
        with tempfile.TemporaryDirectory(prefix="rightfit-") as folder:
            try:
                choice = choose(frame, need, out=Path(folder) / "run")
            except DataError as error:
                raise ValueError(str(error)) from error
            self.decision_ = choice.decision
            self._loaded = choice.model  # raises Infeasible where no model meets every limit
            packed = Path(folder) / "package.zip"
            zip_package(choice.package, packed)
            self.package_ = packed.read_bytes()

    def _frame(self, X: Any) -> tuple[Any, bool]:
        """A frame of our own with texts as column names, and whether it came from an array of numbers."""
        import pandas as pd

        if hasattr(X, "to_pandas"):
            X = X.to_pandas()
        if hasattr(X, "iloc"):
            frame = X.reset_index(drop=True)
            frame.columns = [str(name) for name in frame.columns]
            return frame, False
        return pd.DataFrame(X, columns=[_named(i) for i in range(X.shape[1])]), X.dtype.kind in "fiub"

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Frames pass with their names and kinds; everything else as scikit-learn's arrays."""
        if hasattr(X, "iloc") or hasattr(X, "to_pandas"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X) or not X.shape[1]:
                check_array(X, dtype=None, ensure_all_finite=False)
            return X
        X = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan",
                          ensure_min_samples=2 if reset else 1)
        if X.dtype.kind == "O":
            _refuse_objects(X)
        return X

    @property
    def model_(self) -> Any:
        """The packaged model: `predict_one(record)`, `schema`, and all that `rightfit.load` gives."""
        check_is_fitted(self)
        if self.__dict__.get("_loaded") is None:
            from rightfit.package.read import load

            with tempfile.TemporaryDirectory(prefix="rightfit-") as folder:
                packed = Path(folder) / "package.zip"
                packed.write_bytes(self.package_)
                self._loaded = load(packed)
        return self._loaded

    def _values(self, X: Any) -> tuple[Any, Any]:
        check_is_fitted(self)
        frame = self._frame(self._checked(X, reset=False))[0]
        try:
            return self.model_, frame[[c.name for c in self.model_.schema.features]]
        except RightfitError as error:
            raise ValueError(str(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        """The package travels as the bytes of its zip; a loaded model belongs to its process."""
        return {**super().__getstate__(), "_loaded": None}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "package_")


class RightFitClassifier(ClassifierMixin, _RightFit):  # type: ignore[misc]
    """Choose, prove and keep the best classifier within `time_limit` seconds, as a scikit-learn estimator.

    metric: what good means (see `rightfit.metrics`); limits: hard limits as in `Need`, e.g. {"max_latency": "5ms"};
    need: everything else that can be asked, such as problem "ordinal" (classes in sorted order), "count" or "quantile"
    with quantiles, monotone, coverage; n_jobs: trials side by side, all cores when None; random_state: the seed.
    After fit: `classes_` (k,), `decision_`, `model_`, `package_` (bytes of a zip without pickle). y: (n,), or (n, k)
    of 0 and 1 for several labels. Raises ValueError for data that cannot be used, Infeasible where no model meets
    every limit.

    >>> RightFitClassifier(metric="f1", time_limit=60)
    RightFitClassifier(metric='f1', time_limit=60)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RightFitClassifier:
        """Choose on X (n, features), a frame or an array, and y; sample_weight (n,) counts in training."""
        X = self._checked_pair(X, y)
        y = self._y
        del self._y
        check_classification_targets(y)
        if type_of_target(y) == "multilabel-indicator":
            self.classes_ = np.arange(y.shape[1])
            self._labels = True
            targets = {f"{TARGET}{i}": np.where(y[:, i], "yes", "no") for i in range(y.shape[1])}
            self._choose(X, targets, "multilabel", sample_weight)
            return self
        self._labels = False
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs two classes or more; got one class={self.classes_[0]!r}, add rows.")
        texts = np.array([f"c{i}" for i in range(len(self.classes_))], dtype=object)
        self._texts = texts
        self._choose(X, {TARGET: texts[codes]}, "binary" if len(texts) == 2 else "multiclass", sample_weight)
        return self

    def _checked_pair(self, X: Any, y: Any) -> Any:
        from sklearn.utils import check_consistent_length, column_or_1d

        if y is None:
            raise ValueError("This RightFitClassifier estimator requires y to be passed, but the target y is None.")
        X = self._checked(X, reset=True)
        y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=True) if _is_numeric(y) else np.asarray(y)
        self._y = y if y.ndim == 2 and y.shape[1] > 1 else column_or_1d(y, warn=True)
        check_consistent_length(X, self._y)
        return X

    def predict_proba(self, X: Any) -> Any:
        """Calibrated probabilities (n, k) in the order of `classes_`."""
        model, frame = self._values(X)
        found = model.predict_proba(frame)
        return found if self._labels else found[:, self._order(model)]

    def predict(self, X: Any) -> Any:
        """Labels (n,) by the rule that was tuned for the metric, or 0 and 1 (n, k) for several labels."""
        model, frame = self._values(X)
        found = model.predict(frame)
        if self._labels:
            return np.asarray(found, dtype=np.int64)
        return self.classes_[[int(text[1:]) for text in found]]

    def predict_set(self, X: Any, level: float | None = None) -> list[Any]:
        """The classes that may be true, n arrays; needs `need=Need(coverage=0.9)`. See `LoadedModel.predict_set`."""
        model, frame = self._values(X)
        return [self.classes_[[int(text[1:]) for text in one]] for one in model.predict_set(frame, level)]

    @staticmethod
    def _order(model: Any) -> Any:
        return np.argsort([int(text[1:]) for text in model.classes_])


class RightFitRegressor(RegressorMixin, _RightFit):  # type: ignore[misc]
    """Choose, prove and keep the best regressor within `time_limit` seconds, as a scikit-learn estimator.

    Parameters and what fit leaves behind are those of `RightFitClassifier`; y: (n,) or (n, k) numbers.

    >>> RightFitRegressor(metric="mae", time_limit=60)
    RightFitRegressor(metric='mae', time_limit=60)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RightFitRegressor:
        """Choose on X (n, features), a frame or an array, and y; sample_weight (n,) counts in training."""
        from sklearn.utils import check_consistent_length, column_or_1d

        if y is None:
            raise ValueError("This RightFitRegressor estimator requires y to be passed, but the target y is None.")
        X = self._checked(X, reset=True)
        y = check_array(y, ensure_2d=False, dtype=np.float64)
        y = y if y.ndim == 2 and y.shape[1] > 1 else column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        columns = {TARGET: y} if y.ndim == 1 else {f"{TARGET}{i}": y[:, i] for i in range(y.shape[1])}
        self._choose(X, columns, "regression", sample_weight)
        return self

    def predict(self, X: Any) -> Any:
        """Values (n,), or (n, k) of several outputs or quantiles."""
        model, frame = self._values(X)
        return model.predict(frame)

    def predict_interval(self, X: Any, level: float | None = None) -> Any:
        """(n, 2) lower and upper ends; needs `need=Need(coverage=0.9)`. See `LoadedModel.predict_interval`."""
        model, frame = self._values(X)
        return model.predict_interval(frame, level)


def _named(position: int) -> str:
    return f"x{position}"


def _seed(random_state: Any) -> int:
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return 0 if random_state is None else int(check_random_state(random_state).randint(2**31 - 1))


def _is_numeric(y: Any) -> bool:
    return np.asarray(y).dtype.kind in "fiub"


def _refuse_objects(X: Any) -> None:
    plain = (str, int, float, bool, np.number, np.bool_)
    bad = next((v for v in X.ravel() if v is not None and not isinstance(v, plain)), None)
    if bad is not None:
        raise TypeError(f"a cell's argument must be a string or a number; got {type(bad).__name__}={bad!r}.")
