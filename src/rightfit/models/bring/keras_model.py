"""A Keras network of the user's: keras:module:factory?option=value, or a saved file keras:FILE.keras."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.models._keras import convert, train
from rightfit.models._keras.backend import REQUIRES, keras, seeded
from rightfit.models._keras.pictures import PictureModel
from rightfit.models.bring import _source
from rightfit.models.bring._graph import runner
from rightfit.models.tabular._graph import tidy
from rightfit.models.tabular._parts import Core, Rows
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Dataset, Facts, Family, Model, Need, Problem, Task

WHAT = "a Keras network"
RECIPE: Mapping[str, Any] = {
    "epochs": 20, "batch": 32, "learning_rate": 1e-3, "weight_decay": 0.01, "optimizer": "adamw",
    "schedule": "onecycle", "label_smoothing": 0.0, "balanced": False, "early_stopping": True, "patience": 8,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "image": {**RECIPE, "size": 0, "scale": 255.0, "flip": "auto", "move": True},
    "tabular": {**RECIPE, "epochs": 100, "learning_rate": 3e-3, "patience": 20}}
ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "quantile",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 500}
SIZES = (32, 128)


def made(params: Mapping[str, Any], offered: Mapping[str, Any], modality: str, shape: tuple[int, ...]) -> Any:
    """The user's network from float32 (n, *shape) to logits (n, outputs); a last softmax or sigmoid is taken off.

    Nothing that a .keras file holds is run (safe_mode). Raises UsageError when it is none or of another shape.
    """
    k = keras()
    name, _, options = _source.parted(str(params["source"]), DEFAULTS[modality])
    net = _loaded(k, name) if name.endswith(".keras") else _source.made(name, offered, options, WHAT)
    if not isinstance(net, k.Model):
        raise UsageError(f"{WHAT} must be a keras.Model; got {name!r}, which gives a {type(net).__name__}.")
    try:
        outputs = net(np.zeros((2, *shape), np.float32), training=False)  # a symbolic call would stay in its graph
    except Exception as error:  # the user's network raises what it likes
        raise UsageError(f"{WHAT} must take {(None, *shape)}; got {name!r} with {type(error).__name__}: "
                         f"{' '.join(str(error).split())[:200]}.") from error
    if tuple(getattr(outputs, "shape", ())) != (2, offered["outputs"]):
        raise UsageError(f"{WHAT} must give logits (n, {offered['outputs']}); got {name!r} with "
                         f"{tuple(getattr(outputs, 'shape', ())) or type(outputs).__name__} for 2 rows.")
    return _logits(k, net)


def _loaded(k: Any, name: str) -> Any:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{WHAT} must be a file that exists; got file={name!r}.")
    try:
        return k.saving.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a damaged or unsafe file leads to
        raise UsageError(f"{WHAT} must be saved by Keras 3, without code of its own; got file={name!r} with "
                         f"{type(error).__name__}: {' '.join(str(error).split())[:160]}.") from error


def _logits(k: Any, net: Any) -> Any:
    for last in net.layers[-1:]:
        if type(last).__name__ == "Softmax":
            return k.Model(net.inputs, last.input)
        if getattr(getattr(last, "activation", None), "__name__", "") in ("softmax", "sigmoid"):
            last.activation = k.activations.linear
    return net


def _image(params: Mapping[str, Any], size: int, outputs: int) -> Any:
    """The user's network behind pixels 0..255, which reach it divided by `scale`."""
    k = keras()
    net = made(params, {"outputs": outputs, "size": size}, "image", (size, size, 3))
    pixels = k.Input((size, size, 3))
    return k.Model(pixels, net(k.layers.Rescaling(1 / float(params["scale"]))(pixels)))


