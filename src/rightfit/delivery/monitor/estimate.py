"""Performance of a window: estimated without labels (CBPE, DLE), or realised once they have arrived (issue 6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor.records import Performance
from rightfit.errors import DataError, UsageError
from rightfit.metrics import base, calibration, interval, rules
from rightfit.records import Rule, Task, frozen

FEWEST, RESAMPLES, DRAWS, FOLDS = 30, 20, 25, 5
CBPE = ("CBPE: holds if only the mix of rows changed (no concept drift: labels follow from the features as in the "
        "reference), the probabilities can be calibrated on the reference, and every kind of row occurs there.")
DLE = ("DLE: holds if only the mix of rows changed (no concept drift: the loss follows from the features as in the "
       "reference), and every kind of row occurs there.")
REALISED = "Holds for rows whose labels have arrived, if these are like those still to come and independent."
LOSSES = ("mae", "mse", "rmse")


@frozen
class Reference:
    """Labelled rows that the model was not trained on. y (n,); pred (n, k) delivered probabilities, or (n,) values.

    X (n rows): a coerced frame, for regression; rule: how probabilities become labels.
    """

    task: Task
    y: Any
    pred: Any
    X: Any = None
    rule: Rule = Rule()


def estimated(metric: str, pred: Any, reference: Reference, *, X: Any = None, seed: int = 0) -> Performance:
    """The metric on a window without labels, with the 95 % interval of what will be realised there.

    pred: (m, k) delivered probabilities or (m,) values. Classification: any metric by confidence-based performance
    estimation (CBPE, NannyML), labels drawn from probabilities recalibrated on resampled reference rows. Regression:
    mae, mse or rmse by direct loss estimation (DLE) from the window's features X (m rows). Raises DataError for fewer
    than 30 rows, UsageError for a metric or a problem that cannot be estimated.
    """
    pred = np.asarray(pred, float)
    for name, rows in (("window", len(pred)), ("reference", len(reference.pred))):
        if rows < FEWEST:
            raise DataError(f"an estimate needs {FEWEST} rows; got {name} rows={rows}, wait for more.")
    if not np.isfinite(pred).all():
        raise DataError(f"predictions must be finite; got not finite={int((~np.isfinite(pred)).sum())}, leave those "
                        "rows out.")
    task, rng = reference.task, np.random.default_rng(seed)
    found = base.find(metric, task.problem)
    if task.one_label:
        spread, said = _cbpe(found, pred, reference, rng), CBPE
    elif task.problem == "regression" and found.name in LOSSES and task.outputs == 1:
        spread, said = _dle(found.name, pred, reference, X, rng), DLE
    else:
        raise UsageError(f"an estimate without labels needs binary or multiclass, or regression of one target with "
                         f"{', '.join(LOSSES)}; got problem={task.problem!r}, metric={metric!r}.")
    spread = spread[np.isfinite(spread)]
    if not len(spread):
        raise DataError(f"{found.name} must be defined on a window; got none of {RESAMPLES * DRAWS} draws, take a "
                        "longer window.")
    low, high = np.quantile(spread, [0.025, 0.975])
    return Performance(metric=found.name, value=float(spread.mean()), low=float(low), high=float(high),
                       assumption=said)


def soft(pred: Any, rows: int) -> Any:
    """Probabilities (n, k) no surer than so many rows can show: a certain 0 or 1 would bend a logistic calibration.

    >>> soft(np.array([[0.0, 1.0]]), 50).tolist()
    [[0.01, 0.99]]
    """
    return np.clip(pred, 0.5 / rows, 1 - 0.5 / rows)


def _cbpe(metric: Any, pred: Any, reference: Reference, rng: Any) -> Any:
    """The metric under labels drawn from calibrated probabilities: label noise and calibration error together."""
    task, y, known = reference.task, np.asarray(reference.y), np.asarray(reference.pred, float)
    codes, every = base.labels(pred, task, reference.rule), np.arange(len(pred))
    kind = "platt" if task.problem == "binary" else "temperature"
    known, softer = soft(known, len(y)), soft(pred, len(y))
    found = []
    for _ in range(RESAMPLES):
        some = rng.integers(0, len(y), len(y))
        if len(np.unique(y[some])) < 2:
            continue
        fitted = calibration.fit_calibration(kind, y[some], known[some], task)
        bounds = calibration.apply_calibration(softer, fitted).cumsum(axis=1)[:, :-1]
        for _ in range(DRAWS):
            drawn = (rng.random((len(pred), 1)) > bounds).sum(axis=1)
            found.append(rules.of_rows(metric, drawn, pred, codes, every, task))
    return np.array(found)


def _dle(name: str, pred: Any, reference: Reference, X: Any, rng: Any) -> Any:
    """Draws of the loss: mean predicted loss, its error by the jackknife over folds, and the noise of the window."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    if X is None or reference.X is None or len(X) != len(pred) or len(reference.X) != len(reference.pred):
        raise UsageError(f"a loss is estimated from features; got X={'none' if X is None else len(X)} rows with "
                         f"predictions={len(pred)}, pass the rows of the window and of the reference.")
    gone = np.abs(np.asarray(reference.y, float) - np.asarray(reference.pred, float))
    loss = gone if name == "mae" else gone**2
    known, new = _numbers(reference.X, reference.pred, reference.X), _numbers(X, pred, reference.X)
    fold = rng.permutation(len(loss)) % FOLDS
    means, rest = np.empty(FOLDS), np.empty(len(loss))
    for k in range(FOLDS):
        model = HistGradientBoostingRegressor(max_iter=60, max_depth=3, random_state=0)
        model.fit(known[fold != k], loss[fold != k])
        means[k] = model.predict(new).mean()
        rest[fold == k] = loss[fold == k] - model.predict(known[fold == k])
    error = np.sqrt((FOLDS - 1) / FOLDS * ((means - means.mean())**2).sum() + rest.var() / len(loss))
    noise = rng.choice(rest - rest.mean(), (RESAMPLES * DRAWS, len(pred))).mean(axis=1)
    drawn = np.maximum(means.mean() + rest.mean() + error * rng.normal(size=len(noise)) + noise, 0)
    return np.sqrt(drawn) if name == "rmse" else drawn


