"""What the torch families of tables share: one training loop, one way to predict, one way to ONNX.

A network maps X float32 (n, f) to (n, outputs), or to (n, k, outputs) where it holds k networks in one; each of the k
learns by itself, and their predictions are averaged.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rightfit.models._nn.adamw import AdamW
from rightfit.models._nn.device import threads
from rightfit.models.tabular._parts import Core, Learn, Rows

FEW_ROWS_EPOCHS = 50
CHUNK = 2048
FADE = 0.98  # per epoch
DEFAULTS: Mapping[str, Any] = {"epochs": 200, "learning_rate": 1e-3, "weight_decay": 0.01, "batch": 256,
                               "early_stopping": True, "patience": 16, "smoothing": 0.0, "schedule": "flat",
                               "copies": 1}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "quantile",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 300}
Make = Callable[[int, int, Rows, Mapping[str, Any]], Any]
Write = Callable[[Any, Rows], Any]


def learner(make: Make, betas: tuple[float, float] = (0.9, 0.999), write: Write | None = None) -> Learn:
    """A family's `learn`: make(features, outputs, rows, params) gives the torch module, made under the trial's seed.

    write(net, rows) gives its ONNX model where the family knows a quicker way than following the module. params:
    `copies` of the network, each from a start of its own, are averaged (Lakshminarayanan et al. 2017, Deep Ensembles).
    """
    def learn(rows: Rows, params: Mapping[str, Any]) -> Core:
        import torch

        from rightfit.models._nn.loop import seeded

        before = torch.get_num_threads()
        torch.set_num_threads(threads())
        try:
            nets: list[Any] = []
            epochs: list[int] = []
            for due in range(int(params["copies"]), 0, -1):
                now = time.monotonic()
                part = dataclasses.replace(rows, deadline=now + (rows.deadline - now) / due)
                with seeded(rows.seed + len(nets)):
                    nets.append(make(rows.X.shape[1], max(rows.classes, 1), rows, params))
                    epochs.append(_train(nets[-1], part, params, betas))
        finally:
            torch.set_num_threads(before)
        net = _beside(nets).eval()
        whole = write if write is not None and len(nets) == 1 else _onnx
        return Core(predict=lambda X: _predict(net, X, rows.classes), onnx=lambda: whole(net, rows),
                    learned={"epochs": round(float(np.median(epochs)))})

    return learn


def _beside(nets: list[Any]) -> Any:
    """The networks, and those that they hold, as one, (n, k, outputs); a single one as it is."""
    import torch

    class Beside(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Networks side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.nets = torch.nn.ModuleList(nets)

        def forward(self, x: Any) -> Any:
            return torch.cat([out if out.ndim == 3 else out[:, None] for out in (net(x) for net in self.nets)], dim=1)

    return nets[0] if len(nets) == 1 else Beside()


def _tensors(rows: Rows) -> tuple[Any, Any, Any]:
    import torch

    weight = np.ones(len(rows.y)) if rows.weight is None else np.maximum(rows.weight, 1e-9)
    return (torch.from_numpy(np.ascontiguousarray(rows.X)),
            torch.from_numpy(rows.y.astype(np.int64 if rows.classes else np.float32)),
            torch.from_numpy(weight.astype(np.float32)))


def _loss(out: Any, y: Any, weight: Any, smoothing: float) -> Any:
    """The weighted mean loss; of k networks in one, the mean of theirs."""
    import torch

    if out.ndim == 3:
        k = out.shape[1]
        out, y, weight = out.flatten(0, 1), y.repeat_interleave(k), weight.repeat_interleave(k)
    each = ((out[:, 0] - y) ** 2 if y.is_floating_point() else
            torch.nn.functional.cross_entropy(out, y, reduction="none", label_smoothing=smoothing))
    return (each * weight).sum() / weight.sum()


def _groups(net: Any, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parameters by what the network says of them: `_rate` times the learning rate, no decay for vectors."""
    return [{"params": [p], "factor": float(getattr(p, "_rate", 1.0)),
             "weight_decay": float(params["weight_decay"]) if p.ndim > 1 else 0.0} for p in net.parameters()]


