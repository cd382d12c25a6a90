"""The training loop of Keras networks: batch by batch, because only then is the clock looked at between two of them.

The network gives logits (n, k); the inner split, the schedule and the clock are those of the torch families.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from rightfit import metrics, trace
from rightfit.errors import UsageError
from rightfit.models._nn import steps
from rightfit.models._nn.loop import Fitted, _Clock, finish
from rightfit.records import Task

EAGER_STEPS = 16  # below these, compiling the step (7 to 20 s for 50 layers and more) costs more than it saves
COMPILE, FIRST = 25.0, 4.0  # compiling and a first eager step, as multiples of the seconds that building took: measured
NORM_MOMENTUM = 0.9  # Keras says 0.99, MobileNetV2 0.999: statistics of so few steps would still be those of the start
BATCH = 64


class Rows(Protocol):
    """What the loop learns from: y and weight as in `rightfit.models._nn.loop.Rows`; groups (n,) or None."""

    y: Any
    weight: Any
    groups: Any

    def __len__(self) -> int: ...

    def batch(self, positions: Any, random: np.random.Generator | None) -> Any:
        """Inputs float32 or uint8 (m, ...) of the rows at positions (m,), augmented where `random` is given."""
        ...

    def take(self, positions: Any) -> Rows:
        """The rows at positions (m,)."""
        ...


def fit(net: Any, rows: Rows, recipe: Mapping[str, Any], task: Task, *, seed: int,
        around: tuple[float, float]) -> Fitted:
    """Train the net in place until no better, done, or late; it is left with its best weights.

    recipe: epochs, learning_rate, weight_decay, batch, optimizer (adamw, sgd), schedule, label_smoothing, balanced,
    early_stopping, patience. around: (deadline, seconds that building the net took): a net that cannot be compiled in
    time runs uncompiled, or stays as it is. Equal seeds give equal weights unless the deadline cuts the plan.
    """
    random = np.random.default_rng(seed)
    inner = steps.inner_split(rows, task, random) if recipe.get("early_stopping", True) else None
    train, valid = (rows, None) if inner is None else (rows.take(inner[0]), rows.take(inner[1]))
    size = min(max(int(recipe.get("batch", 32)), 1), len(train))
    planned = max(int(recipe.get("epochs", 20)), 1) * -(-len(train) // size)
    deadline, built = around
    left = deadline - time.monotonic()
    if left < FIRST * built:
        return Fitted(epochs=1, score=float("nan"))
    _compile(net, recipe, task, planned <= EAGER_STEPS or left < COMPILE * built)
    return _train(net, (train, valid), recipe, task, (random, _Clock(planned, deadline), size))


def _compile(net: Any, recipe: Mapping[str, Any], task: Task, eagerly: bool) -> None:
    from rightfit.models._keras.backend import keras

    k = keras()
    peak, decay = float(recipe.get("learning_rate", 1e-3)), float(recipe.get("weight_decay", 0.01))
    if recipe.get("optimizer", "adamw") == "sgd":
        steer = k.optimizers.SGD(peak, momentum=0.9, nesterov=True, weight_decay=decay * peak)
    else:
        steer = k.optimizers.AdamW(peak, weight_decay=decay)
    steer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    smooth = float(recipe.get("label_smoothing", 0.0))
    if task.problem == "multilabel":
        loss = k.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smooth)
    elif task.classifies:
        loss = k.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smooth)
    else:
        loss = k.losses.MeanSquaredError()
    for layer in layers(net):
        if hasattr(layer, "moving_mean") and hasattr(layer, "momentum"):
            layer.momentum = min(layer.momentum, NORM_MOMENTUM)
    net.compile(steer, loss, run_eagerly=eagerly, jit_compile=False)


def layers(net: Any) -> Iterator[Any]:
    """All layers, those of networks inside the network too."""
    for layer in net.layers:
        yield from layers(layer) if hasattr(layer, "layers") else (layer,)


def targets(y: Any, task: Task) -> Any:
    """y as float32 (n, k): one-hot classes, labels, or values."""
    if task.classifies and task.problem != "multilabel":
        return np.eye(max(len(task.classes), 2), dtype=np.float32)[np.asarray(y, dtype=np.int64)]
    values = np.asarray(y, dtype=np.float32)
    return values[:, None] if values.ndim == 1 else values


def _weights(rows: Rows, balanced: bool) -> Any:
    """float32 (n,) with mean 1; balanced: every class counts the same in all."""
    weight = np.ones(len(rows)) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64)
    y = np.asarray(rows.y)
    if balanced and y.dtype.kind in "iu" and y.ndim == 1:
        weight = weight / np.bincount(y, weights=weight, minlength=int(y.max()) + 1).clip(1e-12)[y]
    return (weight / max(float(weight.mean()), 1e-30)).astype(np.float32)


def _train(net: Any, parts: tuple[Rows, Rows | None], recipe: Mapping[str, Any], task: Task,
           around: tuple[np.random.Generator, _Clock, int]) -> Fitted:
    train, valid = parts
    random, clock, size = around
    epochs = max(int(recipe.get("epochs", 20)), 1)
    patience = int(recipe.get("patience") or epochs)
    y, weight = targets(train.y, task), _weights(train, bool(recipe.get("balanced")))
    best, kept, at, epoch, begun = -float("inf"), net.get_weights(), 0, 0, time.monotonic()
    while epoch < epochs and not clock.over and epoch - at < patience:
        loss = _epoch(net, train, (y, weight), recipe, (random, clock, size))
        if not np.isfinite(loss):
            break
        epoch += 1
        score = _judge(net, valid, task, clock)
        trace.point(epoch=epoch, loss=loss, score=score, seconds=time.monotonic() - begun)
        if valid is None:
            at, kept = epoch, net.get_weights()
        elif score > best:
            best, at, kept = score, epoch, net.get_weights()
    net.set_weights(kept)
    cut = 0 < at == epoch and clock.done < clock.planned
    return Fitted(epochs=epochs if cut else max(at, 1), score=best if valid is not None and at else float("nan"))


def _epoch(net: Any, rows: Rows, told: tuple[Any, Any], recipe: Mapping[str, Any],
           around: tuple[np.random.Generator, _Clock, int]) -> float:
    """One pass in batches of one size, or less when late: the mean loss; the last batch is filled up from the first."""
    random, clock, size = around
    y, weight = told
    order = random.permutation(len(rows))
    order = np.concatenate([order, order[:-len(rows) % size]])
    peak = float(recipe.get("learning_rate", 1e-3))
    net.reset_metrics()
    loss = float("nan")
    for some in order.reshape(-1, size):
        if clock.over:
            break
        start = time.monotonic()
        net.optimizer.learning_rate = peak * steps.rate(clock.progress, recipe)
        loss = float(np.ravel(net.train_on_batch(rows.batch(some, random), y[some], sample_weight=weight[some]))[0])
        if clock.done:
            clock.step(time.monotonic() - start)
        else:  # the first step compiles, and says nothing of those to come
            clock.done, clock.progress = 1, 1 / clock.planned
        if not np.isfinite(loss):
            break
    return loss


def _judge(net: Any, valid: Rows | None, task: Task, clock: _Clock) -> float:
    """Utility by the task's metric on the inner rows; larger is better."""
    if valid is None:
        return float("nan")
    start = time.monotonic()
    values = finish(logits(net, valid), task)
    if task.metric:
        y = np.asarray(valid.y)
        metric = metrics.find(task.metric, task.problem)
        found = metrics.score(metric, y, values[:, 0] if not task.classifies and y.ndim == 1 else values, task)
        found = metrics.utility(metric, found)
    else:
        found = -float(np.mean((values - targets(valid.y, task)) ** 2))
    clock.reserve = max(clock.reserve, time.monotonic() - start)
    return float(found) if np.isfinite(found) else -1e300


def logits(net: Any, rows: Rows) -> Any:
    """float32 (n, k), computed in batches of one size, so that one compiled function serves them all."""
    size = min(BATCH, len(rows))
    parts = []
    for at in range(0, len(rows), size):
        some = np.arange(at, at + size) % len(rows)
        parts.append(net.predict_on_batch(rows.batch(some, None)))
    out = np.concatenate(parts)[:len(rows)]
    if out.ndim != 2:
        raise UsageError(f"a network must give one row of figures for each row; got shape={out.shape}.")
    return out
