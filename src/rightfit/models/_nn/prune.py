"""Structured pruning of a trained network: whole channels leave, the rest stays dense, so that it is really faster."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from rightfit.errors import Unavailable, UsageError
from rightfit.models._nn import loop
from rightfit.records import Task

TUNE = 0.3  # of the epochs and of the time, for tuning what is left
GENTLE = 0.3  # of the learning rate
ROUND = 8  # channels come in multiples of what a vector register holds
Importance = Literal["group_norm", "lamp", "random"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _importance(name: str) -> Any:
    import torch_pruning as tp

    known = {"group_norm": tp.importance.GroupMagnitudeImportance, "lamp": tp.importance.LAMPImportance,
             "random": tp.importance.RandomImportance}
    if name not in known:
        raise UsageError(f"importance must be one of {', '.join(known)}; got importance={name!r}.")
    return known[name]()


def _last(net: Any, example: tuple[Any, ...]) -> list[Any]:
    """The layers whose outputs are the network's own: those that must keep their width."""
    import torch

    order: list[Any] = []
    layers = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
    hooks = [m.register_forward_hook(lambda m, *_: order.append(m)) for m in net.modules() if isinstance(m, layers)]
    try:
        with torch.no_grad():
            net(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return order[-1:]


def prune_channels(net: Any, example: tuple[Any, ...], share: float, importance: Importance = "group_norm") -> Any:
    """The network, changed in place, without the least important `share` of each layer's channels; outputs stay.

    Channels that layers share (residual connections) leave together, judged together (DepGraph, Fang et al. 2023), in
    multiples of 8; the network should be tuned for a few epochs afterwards. example: CPU tensors as the network takes
    them. Convolutional networks only: heads of attention do not shrink one by one. Raises UsageError for a share
    outside 0..1 and for networks with attention or recurrence, Unavailable without torch_pruning.
    """
    import torch

    if not 0 < share < 1:
        raise UsageError(f"share must lie between 0 and 1; got share={share:g}.")
    try:
        import torch_pruning as tp
    except ModuleNotFoundError:
        raise Unavailable("pruning channels needs the library torch-pruning; got none, pip install torch-pruning or "
                          "leave prune out.") from None
    wide = [name for name, m in net.named_modules()
            if isinstance(m, torch.nn.MultiheadAttention | torch.nn.RNNBase) or name.endswith("qkv")]
    if wide:
        raise UsageError(f"channels can be pruned of convolutional networks only; got module={wide[0]!r}, leave prune "
                         "out.")
    training, frozen = net.training, [p for p in net.parameters() if not p.requires_grad]
    net.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)  # the dependencies between layers are found by following gradients
    try:
        with _quiet():
            pruner = tp.pruner.BasePruner(net, example, importance=_importance(importance), pruning_ratio=share,
                                               ignored_layers=_last(net, example), round_to=ROUND)
            pruner.step()
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        net.train(training)
    return net


def fitted(net: Any, rows: loop.Rows, params: Mapping[str, Any], task: Task, *, seed: int,
           deadline: float) -> loop.Fitted:
    """`loop.fit`; with `prune` above 0 among the params, channels leave afterwards and the rest is tuned again.

    The network is changed in place. Tuning has 0.3 of the epochs at 0.3 of the learning rate, whole network, and is
    given its share of the time before the deadline. Raises as `prune_channels`.
    """
    share = float(params.get("prune") or 0.0)
    if not share:
        return loop.fit(net, rows, params, task, seed=seed, deadline=deadline)
    left = max(deadline - time.monotonic(), 0.0)
    found = loop.fit(net, rows, params, task, seed=seed, deadline=deadline - left * TUNE / (1 + TUNE))
    thin(net, rows, share)
    recipe = {**params, "epochs": max(1, round(TUNE * float(params["epochs"]))), "freeze_epochs": 0, "head_only": False,
              "learning_rate": GENTLE * float(params["learning_rate"])}
    loop.fit(net, rows, recipe, task, seed=seed + 1, deadline=deadline)
    return found


def thin(net: Any, rows: loop.Rows, share: float) -> Any:
    """The network on the CPU without `share` of its channels, its inputs taken from the first rows."""
    import torch

    example = rows.inputs(np.arange(min(2, len(rows))), False, torch.Generator().manual_seed(0))
    return prune_channels(net.cpu(), tuple(example), share)
