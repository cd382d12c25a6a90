"""The parts of a training step: loss, mixed examples, schedule, optimiser, order of the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.models._nn.adamw import AdamW
from rightfit.records import Task

FOCUS = 2.0  # gamma of the focal loss, Lin et al. 2017
INNER_SHARE, INNER_MOST = 0.15, 2000
INNER_ROWS = 400  # below this, an inner split is noise, and the epochs are used as they are
ROOM_MIB, LEAST_PART = 512.0, 8  # kept at once for the way back; rows below which batch statistics are noise


def losses(logits: Any, target: Any, task: Task, recipe: Mapping[str, Any]) -> Any:
    """The loss of each row (n,). target: probabilities (n, k) for classes and labels, else values (n, k).

    `loss` auto is cross-entropy, binary cross-entropy or squares by the problem; focal weighs sure rows down.
    """
    import torch
    from torch.nn import functional as f

    smooth = float(recipe.get("label_smoothing", 0.0))
    if task.problem == "multilabel":
        soft = target * (1 - smooth) + smooth / 2
        each = f.binary_cross_entropy_with_logits(logits, soft, reduction="none")
        if recipe.get("loss") == "focal":
            each = each * (target - torch.sigmoid(logits)).abs() ** FOCUS
        return each.mean(dim=1)
    if not task.classifies:
        return ((logits - target) ** 2).mean(dim=1)
    soft = target * (1 - smooth) + smooth / target.shape[1]
    log = f.log_softmax(logits, dim=1)
    if recipe.get("loss") == "focal":
        return -(soft * (1 - log.exp()) ** FOCUS * log).sum(dim=1)
    return -(soft * log).sum(dim=1)


def targets(y: Any, task: Task) -> Any:
    """y as float32 tensor (n, k): one-hot classes, labels, or values."""
    import torch

    if task.classifies and task.problem != "multilabel":
        codes = torch.from_numpy(np.asarray(y, dtype=np.int64))
        return torch.nn.functional.one_hot(codes, max(len(task.classes), 2)).float()
    values = torch.from_numpy(np.asarray(y, dtype=np.float32))
    return values[:, None] if values.ndim == 1 else values


def mixed(x: Any, target: Any, weight: Any, recipe: Mapping[str, Any], random: np.random.Generator) -> Any:
    """(x, target, weight) with mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019); images (n, height, width, 3)."""
    import torch

    mix, cut = float(recipe.get("mixup", 0.0)), float(recipe.get("cutmix", 0.0))
    if not mix and not cut:
        return x, target, weight
    if x.ndim != 4:
        raise UsageError(f"mixup and cutmix must be 0 for what is no picture; got mixup={mix}, cutmix={cut}.")
    cutting = cut > 0 and (mix == 0 or random.random() < 0.5)
    share = float(random.beta(cut, cut) if cutting else random.beta(mix, mix))
    order = torch.from_numpy(random.permutation(len(x)))
    if cutting:
        high, wide = x.shape[1], x.shape[2]
        side = math.sqrt(1 - share)
        cy, cx = random.integers(high), random.integers(wide)
        top, bottom = max(int(cy - high * side / 2), 0), min(int(cy + high * side / 2), high)
        left, right = max(int(cx - wide * side / 2), 0), min(int(cx + wide * side / 2), wide)
        x = x.clone()
        x[:, top:bottom, left:right] = x[order, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (high * wide)
    else:
        x = share * x.float() + (1 - share) * x[order].float()
    return x, share * target + (1 - share) * target[order], share * weight + (1 - share) * weight[order]


def rate(progress: float, recipe: Mapping[str, Any]) -> float:
    """The learning rate at `progress` in 0..1, as a share of its peak.

    onecycle: up over `warmup` (0.25) and down (Smith & Topin 2018); cosine: down, after `warmup` (0.05); constant.

    >>> [round(rate(p, {"schedule": "onecycle"}), 3) for p in (0.0, 0.25, 1.0)]
    [0.04, 1.0, 0.0]
    """
    kind = recipe.get("schedule", "onecycle")
    warmup = float(recipe.get("warmup", 0.25 if kind == "onecycle" else 0.05))
    if progress < warmup:
        return 0.04 + 0.96 * progress / warmup
    if kind == "constant":
        return 1.0
    return (1 + math.cos(math.pi * min((progress - warmup) / max(1 - warmup, 1e-9), 1.0))) / 2


def stages(net: Any) -> list[Any]:
    """The modules from the input to the head: what `net.stages()` says, else the whole net as one."""
    said = getattr(net, "stages", None)
    return list(said()) if callable(said) else [net]


def optimiser(net: Any, recipe: Mapping[str, Any]) -> Any:
    """AdamW or SGD; norms and biases without weight decay; the stages below the head learn `backbone_rate` as fast."""
    import torch

    peak, decay = float(recipe.get("learning_rate", 1e-3)), float(recipe.get("weight_decay", 0.01))
    head = {id(p) for p in stages(net)[-1].parameters()}
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for p in net.parameters():
        groups.setdefault((id(p) in head, p.ndim > 1), []).append(p)
    found = [{"params": some, "weight_decay": decay if matrix else 0.0,
              "peak": peak * (1.0 if last else float(recipe.get("backbone_rate", 1.0)))}
             for (last, matrix), some in groups.items()]
    if recipe.get("optimizer", "adamw") == "sgd":
        return torch.optim.SGD(found, lr=peak, momentum=0.9, nesterov=True)
    return AdamW(found, lr=peak)


def trainable(net: Any, epoch: int, recipe: Mapping[str, Any]) -> list[Any]:
    """Freeze the stages whose turn has not come; returns them. `head_only`: every stage but the head, for ever.

    Over `freeze_epochs` the stages are freed from the head down (Howard & Ruder 2018).
    """
    parts = stages(net)
    below = len(parts) - 1
    over = int(recipe.get("freeze_epochs", 0))
    free = below if epoch >= over else below * epoch // over
    frozen = parts[:below - free] if not recipe.get("head_only") else parts[:below]
    # Parameters that lie in no stage, such as position embeddings, are those of the lowest.
    net.requires_grad_(not frozen)
    for part in parts[len(frozen):]:
        part.requires_grad_(True)
    return frozen


def training_mode(net: Any, frozen: list[Any], still: bool) -> None:
    """Training mode; frozen stages, and batch norms when `still`, keep their statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    net.train()
    for part in frozen:
        part.eval()
    if still:
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def batches(rows: Any, size: int, balanced: bool, random: np.random.Generator) -> list[Any]:
    """The positions of one epoch, in equal batches of about `size`; rows of like length go together.

    balanced: every class is drawn equally often, with replacement.
    """
    n = len(rows)
    order = random.permutation(n)
    if balanced and np.asarray(rows.y).dtype.kind in "iu" and np.asarray(rows.y).ndim == 1:
        counts = np.bincount(rows.y)
        chance = 1.0 / counts[rows.y]
        order = random.choice(n, n, p=chance / chance.sum())
    count = max(round(n / size), 1)
    lengths = getattr(rows, "lengths", None)
    if lengths is None:
        return np.array_split(order, count)
    parts = np.array_split(order, max(count // 16, 1))
    sorted_parts = [part[np.argsort(np.asarray(lengths)[part], kind="stable")] for part in parts]
    found = [b for part in sorted_parts for b in np.array_split(part, max(round(len(part) / size), 1))]
    return [found[i] for i in random.permutation(len(found))]


def at_once(net: Any, rows: Any, size: int) -> int:
    """How many rows of a batch of `size` go through the net together: what they keep for the way back has a limit.

    Weighed on two rows, the longest where rows have `lengths`. The rest of the batch follows and its gradients are
    added up, so that the recipe stays as it is; only batch norms look at fewer rows. All of them on an accelerator.
    """
    import torch

    from rightfit.models._nn.device import device

    if device().type != "cpu" or size <= LEAST_PART:
        return size
    lengths = getattr(rows, "lengths", None)
    two = np.arange(min(2, len(rows))) if lengths is None else np.argsort(lengths, kind="stable")[-2:]
    own = {value.untyped_storage().data_ptr() for value in net.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    net.eval()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = net(*rows.inputs(two, False, None))  # held, so that no address is given twice
    each = sum(kept.values()) / len(two) / 2**20
    del out
    return size if each * size <= ROOM_MIB else min(size, max(int(ROOM_MIB / each), LEAST_PART))


def inner_split(rows: Any, task: Task, random: np.random.Generator) -> tuple[Any, Any] | None:
    """(train, valid) positions for early stopping: whole groups, or stratified by class; None for few rows."""
    n = len(rows)
    size = min(int(n * INNER_SHARE), INNER_MOST)
    if n < INNER_ROWS:
        return None
    groups, y = getattr(rows, "groups", None), np.asarray(rows.y)
    order = random.permutation(n)
    if groups is not None and len(np.unique(groups)) > 2:
        names = random.permutation(np.unique(groups))
        sizes = np.cumsum([int((groups == name).sum()) for name in names])
        inside = np.isin(groups, names[:max(int(np.searchsorted(sizes, size)), 1)])
    else:
        if task.classifies and y.ndim == 1:
            # Every k-th row of each class: rounding leaves a class of a few rows in the training part.
            order = order[np.argsort(y[order], kind="stable")]
            order = order[np.linspace(0, n - 1, size).round().astype(int)]
        inside = np.zeros(n, dtype=bool)
        inside[order[:size]] = True
    train = np.flatnonzero(~inside)
    if task.classifies and y.ndim == 1 and len(np.unique(y[train])) < len(np.unique(y)):
        return None
    return train, np.flatnonzero(inside)
