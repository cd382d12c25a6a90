"""Distillation: the student learns a better model's probabilities, made out of fold on the training rows alone."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.data import split
from rightfit.errors import UsageError
from rightfit.records import Audit, Dataset, Problem, Task, Treatment

FOLDS = 3
SAY = 0.7  # the teacher's share in the soft labels; the rest is the label itself (Hinton et al. 2015)
TOP = 3  # classes of a row that are kept
LEAST = 0.02  # probability below which a class is not worth a row
COPIES = 4  # rows that stand for one of several labels: probabilities in quarters
METRICS: Mapping[Problem, str] = {"binary": "log_loss", "multiclass": "log_loss", "multilabel": "log_loss",
                                  "regression": "rmse"}


def plan(audit: Audit, task: Task) -> Mapping[str, Any] | None:
    """Never planned by the audit: the race names a teacher, once it has one."""
    return None


def _task(data: Dataset, modality: str) -> Task:
    """The learning problem as the target's form tells it; codes stand for classes."""
    y = np.asarray(data.y)
    problem: Problem
    if y.dtype == np.int8 and y.ndim == 2:
        problem, classes = "multilabel", y.shape[1]
    elif y.dtype.kind in "iu":
        classes = int(y.max()) + 1
        problem = "binary" if classes <= 2 else "multiclass"
    else:
        problem, classes = "regression", 0
    return Task(modality=modality, problem=problem, target=("y",), metric=METRICS[problem],
                classes=tuple(str(code) for code in range(classes)), outputs=y.shape[1] if y.ndim == 2 else 1,
                rows=len(data), features=len(data.schema.features))


def taught(data: Dataset, params: Mapping[str, Any], seed: int) -> tuple[Any, Any]:
    """(predictions (n, k), told (n,)) of the teacher, each row's by one that did not learn from it or its copies.

    Rows that no fold holds out, such as the earliest of those ordered by time, are not told. Folds that the `seconds`
    do not reach are not told either.
    """
    teacher = params.get("teacher")
    if not isinstance(teacher, Mapping) or "family" not in teacher:
        raise UsageError(f"distil needs a teacher with its family and params; got teacher={teacher!r}.")
    family = registry.plugin("rightfit.models", str(teacher["family"]), "family")
    task = _task(data, family.modality)
    groups = split.duplicate_groups(data)
    whole = data if groups is None else dataclasses.replace(data, groups=groups)
    folds = split.folds(whole, task, n_folds=FOLDS, seed=seed)
    width = len(task.classes) or task.outputs
    found, told = np.zeros((len(data), width)), np.zeros(len(data), dtype=bool)
    started = time.monotonic()
    seconds = float(params.get("seconds", max(20.0, 4.0 * FOLDS * family.seconds(task))))
    for number, (train, valid) in enumerate(folds):
        now = time.monotonic()
        left = started + seconds - now
        if number and left <= 0:
            break
        model = family.build(dict(teacher.get("params") or {}), task)
        model = model.fit(data.take(train), seed=seed + number, deadline=now + max(left, 0.0) / (len(folds) - number))
        held = data.X.iloc[valid].reset_index(drop=True)
        found[valid] = np.asarray(model.predict(held), np.float64).reshape(len(valid), width)
        told[valid] = True
    return found, told


def _soft(proba: Any, top: int) -> tuple[Any, Any, Any]:
    """(row, class, weight) of every class that is worth a row, (m,) each; the weights of a row sum to 1."""
    k = proba.shape[1]
    order = np.argsort(-proba, axis=1, kind="stable")[:, :min(top, k)]
    weight = np.take_along_axis(proba, order, axis=1)
    weight = np.where((weight >= LEAST) | (np.arange(order.shape[1]) == 0), weight, 0.0)
    weight /= weight.sum(axis=1, keepdims=True)
    row, place = np.nonzero(weight)
    return row, order[row, place], weight[row, place]


def _copies(y: Any, proba: Any) -> tuple[Any, Any, Any]:
    """(row, labels (m, k), weight) of rows repeated so that each label's share of them is its probability."""
    n = len(proba)
    least = (np.arange(COPIES) + 0.5) / COPIES
    labels = (proba[:, None, :] > least[None, :, None]).astype(y.dtype)
    return np.repeat(np.arange(n), COPIES), labels.reshape(n * COPIES, -1), np.full(n * COPIES, 1.0 / COPIES)


def apply(data: Dataset, params: Mapping[str, Any], seed: int) -> Dataset:
    """The rows with soft labels, for a student that takes weights; values are drawn towards the teacher's.

    params: `teacher` {"family", "params"}, `say` of the teacher in the soft labels 0..1, `top` classes of a row,
    `seconds` for all its folds. A row is repeated for each class, weighted by its probability (several labels: four
    times, each label as often as it is probable); copies share a group, so that no student's inner split parts them.
    Raises UsageError without a teacher, UnknownName for one that does not exist.
    """
    if data.y is None or len(data) < 2 * FOLDS or (data.y.dtype.kind in "iu" and not np.ptp(data.y)):
        return data
    say = float(params.get("say", SAY))
    if not 0 <= say <= 1:
        raise UsageError(f"say must lie between 0 and 1; got say={say:g}.")
    found, told = taught(data, params, seed)
    part = np.where(told, say, 0.0)
    if data.y.dtype.kind not in "iu":
        part, guess = (part, found[:, 0]) if data.y.ndim == 1 else (part[:, None], found)
        return dataclasses.replace(data, y=(1.0 - part) * data.y + part * guess)
    hard = data.y.astype(float) if data.y.ndim == 2 else np.eye(found.shape[1])[data.y]
    proba = (1.0 - part[:, None]) * hard + part[:, None] * found
    row, y, weight = _copies(data.y, proba) if data.y.ndim == 2 else _soft(proba, int(params.get("top", TOP)))
    if data.weight is not None:
        weight = weight * data.weight[row]
    groups = np.arange(len(data)) if data.groups is None else data.groups
    return dataclasses.replace(data.take(row), y=y.astype(data.y.dtype), weight=weight / weight.mean(),
                               groups=groups[row])


SPEC = Treatment(name="distil", plan=plan, apply=apply, doc="Learns a better model's out-of-fold probabilities.",
                 teacher=FOLDS)
