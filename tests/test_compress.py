"""Compression: smaller and standard graphs, close predictions, rows independent, and only what pays is kept."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rightfit import registry, testing
from rightfit.delivery import compress as compressing
from rightfit.errors import PackageError, UsageError
from rightfit.package import load
from rightfit.package.onnx_check import check
from rightfit.package.write import write
from rightfit.records import Candidate, Column, Dataset, Limit, Rule, Schema, Step, Task
from rightfit.tuning import compress
from rightfit.tuning.compress import _graph
from rightfit.tuning.compress._weights8 import store

torch = pytest.importorskip("torch")

STEPS = ("float16", "int8_dynamic", "int8_static", "int8_weights", "prune_weights")
PROBLEMS = ("binary", "multiclass", "multilabel", "regression")
METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "multilabel": "log_loss", "regression": "rmse"}
WIDE = {"epochs": 15, "width": 192, "layers": 2, "learning_rate": 3e-3, "early_stopping": False}
SMALL = Limit(name="size_mib", limit=0.2, sense="at_most")


def mlp(problem: Any, params: Mapping[str, Any] = WIDE) -> tuple[Any, Dataset, Task]:
    data, task = testing.table(problem, n=300)
    task = replace(task, metric=METRICS[problem])
    family = registry.plugin("rightfit.models", "mlp", "family")
    return family.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 60), data, task


@pytest.fixture(scope="module", params=PROBLEMS)
def trained(request: Any) -> tuple[Any, Dataset, Task]:
    return mlp(request.param)


class Pictures:
    """A small random CNN on 32 pixels, written as image families write theirs."""

    def __init__(self, seed: int = 0) -> None:
        from rightfit.models._nn.export import to_onnx

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = [torch.nn.Conv2d(3, 32, 3, stride=2, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
                      torch.nn.Conv2d(32, 64, 3, stride=2, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
                      torch.nn.Conv2d(64, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                      torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.Softmax(1)]

        class Net(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
            def __init__(self) -> None:
                super().__init__()
                self.body = torch.nn.Sequential(*layers)

            def forward(self, x: Any) -> Any:
                return self.body((x.permute(0, 3, 1, 2).float() - 127.0) / 64.0)

        self.content = to_onnx(Net(), (torch.zeros(2, 32, 32, 3, dtype=torch.uint8),))
        self.learned: dict[str, Any] = {}

    def save(self, folder: Any) -> dict[str, Any]:
        (Path(folder) / "model.onnx").write_bytes(self.content)
        return {"runtime": "image", "column": "image", "size": 32, "outputs": 10,
                "cores": [{"format": "onnx", "file": "model.onnx"}]}

    def predict(self, X: Any) -> Any:
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            meta = self.save(place)
            return registry.plugin("rightfit.package.runtimes", "image", "runtime").load(Path(place), meta).frame(X)


PICTURES = Task(modality="image", problem="multiclass", target=("y",), metric="accuracy",
                classes=tuple("abcdefghij"))


def pictures(n: int = 24) -> Dataset:
    pytest.importorskip("PIL")
    import pandas as pd
    from PIL import Image

    random, refs = np.random.default_rng(0), []
    for _ in range(n):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
        refs.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return Dataset(X=pd.DataFrame({"image": refs}), schema=Schema(columns=(Column(name="image", kind="image"),)))


def sizes(model: Any, folder: Path) -> dict[str, int]:
    folder.mkdir()
    model.save(folder)
    for path in folder.glob("*.onnx"):
        check(path.read_bytes())
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def away(model: Any, other: Any, X: Any) -> float:
    """The largest difference, relative to the spread of values."""
    one, two = np.asarray(model.predict(X)), np.asarray(other.predict(X))
    assert one.shape == two.shape
    return float(np.abs(one - two).max() / max(1.0, float(np.std(one))))


@pytest.mark.parametrize("name", STEPS)
def test_networks_of_tables_shrink_and_predict_nearly_the_same(name: str, trained: Any, tmp_path: Path) -> None:
    model, data, task = trained
    params = {"share": 0.3} if name == "prune_weights" else {}
    small = compress.apply_steps(model, [Step(name=name, params=params)], data, task, 0)
    before, after = (sizes(m, tmp_path / n)["model.onnx"] for n, m in (("a", model), ("b", small)))
    assert after < before / (1.8 if name == "float16" else 3.2)
    assert away(model, small, data.X) < {"float16": 0.01, "int8_weights": 0.05, "prune_weights": 0.6}.get(name, 0.2)
    assert small.learned == model.learned and small.learned is not model.learned
    single = np.concatenate([np.asarray(small.predict(data.X.iloc[[i]])) for i in range(6)])
    np.testing.assert_allclose(single, np.asarray(small.predict(data.X))[:6], atol=1e-5 * max(1, np.abs(single).max()))


@pytest.mark.parametrize("step", [Step(name=name) for name in STEPS[:4]] + [
    Step(name="int8_static", params={"method": "percentile"}), Step(name="int8_static", params={"method": "entropy"}),
    Step(name="int8_static", params={"first": "float"})], ids=lambda s: compressing.named([s]))
def test_pictures(step: Step, tmp_path: Path) -> None:
    rows, model = pictures(), Pictures()
    small = compress.apply_steps(model, [step], rows, PICTURES, 0)
    before, after = (sizes(m, tmp_path / n)["model.onnx"] for n, m in (("a", model), ("b", small)))
    assert after < before / (1.7 if step.name == "float16" else 2.8)
    assert away(model, small, rows.X) < 0.02
    assert [s["name"] for s in small.meta["compressed"]] == [step.name]
    operators = {n.op_type for n in graph(tmp_path / "b" / "model.onnx").graph.node}
    wanted = {"int8_static": {"QuantizeLinear", "DequantizeLinear"}, "int8_dynamic": {"MatMulInteger"}}
    assert wanted.get(step.name, set()) <= operators and "BatchNormalization" not in operators


def graph(path: Path) -> Any:
    import onnx

    return onnx.load_from_string(path.read_bytes())


def test_static_calibration_hears_what_the_runtime_feeds() -> None:
    from rightfit.tuning.compress._inputs import heard

    rows, model = pictures(10), Pictures()
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        found = heard(Path(place), model.save(place), rows, 6, 0)
    (fed,) = found[str(Path(place) / "model.onnx")]
    assert fed.shape == (6, 32, 32, 3) and fed.dtype == np.uint8


def test_steps_follow_each_other(trained: Any, tmp_path: Path) -> None:
    model, data, task = trained
    steps = [Step(name="int8_dynamic"), Step(name="float16")]
    small = compress.apply_steps(model, steps[:1], data, task, 0)
    try:
        both = compress.apply_steps(model, steps, data, task, 0)
    except UsageError as error:
        assert "float16 needs" in str(error)
    else:
        assert away(small, both, data.X) < 0.01
        assert [s["name"] for s in both.meta["compressed"]] == ["int8_dynamic", "float16"]
    assert compress.apply_steps(model, [], data, task, 0) is model
    assert compress.apply_steps(model, [Step(name="prune_channels", params={"share": 0.3})], data, task, 0) is model


def texts(kind: str) -> Any:
    """A graph from token ids (n, L): an embedding, then an LSTM, or a layer on the mean."""
    from rightfit.models._nn.export import to_onnx

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = torch.nn.Embedding(500, 32), torch.nn.Linear(64, 3)
            self.lstm, self.wide = torch.nn.LSTM(32, 64, batch_first=True), torch.nn.Linear(32, 64)

        def forward(self, x: Any) -> Any:
            h = self.table(x)
            h = self.lstm(h)[0][:, -1] if kind == "lstm" else torch.relu(self.wide(h)).mean(1)
            return torch.softmax(self.out(h), 1)

    import onnx

    with torch.random.fork_rng():
        torch.manual_seed(0)
        content = to_onnx(Net(), (torch.randint(1, 500, (2, 7)),))
    return onnx.load_from_string(content)


def ran(model: Any, X: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["Y"], {"X": X})[0]


@pytest.mark.parametrize("kind", ["lstm", "mean"])
@pytest.mark.parametrize("name", STEPS[:4])
def test_graphs_of_texts(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rightfit.tuning.compress import _inputs

    random, model = np.random.default_rng(0), texts(kind)
    ids = [random.integers(1, 500, (4, n)) for n in (5, 9, 12)]
    monkeypatch.setattr(_inputs, "heard", lambda *_: {str(tmp_path / "model.onnx"): ids})
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    meta = {"runtime": "text", "cores": [{"format": "onnx", "file": "model.onnx"}]}
    spec = registry.plugin(compress.PLUGINS, name, "compression")
    if name == "int8_static" and kind == "lstm":
        with pytest.raises(UsageError, match="weights that it can compress"):
            spec.apply(tmp_path, meta, pictures(1), PICTURES, {}, 0)
        return
    if name == "int8_dynamic" and kind == "lstm":
        with pytest.raises(UsageError, match="matrix products"):
            spec.apply(tmp_path, meta, pictures(1), PICTURES, {}, 0)
        return
    spec.apply(tmp_path, meta, pictures(1), PICTURES, {}, 0)
    small = graph(tmp_path / "model.onnx")
    check(small.SerializeToString())
    assert small.ByteSize() < model.ByteSize() / (1.7 if name == "float16" else 2.5)
    for X in ids:
        np.testing.assert_allclose(ran(small, X), ran(model, X), atol=0.01)
        np.testing.assert_allclose(ran(small, X[:1]), ran(small, X)[:1], atol=1e-6)


def test_weights_that_are_looked_up_keep_their_eight_bits_while_serving() -> None:
    net = _graph.Net(texts("mean"))
    assert store(net) == 2
    kinds = {c.name: c.data_type for c in net.graph.initializer}
    tables = [node.input[0] for node in net.graph.node if node.op_type == "Gather" and node.input[0] in kinds]
    assert {kinds[name] for name in tables} == {1, 3} and store(_graph.Net(net.model)) == 0


def test_what_cannot_be_compressed_is_refused(tmp_path: Path) -> None:
    ridge = registry.plugin("rightfit.models", "tree", "family")
    data, task = testing.table("binary")
    model = ridge.build(ridge.smoke, task).fit(data, seed=0, deadline=time.monotonic() + 20)
    for name in STEPS:
        assert registry.plugin(compress.PLUGINS, name, "compression").plan(Candidate(family="tree"), ridge, task) == ()
        with pytest.raises(UsageError, match="leave the step out"):
            compress.apply_steps(model, [Step(name=name)], data, task, 0)
    mlp_, data, task = mlp("binary")
    for step, message in ((Step(name="int8_static", params={"method": "guess"}), "method must be one of"),
                          (Step(name="prune_weights", params={"share": 1.0}), "share must lie between")):
        with pytest.raises(UsageError, match=message):
            compress.apply_steps(mlp_, [step], data, task, 0)
    with pytest.raises(UsageError, match="rows=0"):
        compress.apply_steps(mlp_, [Step(name="int8_static")], data.take(np.arange(0)), task, 0)
    with pytest.raises(UsageError, match="cannot be fitted"):
        compress.apply_steps(mlp_, [Step(name="float16")], data, task, 0).fit(data, seed=0, deadline=0.0)
    with pytest.raises(UsageError, match="without one"):
        registry.plugin(compress.PLUGINS, "float16", "compression").apply(tmp_path, {"runtime": "x"}, data, task, {}, 0)


def test_a_graph_with_operators_of_its_own_never_leaves() -> None:
    from onnx import helper

    model = texts("mean")
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert [o.domain for o in graph_of(_graph.finished(model)).opset_import] == [""]
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(PackageError, match="standard operators"):
        _graph.finished(model)


def graph_of(content: bytes) -> Any:
    import onnx

    return onnx.load_from_string(content)


def test_biases_take_back_what_rounding_shifts(tmp_path: Path) -> None:
    """Inputs far from zero: without the correction every row is off by the same amount."""
    from onnx import TensorProto, helper, numpy_helper

    from rightfit.tuning.compress import _bias

    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(16, 64)).astype(np.float32), np.zeros(16, np.float32)
    X = (5 + random.normal(size=(200, 64))).astype(np.float32)
    made = helper.make_graph([helper.make_node("Gemm", ["X", "W", "B"], ["Y"], transB=1)], "g",
                             [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 64])],
                             [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 16])],
                             [numpy_helper.from_array(weight, "W"), numpy_helper.from_array(bias, "B")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    net = _graph.Net(model)
    coarse = np.round(weight * 4) / 4
    _bias.correct(net, [X[:100], X[100:]], lambda node, name: coarse)
    assert len(net.graph.initializer) == 2
    shift = net.array(net.graph.node[0].input[2])
    np.testing.assert_allclose(shift, (weight - coarse) @ X.mean(axis=0), rtol=1e-4)


# --- finished packages ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def package(tmp_path_factory: Any) -> Path:
    model, data, task = mlp("multiclass", {**WIDE, "width": 384, "epochs": 25})
    folder = tmp_path_factory.mktemp("made") / "package"
    task = replace(task, target=("y",))
    write(model, folder, task=task, schema=data.schema, rule=Rule(), candidate=Candidate(family="mlp", params=WIDE),
          sample=data.X)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages are measured in this process: the figures are not the point here."""
    from rightfit.package import probe

    monkeypatch.setattr(compressing, "probe", lambda path: {**probe.quick(path), "memory_mib": 100.0})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: Any) -> str:
    data, task = testing.table("multiclass", n=400, seed=9)
    path = tmp_path_factory.mktemp("data") / "new.csv"
    data.X.assign(y=[task.classes[code] for code in data.y]).to_csv(path, index=False)
    return str(path)


