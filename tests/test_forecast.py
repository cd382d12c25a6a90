"""Forecasts: operators are counted right, a known roofline gives a known time, and a forecast says that it is one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rightfit.errors import UsageError
from rightfit.resources import forecast, roofline

LINE = roofline.Roofline(
    rates={"conv1": [([0.0, 0.0], 1e9)], "conv": [([0.0, 0.0], 1e9)], "depthwise": [([0.0, 0.0, 0.0], 1e9)],
           "matmul": [([0.0, 0.0], 1e9)], "batched": [([0.0, 0.0, 0.0], 1e9)]},
    each=dict.fromkeys(roofline.EACH, 1e-9), node_s=1e-6, call_s=1e-5, bytes_per_s=1e9, base_mib=70.0)


def graph(nodes: list[Any], shape: list[Any], **constants: Any) -> bytes:
    inside = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()])
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return bytes(model.SerializeToString())


def convolution(before: int, after: int, kernel: int, groups: int = 1) -> bytes:
    node = helper.make_node("Conv", ["X", "W"], ["Y"], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, group=groups)
    return graph([node], ["n", before, 10, 10], W=np.ones((after, before // groups, kernel, kernel)))


@pytest.mark.parametrize(("content", "kind", "flops"), [
    (convolution(8, 16, 1), "conv1", 2 * 8 * 16 * 100), (convolution(8, 16, 3), "conv", 2 * 8 * 16 * 9 * 100),
    (convolution(8, 8, 3, 8), "depthwise", 2 * 8 * 9 * 100),
    (graph([helper.make_node("MatMul", ["X", "W"], ["Y"])], ["n", 5, 7], W=np.ones((7, 3))), "matmul", 2 * 5 * 7 * 3),
    (graph([helper.make_node("Gemm", ["X", "W"], ["Y"], transB=1)], ["n", 7], W=np.ones((3, 7))), "matmul", 2 * 7 * 3),
    (graph([helper.make_node("Transpose", ["X"], ["t"], perm=[0, 2, 1]), helper.make_node("MatMul", ["X", "t"], ["Y"])],
           ["n", 5, 7]), "batched", 2 * 5 * 7 * 5)])
def test_operations_are_counted_for_one_row(content: bytes, kind: str, flops: float) -> None:
    found, _ = forecast.layers(content)
    assert [(layer.kind, layer.flops) for layer in found if layer.kind] == [(kind, flops)]


def test_what_the_runtime_fuses_still_has_its_operations() -> None:
    """A product and its bias on three dimensions become Reshape, Gemm, Reshape, of which nothing was inferred."""
    nodes = [helper.make_node("MatMul", ["X", "W"], ["a"]), helper.make_node("Add", ["a", "B"], ["b"]),
             helper.make_node("Relu", ["b"], ["c"]), helper.make_node("MatMul", ["c", "V"], ["d"]),
             helper.make_node("Add", ["d", "B"], ["Y"])]
    content = graph(nodes, ["n", 5, 7], W=np.ones((7, 7)), B=np.ones(7), V=np.ones((7, 7)))
    assert sum(layer.flops for layer in forecast.layers(content)[0]) == 2 * 2 * 5 * 7 * 7


def test_a_known_roofline_gives_a_known_time() -> None:
    found = forecast.latency_ms(convolution(8, 16, 3), LINE)
    assert found.value == pytest.approx(1e-2 + 1e-3 + 2 * 8 * 16 * 9 * 100 / 1e9 * 1e3)
    assert found.kind == "forecast" and found.low < found.value < found.high
    assert math.sqrt(found.low * found.high) == pytest.approx(found.value)


def test_weights_that_fit_no_cache_are_read_at_memory_speed() -> None:
    def layer(weights: float) -> forecast.Layer:
        return forecast.Layer(operator="MatMul", kind="matmul", sizes=(1.0, 1.0), flops=1e3, weights=weights,
                              elements=1)

    small, large = (forecast.seconds([layer(w)], LINE)[0] for w in (1e6, 1e9))
    assert small == pytest.approx(1.2e-5) and large == pytest.approx(1.0, rel=1e-3)


def test_operators_that_nobody_measured_widen_the_interval() -> None:
    known = forecast.latency_ms(graph([helper.make_node("Relu", ["X"], ["Y"])], [1, 100_000]), LINE)
    guessed = forecast.latency_ms(graph([helper.make_node("Softsign", ["X"], ["Y"])], [1, 100_000]), LINE)
    assert known.unknown == 0 < guessed.unknown <= 1
    assert guessed.high / guessed.low > known.high / known.low


@given(st.floats(1, 1e4), st.floats(1, 1e4))
def test_rates_lie_between_those_measured(rows: float, size: float) -> None:
    line = roofline.Roofline(rates={"a": [([0.0, 0.0], 1e9), ([3.0, 3.0], 5e9), ([8.0, 2.0], 3e9)]}, each={}, node_s=0,
                             call_s=0, bytes_per_s=1, base_mib=0)
    assert 1e9 * (1 - 1e-9) <= line.rate("a", (rows, size)) <= 5e9 * (1 + 1e-9)
    assert line.rate("a", (math.exp(3), math.exp(3))) == pytest.approx(5e9, rel=0.05)


@given(st.integers(1, 40), st.integers(1, 40))
def test_more_weights_never_take_less_memory(small: int, more: int) -> None:
    def content(width: int) -> bytes:
        return graph([helper.make_node("MatMul", ["X", "W"], ["Y"])], [1, width], W=np.ones((width, 100)))

    assert (forecast.memory_mib(content(small), LINE).value < forecast.memory_mib(content(small + more), LINE).value)
    assert forecast.memory_mib(content(small), LINE).value > LINE.base_mib


def test_size_from_parameters_is_that_of_the_file(tmp_path: Path) -> None:
    content = graph([helper.make_node("MatMul", ["X", "W"], ["Y"])], [1, 1000], W=np.ones((1000, 1000)))
    found = forecast.size_mib(1_000_000)
    assert found.low <= len(content) / 2**20 <= found.high
    assert forecast.size_mib(1_000_000, 1.0).value < found.value / 3
    with pytest.raises(UsageError, match="parameters=-1"):
        forecast.size_mib(-1)


def test_training_time_from_a_few_steps() -> None:
    found = forecast.training_s([0.2, 0.1, 0.1], 50, setup_s=1.0)
    assert found.value == pytest.approx(6.0) and found.low == pytest.approx(6.0 / 1.5) and found.kind == "forecast"
    assert forecast.training_s([0.1], 10).high == pytest.approx(1.3)
    for steps in ([], [0.0]):
        with pytest.raises(UsageError, match="steps_s"):
            forecast.training_s(steps, 10)


def test_what_the_runtime_cannot_load_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="the runtime can load"):
        forecast.latency_ms(b"not a graph", LINE)


def test_this_machine_is_calibrated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, few in (("POINTWISE", 1), ("SPATIAL", 1), ("DEPTHWISE", 1), ("MATMUL", 1), ("BATCHED", 1)):
        monkeypatch.setattr(roofline, name, getattr(roofline, name)[:few])
    monkeypatch.setattr(roofline, "SECONDS", 0.0)
    asked = []

    def fresh(module: str) -> Any:
        asked.append(module)
        found = roofline.calibrate()
        return type("Done", (), {"stdout": json.dumps(found), "stderr": "", "returncode": 0})()

    monkeypatch.setattr(roofline.measure, "fresh", fresh)
    line = roofline.here()
    assert set(line.rates) == set(roofline.KINDS) and set(line.each) == set(roofline.EACH)
    assert all(rate > 0 for pairs in line.rates.values() for _, rate in pairs) and line.node_s > 0
    assert roofline.here() == line and len(asked) == 1, "the second time it is read"
    path, = (tmp_path / "rightfit").iterdir()
    path.write_text("{")
    assert roofline.here().base_mib > 0 and len(asked) == 2, "what is damaged is measured again"
    monkeypatch.setattr(roofline.measure, "fresh", lambda module: type(
        "Done", (), {"stdout": "", "stderr": "ModuleNotFoundError: onnx", "returncode": 1})())
    with pytest.raises(UsageError, match="onnx and onnxruntime"):
        roofline.here(fresh=True)


def test_the_graph_given_is_not_changed() -> None:
    content = convolution(8, 8, 1)
    forecast.layers(content)
    assert onnx.load_model_from_string(content).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