class _Table:
    """Encoded rows for the loop."""

    def __init__(self, X: Any, y: Any, weight: Any) -> None:
        self.X, self.y, self.weight = X, y, weight
        self.groups: Any = None

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, positions: Any, random: Any) -> Any:
        """float32 (m, f)."""
        return self.X[positions]

    def take(self, positions: Any) -> _Table:
        """The rows at positions (m,)."""
        return _Table(self.X[positions], self.y[positions], None if self.weight is None else self.weight[positions])


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    import onnx

    features, outputs = rows.X.shape[1], rows.classes or 1
    problem: Problem = "regression" if not rows.classes else "binary" if rows.classes == 2 else "multiclass"
    task = Task(modality="tabular", problem=problem, target=("y",), metric="",
                classes=tuple(map(str, range(rows.classes))), rows=len(rows.y))
    keras()
    start = time.monotonic()
    with seeded(rows.seed):
        net = made(params, {"outputs": outputs, "features": features}, "tabular", (features,))
    y = rows.y if rows.classes else rows.y.astype(np.float32)
    found = train.fit(net, _Table(rows.X, y, rows.weight), params, task, seed=rows.seed,
                      around=(rows.deadline, time.monotonic() - start))
    content = convert.to_onnx(net, rows.X[:4], task)
    return Core(predict=runner(content), onnx=lambda: tidy(onnx.load_from_string(content)),
                learned={"epochs": found.epochs})


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the recipe's options, after the network was made and converted. Raises UsageError, Unavailable."""
    name, recipe, _ = _source.parted(str(params["source"]), DEFAULTS[task.modality])
    chosen, outputs = {**params, **recipe}, _source.outputs(task)
    if name.endswith(".keras"):
        if task.modality != "image":
            raise UsageError(f"{WHAT} for tables must be module:factory, because it is told how many features there "
                             f"are; got file={name!r}.")
        source = str(params["source"])
        chosen["source"] = f"{Path(name).expanduser().resolve()}{source[len(name):]}"
    with seeded(0):
        if task.modality == "image":
            size = int(chosen["size"]) or _side(chosen) or SIZES[0]
            chosen["size"] = int(chosen["size"]) or _side(chosen)
            net, some = _image(chosen, size, outputs), np.zeros((1, size, size, 3), np.uint8)
        else:
            one = 2 if task.problem == "multilabel" else len(task.classes) or 1
            net = made(chosen, {"outputs": one, "features": 8}, "tabular", (8,))
            some = np.zeros((1, 8), np.float32)
            task = Task(modality="tabular", problem="multiclass" if task.classifies else "regression", target=("y",),
                        metric="", classes=tuple(map(str, range(one))) if task.classifies else ())
    convert.to_onnx(net, some, task)
    return chosen


def _side(params: Mapping[str, Any]) -> int:
    """The side in pixels that a saved network was made for; 0 where it takes any."""
    name = _source.split(str(params["source"]))[0]
    if not name.endswith(".keras"):
        return 0
    shape = _loaded(keras(), name).input_shape
    return int(shape[1] or 0) if len(shape) == 4 else 0


def build(params: Mapping[str, Any], task: Task) -> Model:
    """The user's network, untrained."""
    chosen = {**DEFAULTS[task.modality], **params}
    models: Mapping[str, Callable[[], Model]] = {
        "image": lambda: PictureModel(task, chosen, lambda size, outputs: _image(chosen, size, outputs), SIZES),
        "tabular": lambda: TabularModel(task, chosen, _learn, ENCODER)}
    return models[task.modality]()


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Model:
    """The network with the weights that it starts from."""
    model: Any = build(params, task)
    if task.modality == "image":
        return model.untrained(data)  # type: ignore[no-any-return]
    return model.fit(data, seed=0, deadline=0.0)  # type: ignore[no-any-return]


def _family(modality: str, takes: str, seconds: float) -> Family:
    return Family(
        name=f"keras_{modality}", modality=modality, problems=("binary", "multiclass", "multilabel", "regression"),
        build=build,
        facts=Facts(year=2015, paper="Chollet et al. 2015, Keras", licence="the user's", framework="keras/tensorflow",
                    good_at=f"a network of the user's own over {takes}",
                    bad_at="TensorFlow takes 10 to 30 s to start and to compile"),
        defaults={**DEFAULTS[modality], "source": ""}, handles=frozenset({"weights", "nonlinear"}),
        seconds=lambda task: 25.0 + seconds * max(task.rows, 1), prepare=prepare, untrained=untrained, rank=1,
        rung=1.0 if modality == "tabular" else 0.3, paced=True, requires=REQUIRES, scheme="keras")


SPEC = (_family("image", "float32 (n, size, size, 3) in 0..1", 0.2),
        _family("tabular", "float32 (n, features)", 5e-3))