def rate(schedule: str, progress: float, epochs: int) -> float:
    """The learning rate as a share of its largest: `flat`, `waves`, four cosines of growing length, or `fading`.

    What fades does so by the epoch, however many will follow. Waves: coslog4 of Holzmüller et al. 2024, Better by
    Default.

    >>> rate("flat", 0.5, 9), rate("waves", 0.0, 9), round(rate("waves", 1.0, 9), 6), rate("fading", 0.15, 10)
    (1.0, 0.0, 0.0, 0.98)
    """
    if schedule == "flat":
        return 1.0
    if schedule == "fading":
        return float(FADE ** int(progress * epochs))
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + (2**4 - 1) * progress)))


def _train(net: Any, rows: Rows, params: Mapping[str, Any], betas: tuple[float, float]) -> int:
    """Train until no better on the inner rows, or late; leaves the best weights in the net, returns the epochs."""
    import torch

    epochs, train, valid = int(params["epochs"]), rows, None
    if rows.inner is not None:
        train, valid = rows.take(rows.inner[0]), _tensors(rows.take(rows.inner[1]))
    elif params["early_stopping"]:
        epochs = min(epochs, FEW_ROWS_EPOCHS)
    X, y, weight = _tensors(train)
    optimiser = AdamW(_groups(net, params), lr=float(params["learning_rate"]), betas=betas)
    per_epoch = max(math.ceil(len(y) / int(params["batch"])), 1)
    best, kept, at, done, step = float("inf"), _copy(net), 0, 0, 0
    for epoch in range(1, epochs + 1):
        net.train()
        for some in torch.split(torch.randperm(len(y)), int(params["batch"])):
            share = rate(str(params["schedule"]), (step + 0.5) / (epochs * per_epoch), epochs)
            for group in optimiser.param_groups:
                group["lr"] = float(params["learning_rate"]) * group["factor"] * share
            step += 1
            if len(some) < 2 and len(y) > 1:
                continue
            optimiser.zero_grad()
            _loss(net(X[some]), y[some], weight[some], float(params["smoothing"])).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            if time.monotonic() >= rows.deadline:
                break
        done = epoch
        if valid is not None:
            value = _inner(net, valid)
            if value < best:
                best, kept, at = value, _copy(net), epoch
            if epoch - at >= int(params["patience"]):
                break
        if time.monotonic() >= rows.deadline:
            break
    if valid is not None and at:
        net.load_state_dict(kept)
    return at or done


def _inner(net: Any, valid: tuple[Any, Any, Any]) -> float:
    """The loss of the averaged prediction on the inner rows."""
    import torch

    X, y, weight = valid
    net.eval()
    with torch.no_grad():
        out = torch.cat([_averaged(net(part), not y.is_floating_point()) for part in torch.split(X, CHUNK)])
        if y.is_floating_point():
            each = (out[:, 0] - y) ** 2
        else:
            each = -torch.log(out.gather(1, y[:, None])[:, 0].clamp_min(1e-7))
        return float((each * weight).sum() / weight.sum())


def _averaged(out: Any, classifies: bool) -> Any:
    out = out.softmax(-1) if classifies else out
    return out.mean(1) if out.ndim == 3 else out


def _copy(net: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _predict(net: Any, X: Any, classes: int) -> Any:
    import torch

    if not len(X):
        return np.empty((0, max(classes, 1)))
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32)), CHUNK)
        return torch.cat([_averaged(net(part), bool(classes)) for part in parts]).numpy()


def _onnx(net: Any, rows: Rows) -> Any:
    import onnx
    import torch

    from rightfit.models._nn.export import to_onnx
    from rightfit.models.tabular._graph import tidy

    class Answer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            return _averaged(self.net(x), bool(rows.classes))

    example = torch.zeros((3, rows.X.shape[1]), dtype=torch.float32)
    return tidy(onnx.load_from_string(to_onnx(Answer(), (example,))))
