"""Image families: networks from scratch and from weights, fixed features, heads, and what they hand to the package."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rightfit import cache, registry
from rightfit.data._media import decode
from rightfit.data.modalities._image_example import example
from rightfit.errors import Unavailable, UnknownName
from rightfit.records import Need, Task
from rightfit.resources import hub

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("torchvision")
safetensors = pytest.importorskip("safetensors.torch")

from rightfit.models._nn import head as heads  # noqa: E402
from rightfit.models._nn import loop, weights  # noqa: E402
from rightfit.models.image import _rows, _timm  # noqa: E402
from rightfit.testing._case import in_time  # noqa: E402

NETWORKS = ("cnn", "vgg", "resnet", "mobilenet", "efficientnet", "convnext", "vit")
FAMILIES = (*NETWORKS, "frozen", "hog", "image_baseline")
THREE = Task(modality="image", problem="multiclass", target=("y",), metric="accuracy", classes=("a", "b", "c"))


def family(name: str) -> Any:
    return registry.plugin("rightfit.models", name, "family")


def built(name: str, task: Task, **params: Any) -> Any:
    spec = family(name)
    return spec.build({**spec.defaults, **spec.smoke, **params}, task)


def late(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with cache.at(tmp_path_factory.mktemp("cache")):
        yield


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RIGHTFIT_WEIGHTS", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.reachable.cache_clear()
    weights._json.cache_clear()
    weights._download.cache_clear()


@pytest.mark.parametrize("name", FAMILIES)
def test_trains_and_serves_as_it_predicts(name: str, tmp_path: Path) -> None:
    from rightfit.package.runtimes.image import SPEC as runtime

    data, task = example("multiclass", n=60)
    model = built(name, task, epochs=2).fit(data, seed=0, deadline=late())
    meta = model.save(tmp_path)
    served = runtime.load(tmp_path, json.loads(json.dumps(meta)))
    np.testing.assert_allclose(served.frame(data.X), model.predict(data.X), atol=1e-4)
    if name in NETWORKS:
        rows = _rows.Pixels(decode.pixels(list(data.X["image"]), model.size), np.arange(60), data.y)
        np.testing.assert_allclose(loop.finish(loop.predict(model.net, rows), task), model.predict(data.X), atol=1e-4)
    np.testing.assert_allclose(served.row({"image": data.X["image"][3]})[0], model.predict(data.X)[3], atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES[:-1])
def test_untrained_costs_what_the_trained_one_does(name: str, tmp_path: Path) -> None:
    data, task = example("regression", n=30)
    spec = family(name)
    sizes = []
    for at, model in enumerate((built(name, task, epochs=1).fit(data, seed=0, deadline=late()),
                                spec.untrained({**spec.defaults, **spec.smoke}, task, data))):
        home = tmp_path / str(at)
        home.mkdir()
        assert model.save(home)["size"] == model.size
        sizes.append((home / "model.onnx").stat().st_size)
        assert np.isfinite(model.predict(data.X)).all() and model.predict(data.X).shape == (30,)
    assert abs(sizes[0] - sizes[1]) < 0.02 * sizes[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_passed_deadline_leaves_the_base_rate(name: str) -> None:
    data, task = example("binary", n=40)
    data = replace(data, y=np.array([0] * 36 + [1] * 4))
    model = built(name, task).fit(data, seed=0, deadline=late(-1))
    assert model.predict(data.X)[:, 1].mean() == pytest.approx(0.1, abs=0.1)


def test_defaults_and_variants_are_networks_that_exist() -> None:
    for name in (*NETWORKS, "frozen"):
        spec = family(name)
        for params in (spec.defaults, spec.smoke, *({**spec.defaults, **v} for v in spec.variants)):
            network = str({**spec.defaults, **params}["network"])
            assert timm.is_model(network) or network in ("vgg11_narrow", "resnet9", "squeezenet1_1"), network


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "efficientnet", "convnext", "vit", "vgg", "cnn"])
def test_small_pictures_keep_their_resolution(name: str) -> None:
    spec = family(name)
    model = spec.build(spec.defaults, THREE)
    net = model.make({**spec.defaults}, 32, 3).eval()
    with torch.inference_mode():
        out = net(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    assert out.shape == (2, 3)
    parts = net.stages()
    assert len(parts) > 1
    own = {id(p) for part in parts for p in part.parameters()}
    assert sum(id(p) not in own for p in net.parameters()) <= 2  # position embeddings, class token
    if hasattr(net.body, "forward_intermediates"):
        with torch.inference_mode():
            last, _ = net.body.forward_intermediates(torch.zeros(1, 3, 32, 32), indices=1)
        assert last.shape[2] >= 2


# --- weights ----------------------------------------------------------------------------------------------------------

def stored(folder: Path, network: str, name: str = "", **options: Any) -> tuple[Path, Any]:
    with loop.seeded(5):
        net = timm.create_model(network, pretrained=False, num_classes=10, **options).eval()
    path = folder / f"{name or network}.safetensors"
    safetensors.save_file(net.state_dict(), path)
    return path, net


def test_named_weights_are_found_loaded_and_tuned(tmp_path: Path) -> None:
    path, net = stored(tmp_path, "test_resnet")
    params = {**family("resnet").defaults, **_timm.TUNED, "network": "test_resnet", "size": 32, "head_only": True,
              "epochs": 2}
    ready = family("resnet").prepare(params, THREE, Need(weights=(str(tmp_path),)))
    assert ready["weights"] == str(path)
    data, task = example("multiclass", n=40)
    model = built("resnet", task, **ready).fit(data, seed=0, deadline=late())
    own = model.net.body.state_dict()
    assert all(torch.equal(own[n], v) for n, v in net.state_dict().items() if not n.startswith("fc."))


def test_full_tuning_changes_the_body_but_not_the_norms(tmp_path: Path) -> None:
    path, net = stored(tmp_path, "test_resnet")
    data, task = example("multiclass", n=40)
    params = {**_timm.TUNED, "network": "test_resnet", "size": 32, "weights": str(path), "epochs": 2,
              "freeze_epochs": 0}
    own = built("resnet", task, **params).fit(data, seed=0, deadline=late()).net.body.state_dict()
    before = net.state_dict()
    assert not torch.equal(own["conv1.0.weight" if "conv1.0.weight" in own else "conv1.weight"],
                           before["conv1.0.weight" if "conv1.0.weight" in own else "conv1.weight"])
    running = [n for n in before if n.endswith("running_mean")]
    assert running and all(torch.equal(own[n], before[n]) for n in running)


def test_tuning_starts_from_the_head_that_suits_the_features(tmp_path: Path) -> None:
    path, _ = stored(tmp_path, "test_resnet")
    data, task = example("multiclass", n=60)
    params = {**_timm.TUNED, "network": "test_resnet", "size": 32, "weights": str(path), "epochs": 1,
              "learning_rate": 1e-12}
    model = built("resnet", task, **params).fit(data, seed=0, deadline=late())
    assert (model.predict(data.X).argmax(axis=1) == data.y).mean() > 0.8


def test_a_file_of_no_known_name_is_taken_when_it_fits(tmp_path: Path) -> None:
    path, _ = stored(tmp_path, "test_resnet", "my_own")
    params = {**family("resnet").defaults, "network": "test_resnet", "pretrained": True}
    assert family("resnet").prepare(params, THREE, Need(weights=(str(path),)))["weights"] == str(path)
    with pytest.raises(Unavailable, match="network='test_vit'"):
        family("vit").prepare({**family("vit").defaults, "network": "test_vit", "pretrained": True}, THREE,
                              Need(weights=(str(path),)))


def test_another_architecture_is_one_sentence(tmp_path: Path) -> None:
    stored(tmp_path, "test_vit", "test_resnet")
    for name in ("resnet", "frozen"):
        with pytest.raises(Unavailable, match="same architecture") as error:
            family(name).prepare({**family(name).defaults, "network": "test_resnet", "pretrained": True}, THREE,
                                 Need(weights=(str(tmp_path),)))
        assert "\n" not in str(error.value)


def test_without_weights_it_says_how_to_get_them() -> None:
    for name in ("resnet", "mobilenet", "efficientnet", "convnext", "vit", "vgg", "frozen"):
        spec = family(name)
        pretrained = next(p for p in ({**spec.defaults, **v} for v in spec.variants) if p.get("pretrained"))
        with pytest.raises(Unavailable, match=r"--weights.*hf download timm/"):
            spec.prepare(pretrained, THREE, Need())
        scratch = {**spec.defaults, "pretrained": False}
        assert spec.prepare(scratch, THREE, Need()) == scratch


def test_the_json_beside_the_weights_is_obeyed(tmp_path: Path) -> None:
    path, net = stored(tmp_path, "mobilenetv2_035", "mine", pad_type="same")
    path.with_suffix(".json").write_text(json.dumps({
        "model": "mobilenetv2_035", "timm_kwargs": {"pad_type": "same"}, "mean": [0.5] * 3, "std": [0.5] * 3,
        "input_size": [3, 96, 96]}))
    found = _timm.loaded("mobilenetv2_035", str(path), 10).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found(x), net(x))
    assert _timm.normalisation("mobilenetv2_035", str(path)) == ([0.5] * 3, [0.5] * 3) and _timm.native(str(path)) == 96


def test_transformers_are_resized(tmp_path: Path) -> None:
    path, _ = stored(tmp_path, "test_vit")
    net = _timm.loaded("test_vit", str(path), 3, side=96)
    assert net(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


def test_a_network_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownName, match="resnet18"):
        _timm.create("resnet_18", 3)


# --- features and heads -----------------------------------------------------------------------------------------------

def test_features_are_computed_once_and_shared_by_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rightfit.models.image._features import FeatureModel

    path, _ = stored(tmp_path, "test_resnet")
    seen: list[int] = []
    real = FeatureModel._features
    monkeypatch.setattr(FeatureModel, "_features", lambda self, X: seen.append(len(X)) or real(self, X))
    data, task = example("multiclass", n=60, seed=7)
    for head in ("linear", "svm", "mlp", "knn"):
        model = built("frozen", task, weights=str(path), head=head).fit(data, seed=0, deadline=late())
        assert (model.predict(data.X).argmax(axis=1) == data.y).mean() > 0.7
    assert sum(seen) == 60


def test_embedding_stops_in_time_and_learns_from_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from rightfit.models.image import _embed, _features

    real = _features.FeatureModel._features
    monkeypatch.setattr(_features.FeatureModel, "_features", lambda self, X: time.sleep(0.2) or real(self, X))
    monkeypatch.setattr(_embed, "PART", 32)
    data, task = example("multiclass", n=400, seed=11)
    built("hog", task).fit(data.take(np.arange(8)), seed=0, deadline=late())
    model = in_time(lambda: built("hog", task).fit(data, seed=0, deadline=late(2.0)), 3.5)
    assert (model.predict(data.X.iloc[:64]).argmax(axis=1) == data.y[:64]).mean() > 0.6


def problem(n: int = 300, d: int = 20, seed: int = 0) -> heads.Problem:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d)).astype(np.float32)
    return heads.Problem(X=X, y=np.digitize(X[:, 0] + 0.5 * X[:, 1] + 0.3 * random.normal(size=n), [-0.5, 0.5]))


def test_the_linear_head_is_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows = problem()
    Z = (rows.X - rows.X.mean(axis=0)) / (np.maximum(rows.X.std(axis=0), 0.1 * rows.X.std(axis=0).mean()) * 20**0.5)
    told = linear_model.LogisticRegression(C=1 / (300 * 0.01), max_iter=1000, tol=1e-8).fit(Z, rows.y).predict_proba(Z)
    module, learned = heads.fit("linear", rows, {"l2": 0.01}, THREE, seed=0, deadline=late())
    with torch.inference_mode():
        own = torch.softmax(module(torch.from_numpy(problem().X)), dim=1).numpy()
    np.testing.assert_allclose(own, told, atol=2e-3)
    assert learned == {"l2": 0.01}


@pytest.mark.parametrize("kind", ["linear", "svm", "mlp", "knn"])
def test_heads_give_sound_probabilities(kind: str) -> None:
    module, _ = heads.fit(kind, problem(d=6), {}, THREE, seed=0, deadline=late())
    fresh = problem(d=6, seed=1)
    with torch.inference_mode():
        p = loop.finish(module(torch.from_numpy(fresh.X)).numpy(), THREE)
    assert (p.argmax(axis=1) == fresh.y).mean() > (0.65 if kind == "knn" else 0.75)
    assert -np.log(p[np.arange(300), fresh.y]).mean() < 0.95


def test_a_hidden_layer_tells_apart_what_no_line_does() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(1200, 6)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
    two = replace(THREE, problem="binary", classes=("a", "b"))
    rest = torch.from_numpy(X[800:])
    right = {}
    for kind in ("linear", "mlp"):
        rows = heads.Problem(X=X[:800].copy(), y=y[:800])
        module, _ = heads.fit(kind, rows, {}, two, seed=0, deadline=late())
        with torch.inference_mode():
            right[kind] = (module(rest).numpy().argmax(axis=1) == y[800:]).mean()
    assert right["linear"] < 0.6 < 0.85 < right["mlp"]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_class_without_rows_stays_improbable(kind: str) -> None:
    rows = problem()
    module, _ = heads.fit(kind, replace(rows, y=np.where(rows.y == 2, 0, rows.y)), {}, THREE, seed=0, deadline=late())
    with torch.inference_mode():
        assert loop.finish(module(torch.from_numpy(problem().X)).numpy(), THREE)[:, 2].max() < 1e-6


def test_many_rows_are_standardised_where_they_lie() -> None:
    import tracemalloc

    rows = problem(n=20_000, d=200)
    tracemalloc.start()
    try:
        heads.fit("linear", rows, {"l2": 0.01}, THREE, seed=0, deadline=late())
        assert tracemalloc.get_traced_memory()[1] < 0.6 * rows.X.nbytes
    finally:
        tracemalloc.stop()
    assert abs(rows.X.mean()) < 1e-6 and rows.X.std() == pytest.approx(200**-0.5, rel=1e-3)


def test_the_strength_suits_the_data() -> None:
    noise = replace(problem(), y=np.random.default_rng(0).integers(0, 3, 300))
    strong = heads.fit("linear", noise, {}, THREE, seed=0, deadline=late())[1]["l2"]
    assert strong > 3 * heads.fit("linear", problem(), {}, THREE, seed=0, deadline=late())[1]["l2"]


def test_hog_sees_directions_and_not_brightness() -> None:
    from rightfit.models.image.hog import encoder

    net = encoder(32, 4, 9, 8)
    across = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    across[:, ::4] = 100
    brighter, upright = across + 100, across.permute(0, 2, 1, 3).contiguous()
    width = 3 * 3 * 4 * 9
    a, b, c = (net(x)[0, :width] for x in (across, brighter, upright))
    assert float((a - b).norm()) < 0.05 * float(a.norm()) < float((a - c).norm())
    assert net(across).shape[1] == width + 4 * 3 * 8 + 16 * 3


# --- augmentation -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("strength", ["light", "strong"])
@pytest.mark.parametrize("size", [32, 96])
def test_training_pictures_vary_and_served_ones_do_not(strength: str, size: int) -> None:
    table = cache.Table([np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)], [0] * 4,
                        range(4))
    rows = _rows.Pixels(table, np.arange(4), np.zeros(4), augment=strength)
    with loop.seeded(1):
        (a,), (b,) = rows.inputs(np.arange(4), True, None), rows.inputs(np.arange(4), True, None)
    with loop.seeded(1):
        (again,) = rows.inputs(np.arange(4), True, None)
    assert a.shape == (4, size, size, 3) and a.dtype == torch.uint8
    assert not torch.equal(a, b) and torch.equal(a, again)
    assert np.array_equal(rows.inputs(np.arange(4), False, None)[0].numpy(), table.take(np.arange(4)))


def test_signs_are_not_mirrored() -> None:
    def may(*classes: str) -> bool:
        return _rows.mirrors(replace(THREE, classes=classes))

    assert may("cat", "dog") and not may("b", "d") and not may("10", "25") and not may("turn_left", "turn_up")


def test_the_baseline_needs_no_torch() -> None:
    code = ("import sys; from rightfit.models.image.baseline import SPEC; import tempfile, pathlib; "
            "from rightfit.data.modalities._image_example import example; d, t = example('binary', n=8); "
            "m = SPEC.build({}, t).fit(d, seed=0, deadline=0.0); m.save(pathlib.Path(tempfile.mkdtemp())); "
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_many_rows_are_asked_in_part_and_all_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 3000)  # sorted by class, as folders are
    X = (random.normal(size=(9000, 6)) + 2 * np.eye(3, 6)[y]).astype(np.float32)
    asked: list[tuple[int, int]] = []
    solve = heads._solve

    def counted(kind: str, rows: heads.Problem, *rest: Any) -> Any:
        asked.append((len(rows), len(np.unique(rows.y))))
        return solve(kind, rows, *rest)

    monkeypatch.setattr(heads, "_solve", counted)
    task = Task(modality="image", problem="multiclass", target=("y",), metric="accuracy", classes=("a", "b", "c"))
    head, _ = heads.fit("linear", heads.Problem(X=X.copy(), y=y), {"l2": "auto"}, task, seed=0, deadline=float("inf"))
    assert asked[-1] == (9000, 3) and {rows for rows, _ in asked[:-1]} == {heads.MOST_ASKED}
    assert {classes for _, classes in asked} == {3}
    with torch.no_grad():
        assert (head(torch.from_numpy(X)).numpy().argmax(axis=1) == y).mean() > 0.85


# --- blends -----------------------------------------------------------------------------------------------------------

def test_pictures_are_blended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from rightfit.engines.inline import Inline
    from rightfit.package import load

    choosing = importlib.import_module("rightfit.choose")
    data, task = example("multiclass", n=200, seed=5)
    flip = np.random.default_rng(0).random(len(data)) < 0.15
    frame = data.X.assign(label=[task.classes[(int(y) + int(f)) % 3] for y, f in zip(data.y, flip, strict=True)])
    monkeypatch.setattr(choosing, "_pool", lambda source, need: Inline())
    for source in ("_ablate", "_curve", "_propose"):
        monkeypatch.setattr(f"rightfit.tuning.race.{source}", lambda race: None)
    need = Need(target="label", metric="log_loss", budget="10m", workers=1, folds=2, proposals=0, modality="image",
                families=("hog", "image_blend"))
    choice = choosing.choose(frame, need, out=tmp_path / "run")
    blends = [t for t in choice.decision.trials if t["family"] == "image_blend"]
    assert blends and all(t["state"] == "ok" and t["folds_done"] == 2 for t in blends)
    model = load(tmp_path / "run" / "stage" / "models" / blends[0]["name"])
    row = {"image": data.X["image"].iloc[0]}
    assert model.predict_one(row)["prediction"] == model.predict(frame.head(1))[0]


def test_what_is_trained_as_long_as_there_is_time_is_fitted_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from rightfit.models._blend import Blend
    from rightfit.models.image._features import FeatureModel
    from rightfit.models.image._net import NetworkModel

    monkeypatch.setenv("RIGHTFIT_THREADS", "2")
    seen: list[tuple[str, float]] = []
    for kind, name in ((NetworkModel, "cnn"), (FeatureModel, "hog")):
        monkeypatch.setattr(kind, "fit", lambda self, data, seed, deadline, name=name: seen.append(
            (name, deadline - time.monotonic())) or self)
    data, task = example("multiclass", n=60, seed=7)
    members = [{"family": "cnn", "params": {}}, {"family": "hog", "params": {}}]
    blend = Blend({"weights": [0.5, 0.5], "members": members}, task).fit(data, seed=0, deadline=late(100.0))
    assert [name for name, _ in seen] == ["hog", "cnn"] and seen[0][1] < 51 < 90 < seen[1][1]
    assert [type(model).__name__ for model in blend.models] == ["NetworkModel", "HogModel"]
