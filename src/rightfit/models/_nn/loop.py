"""The one training loop of all torch families.

    fitted = fit(net, rows, {"epochs": 20, "learning_rate": 1e-3}, task, seed=0, deadline=time.monotonic() + 60)
    finish(predict(net, rows), task)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from rightfit import metrics, trace
from rightfit.models._nn import checkpoint, steps
from rightfit.models._nn.device import autocast, device, limited, suits
from rightfit.records import Task, frozen

RESERVE = 0.2  # seconds kept back before the deadline
BAD_STEPS = 5  # losses in a row that are no number, after which training has diverged


class Rows(Protocol):
    """What the loop learns from. Optional further attributes: `groups` (n,), `lengths` (n,) of sequences.

    y: int64 codes (n,), int8 (n, k) labels, or standardised float values (n,) or (n, k). weight: float (n,) or None.
    """

    y: Any
    weight: Any

    def __len__(self) -> int: ...

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        """CPU tensors of the rows at positions (m,), augmented when training; the net is called with them."""
        ...

    def take(self, positions: Any) -> Rows:
        """The rows at positions (m,)."""
        ...


@frozen
class Fitted:
    """What a fit came to: the epoch whose weights were kept, and its inner score (nan without an inner split).

    Where the deadline cut the plan and its last epoch was the best, `epochs` is what was planned: that no more of them
    fitted does not say that no more are good.
    """

    epochs: int
    score: float


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch draws from this seed; afterwards its generators are as they were."""
    import torch

    devices = list(range(torch.cuda.device_count())) if device().type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed % 2**63)
        yield


class _Clock:
    """How far training is, in 0..1 of what fits before the deadline; never backwards.

    While time is ample it only counts steps, so that the same seed gives the same weights; when the measured steps
    say that the plan does not fit, the plan is cut, and the learning rate still reaches its end.
    """

    def __init__(self, total: int, deadline: float) -> None:
        self.total, self.planned, self.deadline = float(max(total, 1)), total, deadline
        self.done, self.progress, self.before = 0, 0.0, 0
        self.start = time.monotonic()
        self.last = 0.0
        self.reserve = RESERVE

    def resume(self, done: int, progress: float) -> None:
        """So many steps were done before, by another process: they say nothing of this one's pace."""
        self.done, self.progress, self.before = done, progress, done

    def step(self, seconds: float) -> None:
        """One step was done and took so long; the first one is not representative."""
        self.done += 1
        own = self.done - self.before
        if own == 2:
            self.start = time.monotonic() - 2 * seconds
        self.last = seconds
        if own > 1:
            left = self.deadline - time.monotonic() - self.reserve
            each = (time.monotonic() - self.start) / own
            self.total = min(float(self.planned), self.done + max(left, 0.0) / max(each, 1e-9))
        self.progress = min(max(self.progress, self.done / self.total), 1.0)

    @property
    def over(self) -> bool:
        """Whether the next step would be too late, or the plan is done."""
        return self.done >= self.planned or time.monotonic() + self.last + self.reserve >= self.deadline


