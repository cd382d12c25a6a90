"""Convolutions and matrix products in 8 bits, ranges of activations measured on training rows (QDQ form)."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rightfit.errors import UsageError
from rightfit.records import Candidate, Compression, Dataset, Family, Task
from rightfit.tuning.compress import _bias, _graph, _inputs
from rightfit.tuning.compress._weights8 import channels, restored, store

ROWS, MOST = 64, 512  # rows whose ranges are measured: of pictures a few dozen do (Nagel et al. 2021), tables need more
VALUES = 2**13  # inputs of a row up to which MOST are taken
PIECE, HELD = 4, 2**16  # rows, or inputs, whose activations are held at once meanwhile
METHODS = ("minmax", "percentile", "entropy")
BETWEEN = ("Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")  # 8 bits flow through them


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """Three variants for every network: plain ranges, ranges without outliers, the first layer left in 32 bits."""
    variants = ({"method": "minmax"}, {"method": "percentile"}, {"method": "minmax", "first": "float"})
    return variants if _graph.neural(family) else ()


def _inside(net: _graph.Net, first: bool) -> tuple[list[str], int]:
    """(names of the nodes to turn, number of large layers among them): what stands between the first and the last.

    Normalising pixels before, the last layer, and the softmax behind it keep their 32 bits: 256 steps are too few for
    an answer. `first`: the first layer too.
    """
    found = list(_graph.weighted(net))[0 if first else 1:-1]
    layers, large = [node.name for node, _ in found], sum(net.large(name) for _, name in found)
    chosen = set(layers)
    seen: set[str] = set()
    for node in net.graph.node:
        if node.name in chosen or seen.intersection(node.input):
            seen.update(node.output)
    wanted = {i for node in net.graph.node if node.name in chosen for i in node.input}
    for node in reversed(net.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
    if any(node.op_type == "Softmax" and wanted.intersection(node.output) for node in net.graph.node):
        return layers, large  # attention masks by adding huge negative numbers, which no range of 256 steps survives
    between = [node.name for node in net.graph.node if node.op_type in BETWEEN and seen.intersection(node.input)
               and wanted.intersection(node.output)]
    return [*layers, *between], large


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantiser prints, and its advice on the root logger: what it advises was done before."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _quantised(model: Any, arrays: list[Any], names: list[str], method: str, most: int) -> Any:
    import onnx
    from onnxruntime import quantization as tool

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        """Arrays in their order; the calibrators take them piece by piece, so that memory stays bounded."""

        def __init__(self) -> None:
            self.at, self.end = 0, len(arrays)

        def __len__(self) -> int:
            return len(arrays)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.at, self.end = start_index, end_index

        def get_next(self) -> Any:
            self.at += 1
            return {"X": arrays[self.at - 1]} if self.at <= self.end else None

    known = {"minmax": tool.CalibrationMethod.MinMax, "percentile": tool.CalibrationMethod.Percentile,
             "entropy": tool.CalibrationMethod.Entropy}
    operators = sorted({node.op_type for node in model.graph.node if node.name in set(names)})
    with tempfile.TemporaryDirectory(prefix="rightfit-int8-") as place, _quiet():
        source, target = Path(place) / "plain.onnx", Path(place) / "small.onnx"
        source.write_bytes(model.SerializeToString())
        tool.quantize_static(
            source, target, Reader(), quant_format=tool.QuantFormat.QDQ, op_types_to_quantize=operators,
            per_channel=True, reduce_range=most < 127, activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8, nodes_to_quantize=names, calibrate_method=known[method],
            calibration_providers=["CPUExecutionProvider"],
            extra_options={"CalibStridedMinMax": 1, "CalibPercentile": 99.99})
        return onnx.load_from_string(target.read_bytes())


def _back(net: _graph.Net, node: Any, name: str, turned: bool, most: int) -> Any:
    """A weight as it will count, None where it stays."""
    values = net.array(name)
    if turned:
        small, scale = _graph.scaled(values, channels(node, 1, values.ndim), most)
        return small * scale
    return restored(node, 1, values) if net.large(name) else None


def apply(folder: Path, meta: Mapping[str, Any], rows: Dataset, task: Task, params: Mapping[str, Any],
          seed: int) -> dict[str, Any]:
    """Compute layers in 8 bits: weights symmetric for each channel, activations uint8, ranges from 64 rows, 512 where
    they are short.

    params: `method` of the ranges (minmax, percentile 99.99, entropy), `first` "float" to leave the first layer in 32
    bits. Other large weights are stored in 8 bits; biases take back what rounding shifts. Signed activations were
    measured 2.3 times slower. Raises UsageError for another method, without rows, and where no layer can be turned.
    """
    method, first = str(params.get("method", "minmax")), params.get("first", "int8") == "int8"
    if method not in METHODS:
        raise UsageError(f"method must be one of {', '.join(METHODS)}; got method={method!r}.")
    _graph.files(folder, meta, SPEC.name)
    heard = _inputs.heard(folder, meta, rows, ROWS, seed)
    wide = max(array[0].size for arrays in heard.values() for array in arrays)
    if wide <= VALUES:
        heard = _inputs.heard(folder, meta, rows, MOST, seed)
    piece = max(PIECE, HELD // wide)
    most = _graph.eight_bits()

    def change(model: Any, path: Path) -> tuple[Any, int]:
        net = _graph.Net(_graph.simplified(model))
        net.put(list(net.graph.node))
        names, count = _inside(net, first)
        if not count:
            return net.model, 0
        arrays = list(_inputs.pieces(heard[str(path)], piece))
        _bias.correct(net, arrays, lambda node, name: _back(net, node, name, node.name in names, most))
        small = _graph.Net(_quantised(net.model, arrays, names, method, most))
        store(small)
        return small.model, count

    _graph.rewritten(folder, meta, SPEC.name, change)
    return {**meta, "tolerance": _graph.STEPPED}


SPEC = Compression(name="int8_static", plan=plan, apply=apply, requires=("onnx", "onnxruntime"),
                   doc="Computes layers in 8 bits with ranges measured on training rows.")