def test_an_attempt_that_cannot_be_measured_is_listed_and_the_others_go_on(
        package: Path, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = compressing.probe, list[Path]()

    def slow(path: Path) -> Any:
        seen.append(path)
        if len(seen) == 2:
            raise PackageError("a package must be measured within 300 s; got no end.")
        return real(path)

    monkeypatch.setattr(compressing, "probe", slow)
    found = compressing.compress(package, tmp_path / "small", data=labelled)
    lost = [a for a in found.attempts if a.reason.startswith("was not measured: a package must")]
    assert len(lost) == 1 and not lost[0].measured and found.status == "compressed" and found.chosen != lost[0].name
    assert "was not measured" in compressing.table(found)


def test_a_finished_package_gets_smaller_without_loss(package: Path, labelled: str, tmp_path: Path) -> None:
    out = tmp_path / "small"
    found = compressing.compress(package, out, limits=(SMALL,), data=labelled)
    assert found.status == "compressed" and "on 320 labelled rows" in found.evidence
    chosen = next(a for a in found.attempts if a.name == found.chosen)
    assert chosen.measured["size_mib"] <= 0.2 < found.attempts[0].measured["size_mib"] and chosen.t < 1.645
    model = load(out)
    assert model.info["candidate"]["steps"][0]["name"] == chosen.steps[0].name
    assert np.mean(model.predict(model.sample) == load(package).predict(model.sample)) > 0.9
    text = compressing.table(found)
    assert f"*  {found.chosen}" in text and "Chosen:" in text
    json.dumps(compressing.to_json(found), allow_nan=False)


def test_without_labelled_rows_only_changes_are_told(package: Path, tmp_path: Path) -> None:
    found = compressing.compress(package, tmp_path / "small.zip")
    assert "no loss of quality" in found.evidence and found.status == "compressed"
    assert all(a.loss != a.loss for a in found.attempts[1:]) and load(tmp_path / "small.zip").sample
    assert "prune_weights(share=0.5)" not in {a.name for a in found.attempts}
    assert compressing.to_json(found)["attempts"][1]["loss"] is None


def test_a_step_that_does_not_pay_or_loses_is_refused(package: Path, labelled: str, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, meta: Any, *_: Any) -> Any:
        def change(model: Any, path: Path) -> Any:
            net = _graph.Net(model)
            for _, name in _graph.weighted(net):
                net.constants[name].raw_data = bytes(len(net.constants[name].raw_data))
            return net.model, 1

        _graph.rewritten(folder, meta, "broken", change)
        return dict(meta)

    plugins = registry.plugins(compress.PLUGINS)
    spec = plugins["float16"]
    for name in [n for n in plugins if n != "float16"]:
        monkeypatch.delitem(plugins, name)
    monkeypatch.setitem(plugins, "float16", replace(spec, apply=lambda folder, meta, *_: dict(meta)))
    found = compressing.compress(package, tmp_path / "same", data=labelled)
    assert (found.status, found.chosen) == ("unchanged", compressing.KEPT)
    assert found.attempts[1].reason == "neither faster nor smaller"
    assert load(tmp_path / "same").info["candidate"]["steps"] == []
    monkeypatch.setitem(plugins, "float16", replace(spec, apply=broken))
    found = compressing.compress(package, tmp_path / "worse", data=labelled)
    assert found.status == "unchanged" and found.attempts[1].reason.startswith("loses") and found.attempts[1].low > 0
    found = compressing.compress(package, tmp_path / "unknown")
    assert "of the labels" in found.attempts[1].reason and "--data" in found.attempts[1].reason


def test_a_gain_by_noise_alone_goes_away(package: Path, labelled: str, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = registry.plugins(compress.PLUGINS)
    for name in [n for n in plugins if n != "float16"]:
        monkeypatch.delitem(plugins, name)
    monkeypatch.setitem(plugins, "float16", replace(plugins["float16"], apply=lambda folder, meta, *_: dict(meta)))
    measured = compressing.probe(package)
    slowed = iter([2.0, 1.0, 1.0, 1.0])  # as it is, while something else ran; the copy; both again
    monkeypatch.setattr(compressing, "probe", lambda path: {
        **measured, "latency_p50_ms": measured["latency_p50_ms"] * next(slowed)})
    found = compressing.compress(package, tmp_path / "same", data=labelled)
    assert (found.status, found.attempts[1].reason) == ("unchanged", "neither faster nor smaller")
    assert next(slowed, None) is None


def test_infeasible_writes_nothing_and_names_the_nearest(package: Path, tmp_path: Path) -> None:
    found = compressing.compress(package, tmp_path / "out", limits=(replace(SMALL, limit=0.001),))
    assert found.status == "infeasible" and not (tmp_path / "out").exists() and found.nearest
    assert "would take size_mib at most" in compressing.table(found)
    for wrong, message in (({"max_loss": -1.0}, "max_loss must be"), ({"max_loss": float("nan")}, "max_loss must be")):
        with pytest.raises(UsageError, match=message):
            compressing.compress(package, tmp_path / "out", **wrong)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="must be a folder"):
        compressing.compress(package, tmp_path / "file")
    with pytest.raises(PackageError):
        compressing.compress(tmp_path / "none", tmp_path / "out")


def test_unlabelled_data_are_refused(package: Path, tmp_path: Path) -> None:
    data, _ = testing.table("multiclass", n=30)
    data.X.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises((UsageError, ValueError), match="y"):
        compressing.compress(package, tmp_path / "out", data=str(tmp_path / "new.csv"))
    assert not (tmp_path / "out").exists()


def test_the_command(package: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from rightfit.cli import app

    given = ["compress", str(package), "--max-size", "1kB", "-o", str(tmp_path / "no"), "--json"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 3 and json.loads(done.stdout)["status"] == "infeasible"


# --- distillation and pruning of channels -----------------------------------------------------------------------------

def distil(data: Dataset, **params: Any) -> Dataset:
    spec = registry.plugin("rightfit.data.treatments", "distil", "treatment")
    teacher = {"family": "random_forest", "params": {"n_estimators": 25}}
    found: Dataset = spec.apply(data, {"teacher": teacher, **params}, 0)
    return found


@pytest.mark.parametrize("problem", PROBLEMS)
def test_soft_labels_are_the_teachers_and_keep_rows_together(problem: Any) -> None:
    data, _ = testing.table(problem, n=150)
    soft = distil(data, say=1.0)
    if problem == "regression":
        assert len(soft) == len(data) and np.corrcoef(soft.y, data.y)[0, 1] > 0.5 and not (soft.y == data.y).any()
        np.testing.assert_allclose(distil(data, say=0.0).y, data.y)
        return
    assert soft.y.dtype == data.y.dtype and set(soft.groups) == set(range(150)) and len(soft) > 150
    total = np.bincount(soft.groups, weights=soft.weight)
    np.testing.assert_allclose(total, total[0])
    hard = distil(data, say=0.0)
    assert np.array_equal(hard.y[np.unique(hard.groups, return_index=True)[1]], data.y)
    again = distil(data, say=1.0)
    assert np.array_equal(again.y, soft.y) and np.array_equal(again.weight, soft.weight)


def test_a_teacher_never_saw_the_rows_it_tells() -> None:
    """Labels that are noise are not told back: out of fold, the teacher knows nothing of them."""
    data, _ = testing.table("binary", n=200, noise=True)
    soft = distil(data, say=1.0)
    own = soft.weight * (soft.y == data.y[soft.groups])
    assert 0.35 < own.sum() / soft.weight.sum() < 0.65


def test_distilling_needs_a_teacher_and_something_to_learn() -> None:
    data, _ = testing.table("binary", n=60)
    with pytest.raises(UsageError, match="needs a teacher"):
        distil(data, teacher=None)
    with pytest.raises(UsageError, match="family must be one of"):
        distil(data, teacher={"family": "nobody"})
    with pytest.raises(UsageError, match="say must lie"):
        distil(data, say=2.0)
    one = replace(data, y=np.zeros_like(data.y))
    assert distil(one) is one
    late = distil(replace(data, time=np.arange(60)), say=1.0)
    assert (late.y[late.groups < 10] == data.y[:10]).all()


def test_channels_leave_and_the_rest_is_tuned() -> None:
    pytest.importorskip("torch_pruning")
    from rightfit.models._nn import loop
    from rightfit.models._nn.prune import fitted, prune_channels

    class Rows:
        weight = None

        def __init__(self, x: Any, y: Any) -> None:
            self.x, self.y = x, y

        def __len__(self) -> int:
            return len(self.y)

        def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
            return (torch.from_numpy(self.x[positions]),)

        def take(self, positions: Any) -> Any:
            return Rows(self.x[positions], self.y[positions])

    random = np.random.default_rng(0)
    x = random.normal(size=(240, 3, 8, 8)).astype(np.float32)
    y = (x[:, 0].mean(axis=(1, 2)) > 0).astype(np.int64)
    task = Task(modality="image", problem="binary", target=("y",), metric="accuracy", classes=("a", "b"))
    with loop.seeded(0):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
                                  torch.nn.Conv2d(32, 32, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                                  torch.nn.Flatten(), torch.nn.Linear(32, 2))
    before = sum(p.numel() for p in net.parameters())
    found = fitted(net, Rows(x, y), {"epochs": 10, "learning_rate": 0.01, "prune": 0.5}, task, seed=0,
                   deadline=time.monotonic() + 60)
    assert found.epochs >= 1 and sum(p.numel() for p in net.parameters()) < 0.4 * before
    assert (net[0].out_channels, net[7].in_features, net[7].out_features) == (16, 16, 2)
    assert np.mean(loop.predict(net, Rows(x, y)).argmax(axis=1) == y) > 0.8
    for share in (0.0, 1.0):
        with pytest.raises(UsageError, match="share must lie"):
            prune_channels(net, (torch.zeros(2, 3, 8, 8),), share)
    with pytest.raises(UsageError, match="convolutional"):
        prune_channels(torch.nn.LSTM(3, 4), (torch.zeros(2, 3, 3),), 0.5)
