"""Features of a pretrained network that is left as it is, under a linear, support vector, hidden-layer or k-NN head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rightfit.models._nn import weights
from rightfit.models.image import _timm
from rightfit.models.image._embed import digest
from rightfit.models.image._features import FeatureModel
from rightfit.models.image._graph import pictured
from rightfit.records import Dataset, Dimension, Facts, Family, Need, Task

# With the pooled earlier stages (`stages`) a linear head on MobileNetV2 gained 2 to 5 points on 2,000 pictures of
# CIFAR-10 at 64 to 160 pixels. Of those, 1,000 others were told rightly at 96, 128 and 160 pixels: 0.678, 0.730, 0.736,
# for 2.0, 2.9 and 4.9 ms a picture. On 1,200 pictures of flowers5 (128 pixels), 3 folds: 0.684, 0.694 and 0.683 at 128,
# 160 and 224 pixels, 0.700 mirrored, 0.663 without the earlier stages; roots of the features: +0.004, scaled: +0.002.
DEFAULTS: Mapping[str, Any] = {
    "network": "mobilenetv2_100", "pretrained": True, "weights": "", "size": 0, "stages": 4, "mirrored": False,
    "head": "linear", "l2": "auto", "neighbours": 20, "early_stopping": True,
}
SQUEEZE = "squeezenet1_1"  # of torchvision; timm has none
SQUEEZE_URL = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"


class FrozenModel(FeatureModel):
    """Features of `network` with the file `weights`, or random ones without (only to be measured)."""

    def _size(self, natural: int) -> int:
        self.side = int(self.params.get("size") or 0) or (128 if natural <= 64 else 160 if natural <= 160 else 224)
        return min(natural, self.side)

    def _name(self) -> str:
        said = [str(self.params[name]) for name in ("network", "stages", "mirrored")]
        path = str(self.params.get("weights") or "")
        return "-".join([*said, str(self.side), digest(path) if path else "random"])

    def _encoder(self) -> Any:
        return encoder(str(self.params["network"]), str(self.params.get("weights") or ""), self.side,
                       int(self.params["stages"]), bool(self.params["mirrored"]))


def encoder(network: str, path: str, side: int, stages: int, mirrored: bool) -> Any:
    """A torch module from pixels (n, size, size, 3) to features (n, d): the last pooled layer, after the means of the
    last `stages` stages; `mirrored`: averaged with those of the mirrored picture. Raises Unavailable, UnknownName."""
    import torch

    net = _squeeze(path) if network == SQUEEZE else _timm.loaded(network, path, 1, side) if path else _timm.create(
        network, 1)

    class Pooled(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Pooled stages side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def once(self, x: Any) -> Any:
            last, below = self.net.forward_intermediates(x, indices=stages or 1)
            found = [one.mean(dim=(2, 3)) for one in below] if stages else []
            return torch.cat([*found, self.net.forward_head(last, pre_logits=True)], dim=1)

        def forward(self, x: Any) -> Any:
            return (self.once(x) + self.once(x.flip(3))) / 2 if mirrored else self.once(x)

    body = Pooled()
    return pictured(body, [body], side, *_timm.normalisation(network, path))


def _squeeze(path: str) -> Any:
    import torch
    import torchvision

    class Squeeze(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """SqueezeNet 1.1 without its classifier, in timm's words."""

        def __init__(self) -> None:
            super().__init__()
            self.features = torchvision.models.squeezenet1_1(weights=None).features

        def forward_intermediates(self, x: Any, indices: int) -> Any:
            seen = []
            for module in self.features:
                x = module(x)
                seen.append(x)
            return x, [seen[i] for i in (4, 7, 9, 11)[-indices:]]

        def forward_head(self, x: Any, pre_logits: bool) -> Any:
            return x.mean(dim=(2, 3))

    net = Squeeze()
    if path:
        state = {name: value for name, value in weights.load_state(path).items() if name.startswith("features.")}
        weights.put(net, state, [], path)
    return net


def build(params: Mapping[str, Any], task: Task) -> FrozenModel:
    """An unfitted model of frozen features; without `weights` they are random, which is only good for measuring."""
    return FrozenModel(task, {**DEFAULTS, **params})


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Any:
    """The network with a head that answers the class frequencies; it costs what the fitted one costs."""
    return build(params, task).untrained(data)


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the path of the weights, which were read and do fit. Raises Unavailable."""
    if params.get("network") != SQUEEZE:
        return _timm.prepare(params, task, need)
    path = weights.find(SQUEEZE, need.weights, url=SQUEEZE_URL)
    _squeeze(str(path))
    return {**params, "weights": str(path.resolve())}


def seconds(task: Task) -> float:
    """3 ms a picture at 128 pixels, 9 at 224, on one core, measured with MobileNetV2; cached by later fits."""
    return 5.0 + 7e-3 * max(task.rows, 1)


SPEC = Family(
    name="frozen", modality="image", problems=_timm.PROBLEMS, build=build,
    facts=Facts(year=2014, paper="Razavian et al. 2014, CNN Features off-the-shelf; Kornblith et al. 2019, Do Better "
                                 "ImageNet Models Transfer Better?",
                licence="Apache-2.0 (timm); weights as their publishers say", framework="torch/timm",
                good_at="few pictures, little time; features are computed once and shared by all heads",
                bad_at="pictures unlike photographs; fine-tuning is better where there are many",
                pretrained="ImageNet-1k, timm/mobilenetv2_100.ra_in1k (14 MB) and any other network of timm"),
    space={"head": Dimension(choices=("linear", "svm", "mlp")), "stages": Dimension(low=0, high=4, whole=True),
           "mirrored": Dimension(choices=(False, True)), "size": Dimension(choices=(96, 128, 160, 224))},
    defaults=DEFAULTS,
    variants=({"head": "mlp"}, {"size": 160, "mirrored": True, "head": "mlp"}, {"head": "svm"}, {"size": 96},
              {"network": "resnet50"},
              {"network": "convnext_nano"},
              {"head": "knn", "stages": 0}, {"network": SQUEEZE, "size": 128}),
    regularisers=("head", "stages"), handles=frozenset({"weights", "imbalance", "nonlinear"}), seconds=seconds,
    requires=("torch", "timm", "torchvision"), prepare=prepare, untrained=untrained, rung=0.25,
    smoke={"network": "test_resnet", "pretrained": False, "size": 64, "head": "linear"}, rank=5)