def _numbers(X: Any, pred: Any, like: Any) -> Any:
    """(n, columns + 1) float64: numbers as they are, other columns by how often the reference has the value."""
    columns = [X[name].to_numpy(float) if like[name].dtype.kind in "fiub"
               else X[name].astype(object).map(like[name].astype(object).value_counts(normalize=True)).fillna(0)
               .to_numpy(float) for name in like.columns]
    return np.column_stack([*columns, np.asarray(pred, float)])


def join(predictions: Any, labels: Any, key: str, *, time: str | None = None) -> Any:
    """Predictions with the labels that have arrived, by id: an inner join of two frames in the predictions' order.

    time: a column of both, when predicted and when labelled. Raises DataError for an empty window, a lacking column,
    missing, duplicated or unknown ids, and a clock that goes backwards.
    """
    import pandas as pd

    for name, frame in (("predictions", predictions), ("labels", labels)):
        for column in (key, *([time] if time else [])):
            if column not in frame.columns:
                raise DataError(f"{name} must hold column={column!r}; got {list(frame.columns)[:5]}, add it.")
        if not len(frame):
            raise DataError(f"a window must hold rows; got {name} rows=0, wait for more.")
        if frame[key].isna().any():
            raise DataError(f"every row of the {name} must have an id; got {key} missing in "
                            f"rows={int(frame[key].isna().sum())}, fill it.")
        twice = frame[key][frame[key].duplicated()]
        if len(twice):
            raise DataError(f"an id must stand once in the {name}; got {key}={twice.iloc[0]} again, one of "
                            f"{twice.nunique()}, keep one row of each.")
    unknown = labels[key][~labels[key].isin(predictions[key])]
    if len(unknown):
        raise DataError(f"every label must belong to a prediction; got unknown {key}={unknown.iloc[0]}, one of "
                        f"{len(unknown)}, pass the predictions that they belong to.")
    if time:
        forwards(predictions, time)
    joined = predictions.merge(labels, on=key, how="inner", validate="one_to_one", suffixes=("", "_label"))
    if time:
        early = pd.to_datetime(joined[f"{time}_label"], utc=True) < pd.to_datetime(joined[time], utc=True)
        if early.any():
            raise DataError(f"a label must not be older than its prediction; got {key}="
                            f"{joined[key][early].iloc[0]}, one of {int(early.sum())}, check the clocks.")
    return joined


def forwards(frame: Any, time: str) -> None:
    """Raises DataError where a column of times, of any zone, is lacking, cannot be read, or goes backwards."""
    import pandas as pd

    if time not in frame.columns:
        raise DataError(f"predictions must hold column={time!r}; got {list(frame.columns)[:5]}, add it.")
    when = pd.to_datetime(frame[time], utc=True, errors="coerce", format="mixed")
    if when.isna().any():
        row = int(np.flatnonzero(when.isna())[0])
        raise DataError(f"every row must have a time; got {time}={str(frame[time].iloc[row])!r} in row={row}.")
    if not when.is_monotonic_increasing:
        row = int(np.flatnonzero(np.diff(when.astype("int64").to_numpy()) < 0)[0]) + 1
        raise DataError(f"the clock of the predictions must not go backwards; got {time}="
                        f"{str(frame[time].iloc[row])!r} in row={row}, sort them by {time}.")


def realised(metric: str, y: Any, pred: Any, task: Task, *, codes: Any = None, seed: int = 0) -> Performance:
    """The metric on labelled rows with its 95 % bootstrap interval. y (n,), pred (n, k) or (n,). Raises DataError."""
    if len(y) < 2:
        raise DataError(f"a realised score needs 2 labelled rows; got rows={len(y)}, wait for labels.")
    if len(y) != len(pred):
        raise DataError(f"every prediction must have its label; got predictions={len(pred)}, labels={len(y)}, join "
                        "them by id.")
    found = base.find(metric, task.problem)
    value, low, high = interval.bootstrap(np.asarray(y), np.asarray(pred), codes, found, task, seed=seed, n=500)
    return Performance(metric=found.name, value=value, low=low, high=high, assumption=REALISED)
