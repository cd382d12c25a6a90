"""Networks of timm: built for the size at hand, filled with weights that the resolver finds, taken apart in stages."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit.errors import Unavailable, UnknownName
from rightfit.models._nn import weights
from rightfit.models._nn.loop import seeded
from rightfit.models.image._graph import IMAGENET, pictured
from rightfit.models.image._net import NetworkModel
from rightfit.records import Dataset, Dimension, Family, Need, Problem, Task

SMALL = 64  # pixels up to which a network trained from scratch keeps its stem at full resolution
SCRATCH: Mapping[str, Any] = {
    "network": "", "pretrained": False, "weights": "", "size": 0, "epochs": 30, "batch": 64, "learning_rate": 3e-3,
    "weight_decay": 0.05, "optimizer": "adamw", "schedule": "onecycle", "label_smoothing": 0.1, "mixup": 0.0,
    "cutmix": 0.0, "loss": "auto", "balanced": False, "clip": 1.0, "ema": 0.0, "drop_rate": 0.0, "drop_path_rate": 0.0,
    "augment": "auto", "flip": "auto", "early_stopping": True, "patience": 12, "freeze_epochs": 0, "head_only": False,
    "backbone_rate": 1.0, "frozen_norm": False,
}
# Fine-tuning: the head alone first, then all with a slower backbone (Howard & Ruder 2018); batch norms keep the
# statistics of the large data set, which batches of 32 would only disturb.
TUNED: Mapping[str, Any] = {
    "pretrained": True, "epochs": 12, "batch": 32, "learning_rate": 2e-3, "weight_decay": 0.02, "freeze_epochs": 2,
    "backbone_rate": 0.1, "frozen_norm": True,
}
SPACE: Mapping[str, Dimension] = {
    "learning_rate": Dimension(low=3e-4, high=1e-2, log=True), "weight_decay": Dimension(low=1e-3, high=0.3, log=True),
    "label_smoothing": Dimension(low=0.0, high=0.2), "drop_rate": Dimension(low=0.0, high=0.4),
    "mixup": Dimension(choices=(0.0, 0.2)), "augment": Dimension(choices=("light", "strong")),
}
REGULARISERS = ("weight_decay", "label_smoothing", "drop_rate", "mixup", "augment")
PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
Adapt = Callable[[Any, int], Any]


def create(network: str, outputs: int, **options: Any) -> Any:
    """A timm network with random weights. Raises UnknownName."""
    import timm

    base = network.partition(".")[0]
    if not timm.is_model(base):
        raise UnknownName("network", network, timm.list_models())
    options = {name: value for name, value in options.items() if value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return timm.create_model(base, pretrained=False, num_classes=outputs, **options)
        except TypeError:  # some have no stochastic depth
            options.pop("drop_path_rate", None)
            return timm.create_model(base, pretrained=False, num_classes=outputs, **options)


def published(network: str) -> Mapping[str, str]:
    """Where the hub has the ImageNet weights of a network: repo and url, empty where it has none."""
    import timm

    cfg = timm.get_pretrained_cfg(network, allow_unregistered=True)
    repo, url = getattr(cfg, "hf_hub_id", None) or "", getattr(cfg, "url", None) or ""
    return {"repo": repo, "url": url}


def loaded(network: str, path: str, outputs: int, side: int | None = None, **options: Any) -> Any:
    """A network with the weights of a file, its head new where `outputs` differs. Raises Unavailable, UnknownName.

    What the JSON beside the file says of the build (timm_kwargs, such as pad_type) is obeyed.
    """
    said = weights.described(Path(path))
    extra = said.get("timm_kwargs")
    options = {**options, **(extra if isinstance(extra, Mapping) else {})}
    if side is not None and side != native(path) and _fixed(network):
        options["img_size"] = side
    net = create(network, outputs, **options)
    state = weights.load_state(path)
    adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if adapt is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                state = adapt(state, net)
            except (KeyError, IndexError, ValueError, RuntimeError, AttributeError, TypeError):
                state = dict(state)  # of another layout altogether: `put` says so
    weights.put(net, state, head_names(net), path)
    return net


def _fixed(network: str) -> bool:
    import timm

    return bool(getattr(timm.get_pretrained_cfg(network, allow_unregistered=True), "fixed_input_size", False))


def native(path: str) -> int:
    """The side in pixels that a weights file was trained at, as the JSON beside it says; else 224."""
    size = weights.described(Path(path)).get("input_size")
    return int(size[-1]) if isinstance(size, Sequence) and size else 224


def normalisation(network: str, path: str) -> tuple[Sequence[float], Sequence[float]]:
    """(mean, std) of the weights: what the JSON beside them says, else what timm says of the network."""
    import timm

    said = weights.described(Path(path)) if path else {}
    cfg = timm.get_pretrained_cfg(network, allow_unregistered=True) if path else None
    return (said.get("mean") or getattr(cfg, "mean", None) or IMAGENET[0],
            said.get("std") or getattr(cfg, "std", None) or IMAGENET[1])


def head_names(net: Any) -> list[str]:
    """The names of the modules that hold the classifier."""
    found = net.get_classifier()
    some = found if isinstance(found, tuple) else (found,)
    return [name for name, module in net.named_modules() if any(module is one for one in some) and name]


def stages(net: Any) -> list[Any]:
    """The top modules of a timm network from input to head, its towers of blocks one by one."""
    import torch

    top = head_names(net)[0].partition(".")[0] if head_names(net) else ""
    found: list[Any] = []
    for name, child in net.named_children():
        inside = list(child) if isinstance(child, torch.nn.Sequential | torch.nn.ModuleList) else [child]
        found += [] if name == top else [one for one in inside if any(True for _ in one.parameters())]
    return [*found, *(child for name, child in net.named_children() if name == top)]


def maker(adapt: Adapt | None = None, options: Callable[[int, Mapping[str, Any]], Mapping[str, Any]] | None = None,
          ) -> Callable[[Mapping[str, Any], int, int], Any]:
    """A `make` of NetworkModel; from scratch, `options(side, params)` and `adapt(net, side)` fit it to the pictures."""
    def make(params: Mapping[str, Any], side: int, outputs: int) -> Any:
        network, path = str(params["network"]), str(params.get("weights") or "")
        drops = {"drop_rate": float(params["drop_rate"]), "drop_path_rate": float(params["drop_path_rate"])}
        if path:
            net = loaded(network, path, outputs, side, **drops)
        elif params["pretrained"]:  # untrained, to be measured: as it will be, but for the weights
            net = create(network, outputs, **drops, **({"img_size": side} if _fixed(network) and side != 224 else {}))
        else:
            net = create(network, outputs, **drops, **(options(side, params) if options else {}))
            net = adapt(net, side) if adapt else net
        return pictured(net, stages(net), side, *normalisation(network, path))

    return make


def early(net: Any, side: int) -> Any:
    """For small pictures a mobile network's stem keeps their resolution."""
    if side <= SMALL:
        net.conv_stem.stride = (1, 1)
    return net


