"""A torch network of the user's: torch:module:factory?option=value; options of the recipe train it, others make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.models._nn import loop
from rightfit.models._nn.device import limited
from rightfit.models._nn.export import to_onnx
from rightfit.models.bring import _source
from rightfit.models.image import _timm
from rightfit.models.image._graph import pictured
from rightfit.models.image._net import NetworkModel
from rightfit.models.tabular._graph import tidy
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.models.text import _net
from rightfit.models.text._net import TextModel
from rightfit.records import Dataset, Facts, Family, Model, Need, Problem, Task

WHAT = "a torch network"
RECIPE: Mapping[str, Any] = {
    "epochs": 30, "batch": 64, "learning_rate": 1e-3, "weight_decay": 0.01, "optimizer": "adamw",
    "schedule": "onecycle", "label_smoothing": 0.0, "loss": "auto", "balanced": False, "clip": 1.0, "ema": 0.0,
    "early_stopping": True, "patience": 8,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "image": {**RECIPE, "size": 0, "augment": "auto", "flip": "auto", "mixup": 0.0, "cutmix": 0.0},
    "text": {**RECIPE, "epochs": 15, "unit": "word", "min_df": 2, "max_features": 20_000, "max_length": 256,
             "word_dropout": 0.0},
    "tabular": {**RECIPE, "epochs": 100, "learning_rate": 3e-3, "patience": 20},  # few steps: rows are few
}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "quantile",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 500}
LARGEST = 128  # pixels, where neither the user nor the data say less
CHUNK = 4096
PADDING = 1e-3  # by how much padding may change what a text network says


def made(params: Mapping[str, Any], offered: Mapping[str, Any], modality: str, example: Any) -> Any:
    """The user's network, tried on an example. Raises UsageError when it is none or gives something else."""
    import torch

    name, _, options = _source.parted(str(params["source"]), DEFAULTS[modality])
    net = _source.made(name, offered, options, WHAT)
    if not isinstance(net, torch.nn.Module):
        raise UsageError(f"{WHAT} must be a torch.nn.Module; got {name!r}, which gives a {type(net).__name__}.")
    try:
        with limited(), torch.no_grad():
            out = net.eval()(example)
    except Exception as error:  # the user's network raises what it likes
        raise UsageError(f"{WHAT} must take {tuple(example.shape)} {example.dtype!s}; got {name!r} with "
                         f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.") from error
    wanted = (len(example), offered["outputs"])
    if getattr(out, "shape", None) != wanted:
        raise UsageError(f"{WHAT} must give logits {wanted}; got {name!r} with "
                         f"{tuple(getattr(out, 'shape', ())) or type(out).__name__}.")
    return net


def _image(params: Mapping[str, Any], side: int, outputs: int) -> Any:
    """float32 (n, 3, side, side) in 0..1 -> logits."""
    import torch

    net = made(params, {"outputs": outputs, "size": side}, "image", torch.rand(2, 3, side, side))
    return pictured(net, [net], side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def _text(ids: int, outputs: int, params: Mapping[str, Any]) -> Any:
    """int64 (n, length), 0 is padding -> logits, which padding must not change."""
    import torch

    short = torch.tensor([[1, 2, 1], [2, 1, 0]]) % max(ids, 1)
    net = made(params, {"outputs": outputs, "ids": ids}, "text", short)
    with limited(), torch.no_grad():
        longer = torch.nn.functional.pad(short, (0, 5))
        away = float((net(short) - net(longer)).abs().max())
    if not away <= PADDING:
        raise UsageError(f"{WHAT} for texts must not look at padding, id 0; got a difference of {away:.2g} when it is "
                         "longer, mask it out.")
    return net


class _Table:
    """Encoded rows for the loop."""

    def __init__(self, X: Any, y: Any, weight: Any) -> None:
        self.X, self.y, self.weight = X, y, weight

    def __len__(self) -> int:
        return len(self.y)

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        """One float32 tensor (m, f)."""
        import torch

        return (torch.from_numpy(np.ascontiguousarray(self.X[positions])),)

    def take(self, positions: Any) -> _Table:
        """The rows at positions (m,)."""
        return _Table(self.X[positions], self.y[positions], None if self.weight is None else self.weight[positions])


def task_of(rows: Rows) -> Task:
    """One output of a table as a task of its own."""
    problem: Problem = "regression" if not rows.classes else "binary" if rows.classes == 2 else "multiclass"
    return Task(modality="tabular", problem=problem, target=("y",), metric="log_loss" if rows.classes else "rmse",
                classes=tuple(map(str, range(rows.classes))), rows=len(rows.y))


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    import torch

    features, outputs = rows.X.shape[1], rows.classes or 1
    with loop.seeded(rows.seed):
        net = made(params, {"outputs": outputs, "features": features}, "tabular", torch.zeros(2, features))
    task = task_of(rows)
    y = rows.y if rows.classes else rows.y.astype(np.float32)
    found = loop.fit(net, _Table(rows.X, y, rows.weight), params, task, seed=rows.seed, deadline=rows.deadline)

    def predict(X: Any) -> Any:
        some = _Table(X, np.zeros(len(X)), None)
        return loop.finish(loop.predict(net, some, CHUNK), task)

    def onnx() -> Any:
        import onnx

        served = torch.nn.Sequential(net, torch.nn.Softmax(dim=1)) if rows.classes else net
        return tidy(onnx.load_from_string(to_onnx(served, (torch.zeros(2, features),))))

    return Core(predict=predict, onnx=onnx, learned={"epochs": found.epochs})


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the recipe's options, after the network was made and tried. Raises UsageError."""
    import torch

    _, recipe, _ = _source.parted(str(params["source"]), DEFAULTS[task.modality])
    chosen, outputs = {**params, **recipe}, _source.outputs(task)
    with loop.seeded(0):
        if task.modality == "image":
            _image(chosen, int(chosen["size"]) or 64, outputs)
        elif task.modality == "text":
            _text(100, outputs, chosen)
        else:
            one = 2 if task.problem == "multilabel" else len(task.classes) or 1
            made(chosen, {"outputs": one, "features": 8}, "tabular", torch.zeros(2, 8))
    return chosen


def build(params: Mapping[str, Any], task: Task) -> Model:
    """The user's network, untrained."""
    chosen = {**DEFAULTS[task.modality], **params}
    models: Mapping[str, Callable[[], Model]] = {
        "image": lambda: NetworkModel(task, chosen, _image, lambda natural: min(natural, LARGEST)),
        "text": lambda: TextModel(task, chosen, _text), "tabular": lambda: TabularModel(task, chosen, _learn, ENCODER)}
    return models[task.modality]()


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Model:
    """The network with the weights that it starts from."""
    chosen = {**DEFAULTS[task.modality], **params}
    if task.modality == "text":
        return _net.untrained(_text)(chosen, task, data)
    model: Any = build(chosen, task)
    if task.modality == "image":
        return model.untrained(data)  # type: ignore[no-any-return]
    return model.fit(data, seed=0, deadline=0.0)  # type: ignore[no-any-return]


def _family(modality: str, takes: str, seconds: float) -> Family:
    return Family(
        name=f"torch_{modality}", modality=modality, problems=_timm.PROBLEMS, build=build,
        facts=Facts(year=2016, paper="Paszke et al. 2019, PyTorch", licence="the user's", framework="torch",
                    good_at=f"a network of the user's own over {takes}, under the loop that trains all others"),
        defaults={**DEFAULTS[modality], "source": ""}, handles=frozenset({"weights", "nonlinear"}),
        seconds=lambda task: 5.0 + seconds * max(task.rows, 1), prepare=prepare, untrained=untrained, rank=1,
        rung=1.0 if modality == "tabular" else 0.25, paced=True, scheme="torch",
        requires=("torch", "torchvision") if modality == "image" else ("torch",))


SPEC = (_family("image", "float32 (n, 3, size, size) in 0..1", 0.3), _family("text", "int64 ids (n, length)", 0.01),
        _family("tabular", "float32 (n, features)", 5e-3))
