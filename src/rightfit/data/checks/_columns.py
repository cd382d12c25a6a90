"""What the checks share: a fixed sample of rows, columns as small whole codes, and how well one column alone
predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rightfit.records import Dataset, Task

if TYPE_CHECKING:
    import pandas as pd

Codes = np.ndarray[Any, np.dtype[np.int64]]
SAMPLE = 20_000
BINS = 64


def sample(data: Dataset, rows: int = SAMPLE) -> Dataset:
    """At most `rows` rows, drawn without replacement with a fixed seed, in their order."""
    if len(data) <= rows:
        return data
    return data.take(np.sort(np.random.default_rng(0).choice(len(data), rows, replace=False)))


def kind(data: Dataset, name: str) -> str:
    """The schema's kind of a feature, empty when the schema does not name it."""
    return next((c.kind for c in data.schema.columns if c.name == name), "")


def numeric(values: pd.Series) -> bool:
    """Whether a column holds numbers (booleans as 0 and 1 included)."""
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(values))


def numbers(values: pd.Series) -> np.ndarray[Any, Any] | None:
    """Float64 (n,) with NaN for missing, of a numeric or datetime column; None for text."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        seconds = values.astype("datetime64[ns]").astype("int64").to_numpy() / 1e9
        return np.where(values.isna().to_numpy(), np.nan, seconds)
    if not numeric(values):
        return None
    return values.to_numpy(dtype=float, na_value=np.nan)


def codes(values: pd.Series, bins: int = BINS) -> Codes:
    """Int64 (n,) bin of each value: 0 for missing; quantile bins of numbers, the most frequent values of text, then
    the rest."""
    import pandas as pd

    array = numbers(values)
    if array is None:
        found, labels = pd.factorize(values)
        if len(labels) > bins:
            order = np.argsort(-np.bincount(found[found >= 0], minlength=len(labels)), kind="stable")
            rank = np.full(len(labels) + 1, bins)
            rank[order[:bins - 1]] = np.arange(bins - 1)
            rank[-1] = -1
            found = rank[found]
        return np.asarray(found, dtype=np.int64) + 1
    known = np.isfinite(array)
    unique = np.unique(array[known])
    if len(unique) > bins:
        unique = np.unique(np.quantile(array[known], np.linspace(0, 1, bins + 1)[1:-1]))
    out = np.zeros(len(array), dtype=np.int64)
    out[known] = np.searchsorted(unique, array[known], side="left") + 1
    return out


def alone(column: Codes, y: Any, task: Task, seed: int = 0) -> float:
    """How well one coded column (n,) predicts y (n,) on rows not used to learn: ROC AUC (classes one against the
    rest, averaged) or R2, from smoothed means per bin over five folds; 0.5 or 0 is chance.
    """
    width = int(column.max()) + 1
    fold = np.random.default_rng(seed).permutation(len(column)) % 5
    if not task.classifies:
        guess = _means(column, np.asarray(y, dtype=float), fold, width)
        spread = float(np.var(y))
        return 1 - float(np.mean((y - guess) ** 2)) / spread if spread else 0.0
    labels, counts = np.unique(y, return_counts=True)
    labels = labels[np.argsort(-counts)][:30]
    if len(labels) < 2:
        return 0.5
    if len(labels) == 2:
        labels = labels[1:]
    return float(np.mean([auc(y == c, _means(column, (y == c).astype(float), fold, width)) for c in labels]))


def _means(column: Codes, y: Any, fold: Any, width: int) -> Any:
    total, count = np.bincount(column, weights=y, minlength=width), np.bincount(column, minlength=width)
    guess = np.empty(len(y))
    for f in range(5):
        inside = fold == f
        part, size = column[inside], int(inside.sum())
        outer_sum = total - np.bincount(part, weights=y[inside], minlength=width)
        outer_n = count - np.bincount(part, minlength=width)
        prior = (y.sum() - y[inside].sum()) / max(len(y) - size, 1)
        guess[inside] = ((outer_sum + prior) / (outer_n + 1))[part]
    return guess


def auc(positive: Any, score: Any) -> float:
    """Area under the ROC curve by mid-ranks (Mann and Whitney 1947).

    >>> import numpy as np
    >>> auc(np.array([False, True, True]), np.array([0.1, 0.5, 0.1]))
    0.75
    """
    from scipy.stats import rankdata

    n1 = int(positive.sum())
    n0 = len(positive) - n1
    if n1 == 0 or n0 == 0:
        return 0.5
    return float((rankdata(score)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def row_hash(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """One uint64 per row; equal rows have equal hashes, missing equals missing."""
    import pandas as pd

    plain = frame.copy(deep=False)
    for name in plain.columns:
        if plain[name].dtype == object or isinstance(plain[name].dtype, pd.StringDtype):
            plain[name] = pd.factorize(plain[name])[0]
    return np.asarray(pd.util.hash_pandas_object(plain, index=False), dtype=np.uint64)


def names(found: list[str], at_most: int = 5) -> str:
    """A short list of names for a sentence."""
    more = f" and {len(found) - at_most} more" if len(found) > at_most else ""
    return ", ".join(found[:at_most]) + more


def matrix(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Float64 (n, d) for a quick tree model: numbers as they are, anything else as codes with NaN for missing."""
    out = np.full(frame.shape, np.nan)
    for j, name in enumerate(frame.columns):
        array = numbers(frame[name])
        if array is None:
            coded = codes(frame[name], 256).astype(float)
            array = np.where(coded == 0, np.nan, coded)
        out[:, j] = np.where(np.isfinite(array), array, np.nan)
    return out


def quick_oof(X: Any, y: Any, problem: str, folds: int = 3) -> Any:
    """Out-of-fold predictions of a small LightGBM: (n, k) probabilities for class codes 0..k-1, (n,) values for
    regression."""
    import lightgbm
    from sklearn.model_selection import KFold, StratifiedKFold

    params: dict[str, Any] = {"num_leaves": 15, "learning_rate": 0.15, "num_threads": 1, "verbosity": -1, "seed": 0,
                              "deterministic": True,
              "min_data_in_leaf": max(3, min(20, len(y) // 50)), "feature_fraction": 0.8}
    kinds = int(np.max(y)) + 1 if problem != "regression" else 0
    if problem == "regression":
        params |= {"objective": "regression"}
        cuts: Any = KFold(folds, shuffle=True, random_state=0).split(X)
    else:
        params |= {"objective": "binary"} if kinds == 2 else {"objective": "multiclass", "num_class": kinds}
        cuts = StratifiedKFold(folds, shuffle=True, random_state=0).split(X, y)
    out = np.zeros(len(y)) if kinds < 3 else np.zeros((len(y), kinds))
    rounds = 40 if kinds < 8 else 20
    for train, valid in cuts:
        model = lightgbm.train(params, lightgbm.Dataset(X[train], y[train]), num_boost_round=rounds)
        out[valid] = model.predict(X[valid])
    return np.column_stack([1 - out, out]) if kinds == 2 else out
