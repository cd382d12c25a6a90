"""Keras networks on TensorFlow: the graph that is written, the loop, the family. Skipped without TensorFlow."""

import base64
import io
import random
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs rightfit[tensorflow]")
pytest.importorskip("PIL")

from rightfit.errors import Unavailable, UnknownName
from rightfit.models._keras import convert, graph, train
from rightfit.models._keras.backend import keras, seeded
from rightfit.models.image import keras_net
from rightfit.models.image._graph import runner
from rightfit.package import verify
from rightfit.package.runtimes import image
from rightfit.records import Column, Dataset, Need, Schema, Task

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
LATER = float("inf")
NETWORKS = {"MobileNetV2": {"alpha": 0.35}, "EfficientNetB0": {}, "ResNet50": {}, "VGG16": {}}


def pictures(problem="multiclass", n=18, seed=0, size=32):
    """Stripes in one of three directions, as data URIs."""
    import pandas as pd
    from PIL import Image

    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    refs = []
    for code in codes:
        row, column = np.indices((size, size))
        stripes = (row, column, row + column)[code] // 4 % 2
        pixels = (rng.integers(0, 80, (size, size, 3)) + 120 * stripes[..., None]).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        refs.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    y, classes = {"multiclass": (codes, ("a", "b", "c")), "binary": ((codes == 1).astype(int), ("no", "yes")),
                  "multilabel": (np.stack([codes > 0, codes > 1], 1).astype(np.int8), ("some", "many")),
                  "regression": (1000.0 + 10.0 * codes, ())}[problem]
    task = Task(modality="image", problem=problem, target=("y",), metric="", classes=classes,
                outputs=2 if problem == "multilabel" else 1, rows=n, features=1)
    schema = Schema(columns=(Column(name="image", kind="image"),))
    return Dataset(X=pd.DataFrame({"image": pd.Series(refs, dtype=object)}), y=y, schema=schema), task


def small(problem="multiclass", **params):
    data, task = pictures(problem)
    return data, task, keras_net.build({**keras_net.SPEC.smoke, "epochs": 1, "batch": 9, **params}, task)


def written(net, X):
    """(what the written graph says, what Keras says) of X float32."""
    writer = graph.Writer()
    content = writer.model(graph.write(net, writer, "X"), X.shape[1:], net.output_shape[-1])
    return runner(content)(X), np.asarray(net(X, training=False))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_written_as_keras_computes_it(name):
    rng = np.random.default_rng(0)
    with seeded(1):
        net = keras_net._make({**keras_net.DEFAULTS, "network": name, **NETWORKS[name]}, 32, 3)
    for layer in train.layers(net):  # every figure of a norm must matter
        if hasattr(layer, "moving_mean"):
            layer.set_weights([w * rng.uniform(0.8, 1.2, w.shape) + rng.uniform(0, 0.1, w.shape)
                               for w in layer.get_weights()])
    got, told = written(net, rng.uniform(0, 255, (3, 32, 32, 3)).astype(np.float32))
    assert np.abs(got - told).max() <= 1e-4 * max(np.abs(told).max(), 1)
    assert np.ptp(told) > 1e-4


def test_layers_of_a_users_own_network_are_written():
    k = keras()
    layers = k.layers
    with seeded(2):
        x = k.Input((13, 11, 3))
        y = layers.Conv2D(8, 3, strides=2, padding="same", activation="gelu")(x)
        y = layers.BatchNormalization()(y)
        a = layers.AveragePooling2D(3, strides=2, padding="same")(layers.LeakyReLU(negative_slope=0.2)(y))
        b = layers.MaxPooling2D(2, padding="same")(layers.Activation("hard_silu")(y))
        y = layers.Concatenate()([a, b])
        y = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="tanh")(y)
        y = layers.Multiply()([y, layers.Reshape((1, 1, 32))(layers.Dense(32, "sigmoid")(
            layers.GlobalMaxPooling2D()(y)))])
        y = layers.Flatten()(layers.ReLU(max_value=4.0)(layers.ZeroPadding2D(((1, 0), (2, 1)))(y)))
        y = k.Sequential([layers.Dense(7, "elu"), layers.LayerNormalization(), layers.Dropout(0.3)])(y)
        net = k.Model(x, layers.Softmax()(layers.Average()([layers.Dense(4)(y), layers.Dense(4)(y)]) * 3.0))
    got, told = written(net, np.random.default_rng(0).normal(size=(5, 13, 11, 3)).astype(np.float32))
    np.testing.assert_allclose(got, told, atol=1e-6)


def test_what_cannot_be_written_here_goes_to_tf2onnx():
    pytest.importorskip("tf2onnx")
    k = keras()
    with seeded(3):
        net = k.Sequential([k.Input((8, 8, 3)), k.layers.Conv2D(4, 3), k.layers.UpSampling2D(2), k.layers.Flatten(),
                            k.layers.Dense(3)])
    with pytest.raises(graph.Unknown, match="layer='UpSampling2D'"):
        graph.write(net, graph.Writer(), "X")
    task = Task(modality="image", problem="multiclass", target=("y",), metric="", classes=("a", "b", "c"))
    some = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    out = runner(convert.to_onnx(net, some, task))(some)
    assert out.shape == (3, 3) and np.allclose(out.sum(axis=1), 1)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel", "regression"])