def sides(pretrained: bool) -> Callable[[int], int]:
    """The side that the net sees, from the pictures' own: small from scratch, so that a CPU can train it."""
    if pretrained:
        return lambda natural: 96 if natural <= 48 else 128 if natural <= 128 else 160
    return lambda natural: min(natural, 64) if natural < 160 else 96


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the path of the pretrained weights where they are asked for, which were read and do fit.

    A file that the user named and that says nothing of its network is taken when its tensors fit. Raises Unavailable.
    """
    if not params.get("pretrained"):
        return params
    network = str(params["network"])
    try:
        path = weights.find(network, need.weights, **published(network))
    except Unavailable:
        found = _nameless(network, need.weights)
        if found is None:
            raise
        path = found
    with seeded(0):
        loaded(network, str(path), max(len(task.classes), 1))
    return {**params, "weights": str(path.resolve())}


def _nameless(network: str, places: Sequence[str]) -> Path | None:
    """The first file among those the user named whose name is no network's, but whose tensors are this one's."""
    import timm

    known = set(timm.list_models())
    some = [path for place in places for path in weights.files(place)
            if not weights.described(path) and not weights.overlay_of(path)
            and not any(weights.answers(path, name) for name in known if path.stem.startswith(name))]
    if not some:
        return None
    with seeded(0):
        net = create(network, 1)
    top = head_names(net)
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()
              if not name.startswith(tuple(top)) and not name.endswith("num_batches_tracked")}
    return next((path for path in some if _same(weights.shapes(path), wanted)), None)


def _same(has: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> bool:
    return all(has.get(name) == shape for name, shape in wanted.items())


def family(make: Callable[[Mapping[str, Any], int, int], Any], *, step_s: float, **said: Any) -> Family:
    """The SPEC of a family of networks. step_s: seconds that one picture of one epoch costs, from scratch, measured.

    prunes: False where channels cannot leave one by one.
    """
    pruned = {"prune": 0.0} if said.pop("prunes", True) else {}
    defaults = {**SCRATCH, **pruned, **said.pop("defaults")}

    def build(params: Mapping[str, Any], task: Task) -> NetworkModel:
        """An unfitted network."""
        chosen = {**defaults, **params}
        return NetworkModel(task, chosen, make, sides(bool(chosen["pretrained"])))

    def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Any:
        """The network with random weights, which costs what the trained one costs."""
        return build(params, task).untrained(data)

    return Family(modality="image", problems=PROBLEMS, build=build, defaults=defaults, untrained=untrained,
                  prepare=prepare, rung=0.25, haste=0.5, paced=True, requires=("torch", "timm", "torchvision"),
                  handles=frozenset({"weights", "imbalance", "nonlinear"}), space={**SPACE, **said.pop("space", {})},
                  regularisers=REGULARISERS,
                  seconds=lambda task: 10.0 + step_s * max(task.rows, 1) * float(defaults["epochs"]), **said)
