"""Networks of keras.applications, trained by Keras on TensorFlow: VGG16, ResNet50, MobileNetV2, EfficientNetB0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import Unavailable, UnknownName
from rightfit.models._keras.backend import REQUIRES, keras
from rightfit.models._keras.pictures import PictureModel
from rightfit.records import Dataset, Dimension, Facts, Family, Need, Task, frozen

HUB = "https://storage.googleapis.com/tensorflow/keras-applications"


@frozen
class Network:
    """A network of keras.applications: its ImageNet weights without head, their size, and seconds an image trains.

    `seconds` is for one epoch at 64 pixels on one core, measured; it grows with the pixels.
    """

    weights: str
    folder: str
    mib: int
    seconds: float


NETWORKS: Mapping[str, Network] = {
    "MobileNetV2": Network(weights="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
                           folder="mobilenet_v2", mib=9, seconds=0.006),
    "EfficientNetB0": Network(weights="efficientnetb0_notop.h5", folder="../keras-applications", mib=16, seconds=0.01),
    "ResNet50": Network(weights="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", folder="resnet", mib=91,
                        seconds=0.03),
    "VGG16": Network(weights="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", folder="vgg16", mib=57,
                     seconds=0.07),
}
DEFAULTS: Mapping[str, Any] = {
    "network": "MobileNetV2", "pretrained": False, "alpha": 1.0, "size": 0, "dropout": 0.2, "head_only": False,
    "epochs": 20, "learning_rate": 1e-3, "weight_decay": 0.01, "batch": 32, "optimizer": "adamw",
    "schedule": "onecycle", "label_smoothing": 0.1, "balanced": False, "flip": "auto", "move": True,
    "early_stopping": True, "patience": 8,
}
# ImageNet's channels as Simonyan & Zisserman's Caffe nets want them: blue first, less the mean.
_CAFFE_MEAN = (103.939, 116.779, 123.68)
# EfficientNet's weights divide by the deviation once more than its layers do: see keras/applications/efficientnet.py.
_MEAN, _SPREAD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _front(k: Any, network: str, pretrained: bool) -> Any:
    """The layer from 0..255 to what the network was made for."""
    if network == "EfficientNetB0":
        share = 1 / np.sqrt(_SPREAD) if pretrained else np.ones(3)
        return k.layers.Rescaling(share.tolist(), (255 * _MEAN * (1 - share)).tolist())
    if network == "MobileNetV2" or not pretrained:
        return k.layers.Rescaling(1 / 127.5, -1.0)
    return k.layers.Conv2D(3, 1, trainable=False, name="blue_first",
                           kernel_initializer=k.initializers.Constant(np.eye(3)[::-1].reshape(1, 1, 3, 3)),
                           bias_initializer=k.initializers.Constant(-np.array(_CAFFE_MEAN)))


def _make(params: Mapping[str, Any], size: int, outputs: int) -> Any:
    k = keras()
    network, weights = str(params["network"]), params.get("weights")
    options = {"alpha": float(params["alpha"])} if network == "MobileNetV2" else {}
    base = getattr(k.applications, network)(include_top=False, weights=weights, input_shape=(size, size, 3),
                                            pooling="avg", **options)
    base.trainable = not (weights and params["head_only"])
    pixels = k.Input((size, size, 3))
    x = base(_front(k, network, bool(weights))(pixels))
    return k.Model(pixels, k.layers.Dense(outputs)(k.layers.Dropout(float(params["dropout"]))(x)))


def build(params: Mapping[str, Any], task: Task) -> PictureModel:
    """An unfitted network: `network` of NETWORKS, `alpha` its width (MobileNetV2), `size` in pixels (0: by the data).

    `pretrained` starts from ImageNet's weights, the file `weights`; `head_only` then trains the head alone. Raises
    UnknownName.
    """
    chosen = {**DEFAULTS, **params}
    if chosen["network"] not in NETWORKS:
        raise UnknownName("network", str(chosen["network"]), NETWORKS)
    return PictureModel(task, chosen, lambda size, outputs: _make(chosen, size, outputs))


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> PictureModel:
    """The network with random weights, which costs what the trained one costs."""
    return build({**params, "weights": None}, task).untrained(data)


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """Params with the path of the ImageNet weights where they are asked for; nothing is downloaded.

    They are looked for among `need.weights`, then in Keras's own cache. Raises Unavailable with where to get them.
    """
    if not params.get("pretrained"):
        return params
    network = NETWORKS[str(params["network"])]
    places = [Path(place) for place in need.weights] + [Path.home() / ".keras" / "models"]
    for path in (one for place in places for one in (place, place / network.weights)):
        if path.name == network.weights and path.is_file():
            return {**params, "weights": str(path.resolve())}
    raise Unavailable(f"{params['network']} needs its ImageNet weights, {network.mib} MiB; got no "
                      f"file={network.weights!r}, get it from {HUB}/{network.folder}/{network.weights} and name it "
                      "with --weights.")


_FINE = {"pretrained": True, "learning_rate": 3e-4, "epochs": 10}

SPEC = Family(
    name="keras_net", modality="image", problems=("binary", "multiclass", "multilabel", "regression"), build=build,
    facts=Facts(year=2015, paper="Simonyan & Zisserman 2015 (VGG); He et al. 2016 (ResNet); Sandler et al. 2018 "
                                 "(MobileNetV2); Tan & Le 2019 (EfficientNet)",
                licence="Apache-2.0", framework="keras/tensorflow",
                good_at="the classic convolutional networks, as Keras ships them",
                bad_at="few images without pretrained weights; TensorFlow takes 10 to 30 s to start and to compile",
                pretrained="ImageNet-1k weights of keras.applications, from a local file"),
    space={"network": Dimension(choices=tuple(NETWORKS)), "dropout": Dimension(low=0.0, high=0.5),
           "learning_rate": Dimension(low=1e-4, high=3e-3, log=True),
           "weight_decay": Dimension(low=1e-4, high=0.1, log=True),
           "label_smoothing": Dimension(choices=(0.0, 0.1)), "balanced": Dimension(choices=(False, True)),
           "move": Dimension(choices=(True, False))},
    defaults=DEFAULTS,
    variants=(_FINE, {"network": "EfficientNetB0", **_FINE}, {"network": "ResNet50", **_FINE},
              {"network": "VGG16", **_FINE, "learning_rate": 5e-5}, {"network": "EfficientNetB0"},
              {"network": "ResNet50"}, {"network": "VGG16", "learning_rate": 1e-4}),
    regularisers=("dropout", "weight_decay", "label_smoothing", "move"),
    handles=frozenset({"weights", "imbalance", "nonlinear"}),
    seconds=lambda task: 30.0 + 20 * task.rows * NETWORKS["MobileNetV2"].seconds, requires=REQUIRES,
    smoke={"alpha": 0.35, "size": 32, "epochs": 12, "batch": 16, "learning_rate": 0.01, "label_smoothing": 0.0,
           "move": False},
    prepare=prepare, untrained=untrained, rung=0.3, haste=0.5, paced=True, rank=60)