def test_a_network_is_fitted_saved_and_served(problem, tmp_path):
    data, task, model = small(problem)
    model.fit(data, seed=1, deadline=LATER)
    out = np.asarray(model.predict(data.X))
    assert out.shape == ((18,) if problem == "regression" else (18, len(task.classes))) and np.isfinite(out).all()
    if problem == "regression":
        assert 900 < out.mean() < 1100
    meta = model.save(tmp_path)
    assert verify.inside(tmp_path, meta["cores"][0]["file"]).is_file()
    served = image.load(tmp_path, meta)
    np.testing.assert_allclose(served.frame(data.X).reshape(out.shape), out, atol=1e-5, rtol=1e-6)
    row = served.row(data.X.iloc[3].to_dict())
    np.testing.assert_allclose(row.ravel(), np.atleast_1d(out[3]), rtol=1e-5, atol=1e-6)


def test_equal_seeds_give_equal_networks_and_nobody_elses_numbers_are_used():
    state, mine = np.random.get_state(), random.getstate()
    first, second, other = (small()[2].fit(small()[0], seed=seed, deadline=LATER).content for seed in (5, 5, 6))
    assert first == second != other
    assert random.getstate() == mine and all(map(np.array_equal, state, np.random.get_state()))


def test_what_is_late_stays_as_it_was_and_says_the_shares():
    data, _, model = small()
    out = model.fit(data, seed=0, deadline=time.monotonic() - 1).predict(data.X)
    assert model.learned == {"epochs": 1}
    np.testing.assert_allclose(out.mean(axis=0), 1 / 3, atol=0.1)


def test_an_untrained_network_costs_what_the_trained_one_costs(tmp_path):
    data, task, model = small()
    trained = model.fit(data, seed=0, deadline=LATER).content
    other = keras_net.untrained({**keras_net.SPEC.smoke}, task, data)
    assert len(other.content) == pytest.approx(len(trained), rel=0.01) and other.save(tmp_path) == model.save(tmp_path)


def test_weights_of_rows_and_classes_count():
    rows = type("Rows", (), {"y": np.array([0, 0, 0, 1]), "weight": None, "__len__": lambda self: 4})()
    np.testing.assert_allclose(train._weights(rows, True), [2 / 3, 2 / 3, 2 / 3, 2])
    rows.weight = np.array([1.0, 1.0, 1.0, 3.0])
    np.testing.assert_allclose(train._weights(rows, False), [2 / 3, 2 / 3, 2 / 3, 2])


def test_pretrained_weights_are_found_and_never_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    task = pictures()[1]
    asked = {**keras_net.DEFAULTS, "pretrained": True}
    with pytest.raises(Unavailable, match=r"MobileNetV2 needs its ImageNet weights, 9 MiB; got no file=.*--weights"):
        keras_net.prepare(asked, task, Need())
    name = keras_net.NETWORKS["MobileNetV2"].weights
    (tmp_path / name).write_bytes(b"")
    for place in (tmp_path, tmp_path / name):
        assert keras_net.prepare(asked, task, Need(weights=(str(place),)))["weights"] == str(tmp_path / name)
    assert keras_net.prepare(keras_net.DEFAULTS, task, Need()) == keras_net.DEFAULTS
    with pytest.raises(UnknownName, match="VGG16; got network='VGG19'"):
        keras_net.build({"network": "VGG19"}, task)


def test_imagenet_weights_get_the_pixels_they_were_trained_on(tmp_path):
    """A file of weights goes in, and the front layer says what keras.applications says of its preprocessing."""
    k = keras()
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    module = {"VGG16": k.applications.vgg16, "MobileNetV2": k.applications.mobilenet_v2}
    for name, home in module.items():
        front = keras_net._front(k, name, True)
        np.testing.assert_allclose(np.asarray(front(pixels)), home.preprocess_input(pixels.copy()), atol=1e-3)
    front = np.asarray(keras_net._front(k, "EfficientNetB0", True)(pixels)) / 255
    mean, spread = keras_net._MEAN, keras_net._SPREAD
    np.testing.assert_allclose((front - mean) / spread, (pixels / 255 - mean) / spread / np.sqrt(spread), rtol=1e-3,
                               atol=1e-3)
    with seeded(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = k.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35)
        base.save_weights(tmp_path / "w.weights.h5")
        net = keras_net._make({**keras_net.DEFAULTS, "alpha": 0.35, "weights": str(tmp_path / "w.weights.h5"),
                               "head_only": True}, 32, 2)
    assert len(net.trainable_weights) == 2
    np.testing.assert_array_equal(net.layers[2].get_weights()[0], base.get_weights()[0])


@pytest.mark.slow
def test_stripes_are_learned():
    data, task = pictures(n=300)
    model = keras_net.build({**keras_net.SPEC.smoke, "epochs": 12}, task)
    model.fit(data, seed=0, deadline=time.monotonic() + 120)
    new = pictures(n=60, seed=1)[0]
    assert np.mean(model.predict(new.X).argmax(axis=1) == new.y) > 0.6
