"""ONNX files that reach outside, hide something or cannot run: refused before, or by, the runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rightfit.errors import PackageError
from rightfit.package.cores.onnx import load
from rightfit.package.onnx_check import check

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def refused(folder: Path, model: Any, match: str) -> None:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match=match) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_the_graph_itself_runs(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(toy_graph().SerializeToString())
    got = load(path)(np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(got, np.full((2, 1), 1 / (1 + np.exp(-1))), rtol=1e-6)


def test_a_graph_has_one_thread_unless_more_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    import rightfit

    path, seen = toy.package(tmp_path / "p"), list[int]()
    made = onnxruntime.InferenceSession

    def session(content: bytes, options: Any, **more: Any) -> Any:
        seen.append(options.intra_op_num_threads)
        return made(content, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    answers = [rightfit.load(path, threads=threads).predict(toy.records(5)).tolist() for threads in (2, 1)]
    rightfit.load(path)
    assert answers[0] == answers[1] and seen == [2, 1, 1]


def toy_graph() -> onnx.ModelProto:
    return toy.graph(np.ones((2, 1)), np.ones(1), "Sigmoid")


def external(tensor: Any, place: str = "/etc/passwd") -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)


def in_initializer(model: Any) -> None:
    external(model.graph.initializer[0])


def with_places_only(model: Any) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def in_attribute(model: Any) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32))
    external(tensor)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def in_subgraph(model: Any) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32), "t")
    external(tensor)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["t"], ["o"])],
        "branch",
        [],
        [helper.make_tensor_value_info("o", 1, [1])],
        [tensor],
    )
    model.graph.node.append(helper.make_node("If", ["X"], ["i"], then_branch=branch, else_branch=branch))


def in_sparse(model: Any) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    external(tensor)
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


def in_list_of_tensors(model: Any) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    external(tensor)
    model.graph.node[0].attribute.append(helper.make_attribute("many", [tensor]))


@pytest.mark.parametrize(
    "change", [in_initializer, with_places_only, in_attribute, in_subgraph, in_sparse, in_list_of_tensors]
)
def test_external_data(folder: Path, change: Any) -> None:
    model = toy_graph()
    change(model)
    refused(folder, model, "got external data")


def test_operators_of_other_domains(folder: Path) -> None:
    model = toy_graph()
    model.graph.node.append(helper.make_node("Evil", ["X"], ["Z"], domain="com.evil"))
    refused(folder, model, "standard operators only; got domain='com.evil'")
    model = toy_graph()
    model.opset_import.add(domain="ai.onnx.training", version=1)
    refused(folder, model, "standard operators only")


def test_functions_and_training_graphs(folder: Path) -> None:
    model = toy_graph()
    model.functions.add(name="f", domain="")
    refused(folder, model, "one plain graph; got functions")
    model = toy_graph()
    model.training_info.add()
    refused(folder, model, "one plain graph; got training")


def test_an_opset_of_the_future_and_graphs_that_cannot_run(folder: Path) -> None:
    model = toy_graph()
    model.opset_import[0].version = 999
    refused(folder, model, "must run on onnxruntime")
    model = toy_graph()
    model.graph.node[0].op_type = "NoSuchOperator"
    refused(folder, model, "must run on onnxruntime")


def test_other_inputs_or_outputs(folder: Path) -> None:
    model = toy_graph()
    model.graph.node.append(helper.make_node("Identity", ["Y"], ["Z"]))
    model.graph.output.append(helper.make_tensor_value_info("Z", 1, [None, 1]))
    refused(folder, model, "one input X and one output Y")


def test_deep_graphs(folder: Path) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(12):
        graph = helper.make_graph([helper.make_node("If", ["X"], ["i"], then_branch=graph)], "g", [], [])
    model = toy_graph()
    model.graph.CopyFrom(graph)
    refused(folder, model, "must nest at most")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_or_a_model(content: bytes) -> None:
    with pytest.raises(PackageError):
        check(content)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_byte_hides_external_data(at: int, byte: int) -> None:
    """Whatever the onnx library would still read with external data inside, the check refuses."""
    model = toy_graph()
    in_initializer(model)
    content = bytearray(model.SerializeToString())
    content[at % len(content)] = byte
    try:
        found = onnx.load_model_from_string(bytes(content))
    except Exception:  # protobuf's own error class differs between its back ends
        return
    if any(t.data_location or t.external_data for t in found.graph.initializer):
        with pytest.raises(PackageError):
            check(bytes(content))


def test_long_attributes_are_skipped_and_checked_to_their_end() -> None:
    numbers = {"f": [0.5] * 5000, "i": [*range(-50, 5000), 2**62], "s": ["BRANCH_LEQ", "", "x" * 100] * 500}
    model = toy_graph()
    model.graph.node.append(helper.make_node("Tree", ["X"], ["t"], domain="ai.onnx.ml", **numbers))
    check(model.SerializeToString())
    tensor = onnx.numpy_helper.from_array(np.ones(1, np.float32))
    external(tensor)
    model.graph.node[-1].attribute[0].t.CopyFrom(tensor)
    with pytest.raises(PackageError, match="external data"):
        check(model.SerializeToString())
