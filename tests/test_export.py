"""Exports: each is whole, loads where it can be loaded here, predicts the same, and asks for nothing that trains."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

import serve_packages as made
import toy_package as toy
from rightfit.delivery.export import _needs, export
from rightfit.errors import RightfitError, Unavailable, UnknownName, UsageError
from rightfit.package import load

TARGETS = ("onnx", "huggingface", "docker", "triton")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for problem in toy.PROBLEMS:
        toy.package(folder / problem, problem)
    made.pictures(folder / "pictures")
    made.texts(folder / "texts")
    return folder


@pytest.mark.parametrize("target", TARGETS)
def test_the_package_in_an_export_is_the_package(home, tmp_path, target):
    out = export(home / "binary", target, tmp_path / "out")
    inside = next(out.rglob("manifest.json")).parent
    rows = toy.records(20)
    assert np.array_equal(load(inside).values(rows), load(home / "binary").values(rows))
    assert (out / "README.md").read_text(encoding="utf-8").strip()
    assert not [path.name for path in tmp_path.iterdir() if path.name != "out"]
    with pytest.raises(UsageError, match="new folder"):
        export(home / "binary", target, out)


def test_what_cannot_be_exported_leaves_nothing(home, tmp_path):
    with pytest.raises(UnknownName, match="docker"):
        export(home / "binary", "dokcer", tmp_path / "x")
    with pytest.raises(UsageError, match="ONNX graph"):
        export(home / "texts", "onnx", tmp_path / "x")
    with pytest.raises(UsageError, match="one ONNX graph"):
        export(home / "texts", "tflite", tmp_path / "x")
    (home / "damaged").mkdir(exist_ok=True)
    with pytest.raises(RightfitError):
        export(home / "damaged", "docker", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_export_holds_a_signed_package(home, tmp_path):
    pytest.importorskip("cryptography")
    from rightfit import cli
    from rightfit.package import sign

    for name in ("mine", "other"):
        sign.new_key(tmp_path / name)
    source = toy.package(tmp_path / "run" / "package")

    def asked(*options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["rightfit", "export", str(tmp_path / "run"), *map(str, options)])
            try:
                cli.main()
            except SystemExit as stop:
                return stop.code
            return 0

    for target in TARGETS:
        out = tmp_path / target
        assert asked("--to", target, "-o", out, "--sign", tmp_path / "mine") == 0
        inside = next(out.rglob("manifest.json")).parent
        sign.check(inside, tmp_path / "mine.pub")
        assert load(inside).predict_one(toy.records(1)[0]) == load(source).predict_one(toy.records(1)[0])
    assert not (source / "manifest.sig").exists()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert asked("--to", "onnx", "-o", tmp_path / "x", "--verify", tmp_path / "mine.pub") == 2  # not signed yet
    assert asked("--to", "onnx", "-o", tmp_path / "x", "--sign", tmp_path / "mine.pub") == 2  # no private key
    sign.sign(source, tmp_path / "other")
    assert asked("--to", "onnx", "-o", tmp_path / "x", "--verify", tmp_path / "mine.pub") == 2  # another's
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert asked("--to", "onnx", "-o", tmp_path / "x", "--verify", tmp_path / "other.pub") == 0
    sign.check(tmp_path / "x" / "package", tmp_path / "other.pub")  # its signature goes with it


# --- docker -----------------------------------------------------------------------------------------------------------

_BLOCKED = '''
import importlib.metadata, importlib.util, json, re, sys
given = json.load(sys.stdin)
every = {top: {one.lower().replace("_", "-") for one in of}
         for top, of in importlib.metadata.packages_distributions().items()}
allowed = set()
def closure(lines):
    wanted, todo = {"rightfit"}, [re.split("[=<>~! ]", line)[0] for line in lines]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in wanted:
            continue
        wanted.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        todo += [re.match("[A-Za-z0-9._-]+", need)[0] for need in needs if "extra ==" not in need]
    return {top for top, of in every.items() if of & wanted}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in every and top not in allowed:
            raise ModuleNotFoundError("not in requirements.txt", name=top)
sys.meta_path.insert(0, Refuse())
for one in given["exports"]:
    allowed = closure(open(one["folder"] + "/requirements.txt").read().split())
    spec = importlib.util.spec_from_file_location("asgi", given["asgi"])
    asgi = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(asgi)
    import rightfit.cli, uvicorn
    from rightfit.delivery.serve.app import create
    from rightfit.delivery.serve.settings import Settings
    client = asgi.Client(create(Settings(source=one["folder"] + "/package", log=one["folder"] + "/log")))
    answer = client.post("/predict?reasons=1", one["record"])
    print(answer.text, client.get("/metrics").status, client.get("/").status)
    client.close()
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
'''


def test_docker_contexts_ask_for_what_serving_imports_and_no_more(home, tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("orjson")
    asked = {"texts": {"text": "a wonderful day"}, "binary": {"size": 1, "age": 2, "colour": "red"},
             "pictures": {"image": made.uri(made.png(200, 0, 0))}}  # each needs more than the one before
    exports = []
    for name, record in asked.items():
        out = export(home / name, "docker", tmp_path / name)
        needs = (out / "requirements.txt").read_text().split()
        names = {re.split("[=<>~!]", line)[0].lower() for line in needs}
        assert not names & {"torch", "pandas", "scikit-learn", "catboost", "lightgbm", "optuna", "onnx"}
        assert {"fastapi", "uvicorn", "orjson", "prometheus-client", "typer", "numpy"} <= names
        for line in needs:
            dist, _, version = line.partition("==")
            assert not version or importlib.metadata.version(dist) == version
        exports.append({"folder": str(out), "record": record})
    given = {"exports": exports, "asgi": str(Path(__file__).with_name("asgi.py"))}
    done = subprocess.run([sys.executable, "-c", _BLOCKED], input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, loaded = done.stdout.splitlines()
    assert len(answers) == 3 and all('"label"' in one and one.endswith("200 200") for one in answers), answers
    assert not set(loaded.split()) & {"torch", "pandas", "sklearn", "scipy", "catboost", "lightgbm"}


def test_a_dockerfile_and_its_wheel(home, tmp_path):
    out = export(home / "binary", "docker", tmp_path / "out")
    text = (out / "Dockerfile").read_text()
    wheel = next(out.glob("*.whl"))
    assert text.startswith(f"FROM python:3.{sys.version_info.minor}-slim\n") and "libgomp1" not in text
    assert text.count(wheel.name) == 3 and "USER 10001" in text and "--token-file" in text
    for line in text.replace("\\\n", " ").splitlines():
        assert line.split()[0] in ("FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
                                   "ENTRYPOINT", "CMD")
    copied = [word for line in text.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]]
    assert all((out / name).exists() for name in copied)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "rightfit/delivery/serve/static/page.js" in names and "rightfit/records.py" in names
        record = archive.read(next(name for name in names if name.endswith("/RECORD"))).decode().splitlines()
        assert len(record) == len(names)
    again = tmp_path / "again"
    again.mkdir()
    assert _needs.wheel(again).read_bytes() == wheel.read_bytes()


# --- triton -----------------------------------------------------------------------------------------------------------

class Tensor:
    """As triton_python_backend_utils.Tensor."""

    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


@pytest.fixture
def backend(monkeypatch):
    """A stand-in for the module that Triton gives its Python backend, with the calls that are documented."""
    module = types.ModuleType("triton_python_backend_utils")
    module.Tensor = Tensor
    module.TritonError = lambda message: message
    module.InferenceResponse = lambda output_tensors=(), error=None: types.SimpleNamespace(
        tensors={one.name(): one.as_numpy() for one in output_tensors}, error=error)
    module.get_input_tensor_by_name = lambda request, name: request[name]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)


def brought(folder):
    """The class of a model.py, as the backend finds it, initialised."""
    spec = importlib.util.spec_from_file_location("model", folder / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one = module.TritonPythonModel()
    one.initialize({"model_repository": str(folder), "model_version": "1"})
    return one


@pytest.mark.parametrize("problem", toy.PROBLEMS)
def test_triton_predicts_what_the_package_predicts(home, tmp_path, backend, problem):
    out = export(home / problem, "triton", tmp_path / "out")
    model, rows = load(home / problem), toy.records(12)
    one = brought(out / "models" / "_".join(model.task.target))

    def request(records):
        numbers = {name: np.array([[np.nan if r[name] is None else float(r[name])] for r in records])
                   for name in ("size", "age")}
        texts = np.array([[(r["colour"] or "").encode()] for r in records], dtype=object)
        return {name: Tensor(name, array) for name, array in {**numbers, "colour": texts}.items()}

    first, second = one.execute([request(rows), request(rows[:1])])
    assert first.error is None and len(next(iter(second.tensors.values()))) == 1
    values = first.tensors["probabilities" if model.task.classifies else "value"]
    assert np.allclose(values, model.values(rows), atol=1e-6)
    if model.task.classifies:
        said = [";".join(p) if isinstance(p, list) else p for p in
                (model.predict_one(row)["prediction"] for row in rows)]
        assert [label.decode() for label in first.tensors["label"][:, 0]] == said


def test_triton_serves_pictures_and_one_bad_request_harms_no_other(home, tmp_path, backend):
    out = export(home / "pictures", "triton", tmp_path / "out")
    one = brought(out / "models" / "colour")
    good, bad = (np.array([[content]], dtype=object) for content in (made.png(0, 0, 200), b"no picture"))
    found = one.execute([{"image": Tensor("image", good)}, {"image": Tensor("image", bad)}])
    assert found[0].tensors["label"].tolist() == [[b"blue"]] and "image" in found[1].error


def test_triton_configurations(home, tmp_path):
    out = export(home / "binary", "triton", tmp_path / "out") / "models"
    assert sorted(path.name for path in out.iterdir()) == ["y", "y_graph"]
    text = (out / "y" / "config.pbtxt").read_text()
    assert 'backend: "python"' in text and '{ name: "colour" data_type: TYPE_STRING dims: [ 1 ] }' in text
    assert '{ name: "probabilities" data_type: TYPE_FP64 dims: [ 2 ] }' in text
    graph = (out / "y_graph" / "config.pbtxt").read_text()
    width = load(home / "binary")._scorer._encoder.frame
    assert width and 'platform: "onnxruntime_onnx"' in graph and "max_batch_size: 64" in graph
    assert re.search(r'name: "X" data_type: TYPE_FP32 dims: \[ \d+ \]', graph)
    assert (out / "y_graph" / "1" / "model.onnx").read_bytes() == (home / "binary" / "model0.onnx").read_bytes()
    pictures = export(home / "pictures", "triton", tmp_path / "p") / "models" / "colour_graph" / "config.pbtxt"
    assert 'name: "X" data_type: TYPE_UINT8 dims: [ 8, 8, 3 ]' in pictures.read_text()
    assert text.count("{") == text.count("}") and text.count("[") == text.count("]")


def test_triton_reads_the_configurations(home, tmp_path):
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    for name in ("binary", "regression", "pictures", "texts"):
        out = export(home / name, "triton", tmp_path / name) / "models"
        for path in out.rglob("config.pbtxt"):
            found = text_format.Parse(path.read_text(encoding="utf-8"), config.ModelConfig())
            assert found.name == path.parent.name and found.input and found.output and found.max_batch_size > 0


# --- tflite and mlflow ------------------------------------------------------------------------------------------------

def test_tflite_says_what_it_needs(home, tmp_path):
    if importlib.util.find_spec("onnx2tf"):
        pytest.skip("onnx2tf is installed")
    with pytest.raises(Unavailable, match="onnx2tf"):
        export(home / "binary", "tflite", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_in_single_precision_says_what_the_double_one_says(tmp_path):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from rightfit.delivery.export.tflite import _single

    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Cast", ["X"], ["d"], to=TensorProto.DOUBLE),
             helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array([1.0]))),
             helper.make_node("MatMul", ["d", "w"], ["p"]), helper.make_node("Add", ["p", "one"], ["Y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 5])],
                              [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, ["n", 2])],
                              [numpy_helper.from_array(rng.normal(size=(5, 2)), "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9),
              tmp_path / "double.onnx")
    made_ = _single(tmp_path / "double.onnx", tmp_path)
    onnx.checker.check_model(onnx.load(made_), full_check=True)
    X = rng.normal(size=(4, 5)).astype(np.float32)
    sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
                for path in (tmp_path / "double.onnx", made_)]
    double, single = (session.run(["Y"], {"X": X})[0] for session in sessions)
    assert double.dtype == np.float64 and single.dtype == np.float32
    assert np.allclose(double, single, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tflite_says_what_the_graph_says(home, tmp_path):
    pytest.importorskip("onnx2tf")
    for name in ("regression", "pictures"):
        out = export(home / name, "tflite", tmp_path / name)
        assert (out / "model.tflite").read_bytes()[4:8] == b"TFL3"
        load(home / name)  # which onnx2tf has not written into


@pytest.mark.filterwarnings("ignore")
def test_mlflow_logs_and_loads(home, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow.pyfunc") and importlib.import_module("mlflow")
    import pandas as pd

    frame = pd.DataFrame(toy.records(20))
    expected = load(home / "binary").predict(frame).tolist()
    out = export(home / "binary", "mlflow", tmp_path / "m")
    assert mlflow.pyfunc.load_model(str(out)).predict(frame).tolist() == expected
    assert not list(out.rglob("*.pkl"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no data base
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="model", loader_module="rightfit.delivery.export._pyfunc",
                                       data_path=str(home / "binary"), pip_requirements=["rightfit"])
    assert mlflow.pyfunc.load_model(info.model_uri).predict(frame).tolist() == expected