class _Average:
    """Exponential moving average of the weights; `swapped` puts it into the net for a while."""

    def __init__(self, net: Any, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.values = {name: p.detach().clone() for name, p in net.named_parameters()}

    def update(self, net: Any) -> None:
        """After each step; the first steps count more, so that the start is soon forgotten."""
        self.count += 1
        share = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for name, p in net.named_parameters():
            self.values[name].lerp_(p.detach(), share)

    @contextlib.contextmanager
    def swapped(self, net: Any) -> Iterator[None]:
        """Within it, the net has the averaged weights."""
        own = {name: p.data for name, p in net.named_parameters()}
        for name, p in net.named_parameters():
            p.data = self.values[name]
        try:
            yield
        finally:
            for name, p in net.named_parameters():
                p.data = own[name]


def fit(net: Any, rows: Rows, recipe: Mapping[str, Any], task: Task, *, seed: int, deadline: float) -> Fitted:
    """Train the net in place until no better, done, or late; it is left on the CPU with its best weights.

    recipe: epochs, learning_rate, weight_decay, batch, optimizer (adamw, sgd), schedule (onecycle, cosine, constant),
    warmup, label_smoothing, mixup, cutmix, loss (auto, focal), balanced, clip, ema, early_stopping, patience,
    freeze_epochs, head_only, backbone_rate, frozen_norm; each has a default. Early stopping looks at task.metric on
    inner rows. Equal seeds give equal weights on one machine unless the deadline cuts the plan; a fit of a run that was
    killed goes on from its last checkpoint.
    """
    random = np.random.default_rng(seed)
    inner = steps.inner_split(rows, task, random) if recipe.get("early_stopping", True) else None
    train, valid = (rows, None) if inner is None else (rows.take(inner[0]), rows.take(inner[1]))
    with seeded(seed), limited():
        try:
            keeper = checkpoint.keeper(net, recipe, train, seed)
            return _train(_placed(net), (train, valid), recipe, task, (random, deadline, keeper))
        finally:
            net.requires_grad_(True).to("cpu").eval()


def _placed(net: Any) -> Any:
    import torch

    net = net.to(device())
    return net.to(memory_format=torch.channels_last) if suits(net)[1] else net


def _train(net: Any, parts: tuple[Rows, Rows | None], recipe: Mapping[str, Any], task: Task,
           around: tuple[np.random.Generator, float, checkpoint.Keeper]) -> Fitted:
    train, valid = parts
    random, deadline, keeper = around
    epochs, size = max(int(recipe.get("epochs", 20)), 1), max(int(recipe.get("batch", 64)), 1)
    patience = int(recipe.get("patience") or epochs)
    clock = _Clock(epochs * max(round(len(train) / size), 1), deadline)
    steer = steps.optimiser(net, recipe)
    average = _Average(net, float(recipe["ema"])) if recipe.get("ema") else None
    best, kept, at, epoch, begun = (-float("inf"), -float("inf")), None, 0, 0, time.monotonic()
    was, curve = keeper.read(), list[dict[str, float]]()
    if was is not None:
        best, kept, at, epoch, curve = tuple(was["best"]), was["kept"], was["at"], was["epoch"], was["curve"]
        begun -= max((point["seconds"] for point in curve), default=0.0)
        for point in curve:
            trace.point(**point)
        _resume(was, net, (random, clock, steer, average))
    while epoch < epochs and not clock.over:
        loss, sound = _epoch(net, train, recipe, task, (random, clock, steer, average), epoch)
        epoch += 1
        with average.swapped(net) if average else contextlib.nullcontext():
            score = _judge(net, valid, task, clock)
            curve.append({"epoch": epoch, "loss": loss, "score": score[0], "seconds": time.monotonic() - begun})
            trace.point(**curve[-1])
            if valid is not None and sound and score > best:
                best, at, kept = score, epoch, _copy(net)
            elif valid is None and sound and (average is not None or kept is None or epoch == epochs or clock.over):
                at, kept = epoch, _copy(net)
            elif valid is None and sound:
                at, kept = epoch, None
        if not sound or epoch - at >= patience:
            break
        if keeper.due():
            keeper.write({"best": list(best), "kept": kept, "at": at, "epoch": epoch, "curve": curve,
                          **_state(net, (random, clock, steer, average))})
    keeper.drop()
    if kept is not None:
        net.load_state_dict(kept)
    cut = 0 < at == epoch and clock.done < clock.planned
    return Fitted(epochs=epochs if cut else max(at, 1), score=best[0] if valid is not None and at else float("nan"))


def _state(net: Any, around: tuple[Any, ...]) -> dict[str, Any]:
    """Everything that the next epoch depends on."""
    import torch

    random, clock, steer, average = around
    cuda = torch.cuda.get_rng_state_all() if device().type == "cuda" else []
    return {"net": net.state_dict(), "steer": steer.state_dict(), "done": clock.done, "progress": clock.progress,
            "average": {"values": average.values, "count": average.count} if average else None,
            "random": random.bit_generator.state, "torch": torch.get_rng_state(), "cuda": cuda}


def _resume(was: Mapping[str, Any], net: Any, around: tuple[Any, ...]) -> None:
    """Put back what `_state` told."""
    import torch

    random, clock, steer, average = around
    net.load_state_dict(was["net"])
    steer.load_state_dict(was["steer"])
    clock.resume(was["done"], was["progress"])
    if average:
        average.values = {name: value.to(device()) for name, value in was["average"]["values"].items()}
        average.count = was["average"]["count"]
    random.bit_generator.state = was["random"]
    torch.set_rng_state(was["torch"])
    if was["cuda"] and device().type == "cuda":
        torch.cuda.set_rng_state_all(was["cuda"])


def _copy(net: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _epoch(net: Any, rows: Rows, recipe: Mapping[str, Any], task: Task, around: tuple[Any, ...],
           epoch: int) -> tuple[float, bool]:
    """One pass, or less when late: (mean loss, whether it was a number)."""
    import torch

    random, clock, steer, average = around
    where = device()
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    target = steps.targets(rows.y, task)
    weight = torch.ones(len(rows)) if rows.weight is None else torch.from_numpy(
        np.asarray(rows.weight, dtype=np.float32) / max(float(np.mean(rows.weight)), 1e-30))
    # A plan that is cut is cut in all its parts: what would be frozen for two of twelve epochs is so for a sixth.
    due = max(epoch, int(clock.progress * max(int(recipe.get("epochs", 20)), 1)))
    total, count, bad, fast = 0.0, 0, 0, suits(net)[0]
    size = max(int(recipe.get("batch", 64)), 1)
    frozen = steps.trainable(net, due, recipe)
    most = steps.at_once(net, rows, size)
    steps.training_mode(net, frozen, bool(recipe.get("frozen_norm")) or len(rows) < 2)
    for some in steps.batches(rows, size, bool(recipe.get("balanced")), random):
        if clock.over:
            break
        start = time.monotonic()
        share = steps.rate(clock.progress, recipe)
        for group in steer.param_groups:
            group["lr"] = group["peak"] * share
        x, *rest = rows.inputs(some, True, generator)
        x, t, w = steps.mixed(x, target[some], weight[some], recipe, random)
        steer.zero_grad(set_to_none=True)
        value, parts = 0.0, -(-len(some) // most)
        for x1, t1, w1, *rest1 in zip(*(one.tensor_split(parts) for one in (x, t, w, *rest)), strict=True):
            with autocast(fast):
                logits = net(x1.to(where), *(one.to(where) for one in rest1))
            loss = (steps.losses(logits.float(), t1.to(where), task, recipe) * w1.to(where)).sum() / len(some)
            value += float(loss.detach())
            if not np.isfinite(value):
                break
            loss.backward()
        if np.isfinite(value):
            torch.nn.utils.clip_grad_norm_(net.parameters(), float(recipe.get("clip") or 1e9))
            steer.step()
            if average:
                average.update(net)
            total, count, bad = total + value, count + 1, 0
        else:
            bad += 1
        clock.step(time.monotonic() - start)
        if bad >= BAD_STEPS:
            return float("nan"), False
    return total / max(count, 1), count > 0


def _judge(net: Any, valid: Rows | None, task: Task, clock: _Clock) -> tuple[float, float]:
    """(utility by the task's metric, minus the loss) on the inner rows; larger is better."""
    import torch

    if valid is None:
        return float("nan"), float("nan")
    start = time.monotonic()
    with autocast(suits(net)[0]):
        logits = _logits(net, valid, 128)
    each = steps.losses(torch.from_numpy(logits), steps.targets(valid.y, task), task, {}).numpy()
    weight = None if valid.weight is None else np.maximum(valid.weight, 1e-12)
    loss = float(np.average(each, weights=weight))
    utility = -loss
    if task.metric:
        values, y = finish(logits, task), np.asarray(valid.y)
        pred = values[:, 0] if not task.classifies and y.ndim == 1 else values
        metric = metrics.find(task.metric, task.problem)
        utility = metrics.utility(metric, metrics.score(metric, y, pred, task))
    clock.reserve = max(clock.reserve, RESERVE + time.monotonic() - start)
    return (float(utility) if np.isfinite(utility) else -1e300), -loss


def predict(net: Any, rows: Rows, batch: int = 64) -> Any:
    """Logits float32 (n, k) in eval mode and full precision; rows of like length are computed together."""
    with limited():
        try:
            return _logits(net.to(device()), rows, batch)
        finally:
            net.to("cpu")


def _logits(net: Any, rows: Rows, batch: int) -> Any:
    import torch

    net.eval()
    lengths = getattr(rows, "lengths", None)
    order = np.arange(len(rows)) if lengths is None else np.argsort(lengths, kind="stable")
    parts = []
    with torch.inference_mode():
        for at in range(0, len(rows), batch):
            out = net(*(x.to(device()) for x in rows.inputs(order[at:at + batch], False, None)))
            parts.append(out.float().cpu().numpy())
    if not parts:
        return np.empty((0, 0), dtype=np.float32)
    out = np.concatenate(parts)
    back = np.empty_like(out)
    back[order] = out
    return back


def finish(logits: Any, task: Task) -> Any:
    """Logits (n, k) as probabilities float64 (n, k); values as they are.

    >>> finish(np.zeros((1, 2)), Task(modality="text", problem="binary", target=("y",), metric="accuracy")).tolist()
    [[0.5, 0.5]]
    """
    logits = np.asarray(logits, dtype=np.float64)
    if task.problem == "multilabel":
        return 1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700)))
    if not task.classifies:
        return logits
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
