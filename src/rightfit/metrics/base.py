"""Finding a metric by name, scoring with it, and turning probabilities into labels."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from rightfit.errors import UnknownName, UsageError
from rightfit.metrics._base import LABELS, VALUES, Array, Metric
from rightfit.records import Problem, Rule, Task
from rightfit.registry import plugins

Score = Callable[[Array, Array, Array | None, Task], float]


def find(name: str, problem: Problem | None = None) -> Metric:
    """The metric of a name, an alias, or `module:function`; with `problem`, only if it fits.

    A user's function is called `fn(y_true, y_pred)`, or with the weights when its third parameter is named weight,
    weights or sample_weight, and returns a number. It says what it is by attributes: `fn.needs` = "label" (default;
    class codes, 1 is the positive class), "proba" ((n,) probability of the positive class, (n, k) when there are
    several) or "value"; `fn.greater_is_better` (default: False when its name ends in _loss, _error or _cost, else
    True, scikit-learn's convention); `fn.problems` (default: every one that fits its needs). For regression y_pred
    are always the values. Raises UnknownName with the closest name, UsageError for a function that cannot be used or
    does not fit the problem.

    >>> find("pr_auc").name, find("RMSE").greater_is_better
    ('average_precision', False)
    """
    metric = _users(name) if ":" in name else _named(name)
    if problem is not None and problem not in metric.problems:
        fitting = sorted(m.name for m in plugins("rightfit.metrics").values() if problem in m.problems)
        raise UsageError(f"metric must fit a {problem} problem; got metric={name!r}, "
                         f"choose one of {', '.join(fitting)}.")
    return metric


@cache
def _by_any_name() -> dict[str, Metric]:
    known: dict[str, Metric] = plugins("rightfit.metrics")
    return {alias: metric for metric in known.values() for alias in (*metric.aliases, metric.name)}


def _named(name: str) -> Metric:
    known = _by_any_name()
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    if plain not in known:
        raise UnknownName("metric", name, plugins("rightfit.metrics"))
    return known[plain]


def is_metric(name: str) -> bool:
    """Whether a limit's name is a metric, and not a resource such as latency_p95_ms.

    >>> is_metric("recall"), is_metric("my:metric"), is_metric("size_mib")
    (True, True, False)
    """
    return ":" in name or name in _by_any_name()


def _module(name: str) -> ModuleType:
    path = Path.cwd() / (name if name.endswith(".py") else name.replace(".", "/") + ".py")
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not name.startswith(missing.name) or not path.exists():
            raise UsageError(f"a metric module must be importable; got module={name!r}: {missing}.") from missing
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise UsageError(f"a metric module must be importable or a .py file; got module={name!r}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


@cache
def _users(name: str) -> Metric:
    module, _, attribute = name.rpartition(":")
    function = getattr(_module(module), attribute, None)
    if not callable(function):
        raise UsageError(f"a user's metric must be module:function; got metric={name!r}, which is no such function.")
    needs: Any = getattr(function, "needs", "label")
    if needs not in ("label", "proba", "value"):
        raise UsageError(f"a metric's needs must be label, proba or value; got needs={needs!r} on metric={name!r}.")
    fitting = {"label": (*LABELS, *VALUES), "proba": LABELS, "value": VALUES}[needs]
    loss = attribute.endswith(("_loss", "_error", "_cost"))
    return Metric(name=name, problems=tuple(getattr(function, "problems", fitting)), needs=needs,
                  fn=_wrapped(function, name, needs), doc=(inspect.getdoc(function) or "").split("\n")[0],
                  greater_is_better=bool(getattr(function, "greater_is_better", not loss)))


def _wrapped(function: Callable[..., Any], name: str, needs: str) -> Score:
    try:
        kinds = [p for p in inspect.signature(function).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        weighs = len(kinds) > 2 and kinds[2].name in ("weight", "weights", "sample_weight")
    except ValueError:
        weighs = False

    def fn(y: Array, pred: Array, weight: Array | None, task: Task) -> float:
        if needs == "proba" and task.problem == "binary":
            pred = pred[:, -1]
        if weight is not None and not weighs:
            # whole weights are drawn counts, so that repeating rows is exact; others cannot be honoured
            times = np.rint(weight).astype(int)
            if not np.allclose(times, weight):
                raise UsageError(f"a metric must take weights as third parameter to be weighted; got metric={name!r}.")
            rows = np.repeat(np.arange(len(y)), times)
            y, pred = y[rows], pred[rows]
        value = function(y, pred, weight) if weighs and weight is not None else function(y, pred)
        if not np.isscalar(value) and getattr(value, "shape", None) != ():
            raise UsageError(f"a metric must return one number; got {type(value).__name__} from metric={name!r}.")
        return float(cast(Any, value))
    return fn


def positive(pred: Array) -> Array:
    """P(positive class) (n,) of binary predictions (n, 2) or (n,)."""
    return np.asarray(pred if pred.ndim == 1 else pred[:, -1])


def labels(pred: Array, task: Task, rule: Rule | None = None) -> Array:
    """Class codes (n,) int64, or (n, k) int8 for multilabel, from delivered (calibrated) probabilities.

    Binary: P(positive = last class) >= threshold (0.5 without a rule). Multilabel: one threshold per label. Otherwise
    the class of the lowest expected cost when `rule.cost`, else the most probable. Raises UsageError for regression.
    Calibration is not applied here; see `rules.apply`.

    >>> task = Task(modality="tabular", problem="binary", target=("y",), metric="f1", classes=("no", "yes"))
    >>> labels(np.array([[0.7, 0.3], [0.2, 0.8]]), task, Rule(threshold=(0.3,)))
    array([1, 1])
    """
    pred = np.asarray(pred)
    threshold = rule.threshold if rule else ()
    if task.problem == "multilabel":
        return (pred.astype(float) >= np.asarray(threshold or 0.5)).astype(np.int8)
    if task.problem not in LABELS:
        raise UsageError(f"labels need a classification task; got problem={task.problem!r}.")
    if rule and rule.cost and not threshold:
        return np.asarray((pred @ np.asarray(rule.cost, float)).argmin(axis=1))
    if task.problem == "binary":
        return np.asarray(positive(pred).astype(float) >= (threshold[0] if threshold else 0.5)).astype(np.int64)
    return np.asarray(pred.argmax(axis=1))


def inputs(metric: Metric, pred: Array, task: Task, codes: Array | None = None, rule: Rule | None = None) -> Array:
    """What the metric's fn takes: labels, probabilities (n, k) or values, from delivered predictions."""
    pred = np.asarray(pred)
    if not task.classifies:
        return pred
    if metric.needs == "label":
        return labels(pred, task, rule) if codes is None else np.asarray(codes)
    pred = pred.astype(float, copy=False)
    return np.stack([1 - pred, pred], axis=1) if pred.ndim == 1 and task.problem == "binary" else pred


def score(metric: Metric | str, y: Array, pred: Array, task: Task, rule: Rule | None = None,
          weight: Array | None = None) -> float:
    """The metric's value; nan when it is undefined on these rows, or a prediction is not finite.

    y: codes (n,), 0/1 (n, k) for multilabel, or values (n,) / (n, k). pred: delivered (calibrated) predictions, (n,
    k) probabilities or values; `rule` makes them labels where the metric needs labels. weight: (n,) or None. Raises
    UsageError when the metric does not fit the problem.

    >>> task = Task(modality="tabular", problem="binary", target=("y",), metric="f1", classes=("no", "yes"))
    >>> score("roc_auc", np.array([0, 1, 1]), np.array([[0.6, 0.4], [0.7, 0.3], [0.1, 0.9]]), task)
    0.5
    """
    metric = find(metric, task.problem) if isinstance(metric, str) else metric
    if task.problem not in metric.problems:
        find(metric.name, task.problem)
    y, pred = np.asarray(y), np.asarray(pred)
    if len(y) != len(pred):
        raise UsageError(f"y and predictions must have the same rows; got y={len(y)}, predictions={len(pred)}.")
    if len(y) == 0 or not np.isfinite(pred).all():
        return float("nan")
    return float(metric.fn(y, inputs(metric, pred, task, rule=rule), weight, task))


def utility(metric: Metric, value: float) -> float:
    """The value with its sign turned so that more is better.

    >>> utility(find("rmse"), 2.0)
    -2.0
    """
    return value if metric.greater_is_better else -value


def names(problem: Problem | None = None) -> Iterable[str]:
    """The names of all metrics, or of those that fit one problem, in alphabetical order."""
    return [m.name for m in plugins("rightfit.metrics").values() if problem is None or problem in m.problems]
