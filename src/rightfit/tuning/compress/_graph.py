"""ONNX graphs as compression steps change them: read, made plain, given other weights, proven safe, written back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.package.onnx_check import check
from rightfit.records import Family

LEAST = 512  # weights of a tensor below which nothing is gained
STEPPED = 0.02  # parity of 8-bit activations: a rounding error beside a step's edge moves a value by a whole step
OPSET = 13  # quantisation along an axis, reduction along a given axis of any rank
NEURAL = frozenset(("torch", "tensorflow", "keras", "transformers", "timm"))
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def neural(family: Family) -> bool:
    """Whether the family's models are networks, whose weights can be compressed."""
    return bool(NEURAL & set(family.requires)) or family.scheme == "onnx"


class Net:
    """One ONNX model under change: constants by name, unique node names, helpers that add nodes and constants."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self.model, self.graph = model, model.graph
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        self._read, self._write = numpy_helper.to_array, numpy_helper.from_array
        self._lift()
        self.constants = {c.name: c for c in self.graph.initializer}
        self.fresh: list[Any] = []
        self._count, self._prefix = 0, self._unused()

    def _lift(self) -> None:
        """Constant nodes become constants of the graph, names of nodes become unique."""
        kept = []
        for number, node in enumerate(self.graph.node):
            node.name = f"n{number}"
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            if node.op_type == "Constant" and value is not None:
                value.name = node.output[0]
                self.graph.initializer.append(value)
            else:
                kept.append(node)
        del self.graph.node[:]
        self.graph.node.extend(kept)

    def _unused(self) -> str:
        """What no name of the graph begins with: a graph may have been changed before."""
        names = {name for node in self.graph.node for name in node.output} | set(self.constants)
        return next(p for p in (f"z{i}_" for i in range(len(names) + 1)) if not any(n.startswith(p) for n in names))

    def array(self, name: str) -> Any:
        """A constant's values."""
        return self._read(self.constants[name])

    def large(self, name: str) -> bool:
        """Whether it is a constant of 32-bit floats that is large enough to matter."""
        found = self.constants.get(name)
        return found is not None and found.data_type == 1 and int(np.prod(found.dims, dtype=np.int64)) >= LEAST

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node to be put in with `put`; returns the name of its output."""
        from onnx import helper

        out = str(attributes.pop("out", "") or self._named())
        self.fresh.append(helper.make_node(operator, list(inputs), [out], name=self._named(), **attributes))
        return out

    def _named(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def constant(self, values: Any) -> str:
        """A new constant; returns its name. Equal small ones are kept once."""
        values = np.asarray(values, order="C")
        scalar = values.ndim == 0
        name = f"{self._prefix}{values.dtype}_{values.tobytes().hex()}" if scalar else self._named()
        if name not in self.constants:
            self.graph.initializer.append(self._write(values, name))
            self.constants[name] = self.graph.initializer[-1]
        return name

    def taken(self) -> list[Any]:
        """The nodes added since the last call."""
        found, self.fresh = self.fresh, []
        return found

    def put(self, nodes: list[Any]) -> None:
        """These nodes, in this order, are the graph; constants that nobody uses any more go."""
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        used = {name for node in self.graph.node for name in node.input} | {o.name for o in self.graph.output}
        for node in self.graph.node:
            used.update(name for a in node.attribute for inner in a.g.node for name in inner.input)
        kept = [c for c in self.graph.initializer if c.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        self.constants = {c.name: c for c in self.graph.initializer}


def _graphs(folder: Path, meta: Mapping[str, Any]) -> Iterator[Path]:
    """The graphs of a runtime's own cores, then those of the runtimes that it is made of, each in its folder."""
    yield from (folder / str(core["file"]) for core in meta.get("cores") or () if core.get("format") == "onnx")
    for value in meta.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping) and "folder" in part and isinstance(part.get("meta"), Mapping):
                yield from _graphs(folder / str(part["folder"]), part["meta"])


def files(folder: Path, meta: Mapping[str, Any], step: str) -> list[Path]:
    """The ONNX graphs of a saved model. Raises UsageError where there is none."""
    found = list(_graphs(folder, meta))
    if not found:
        raise UsageError(f"{step} needs a model with an ONNX graph; got runtime={meta.get('runtime')!r} without one, "
                         "leave the step out.")
    return found


def rewritten(folder: Path, meta: Mapping[str, Any], step: str, change: Callable[[Any, Path], tuple[Any, int]]) -> None:
    """Every graph of the model after `change(model, path) -> (model, number of tensors changed)`.

    Raises UsageError when nothing was changed in any of them, PackageError for what would not be safe to load.
    """
    import onnx

    made, changed = [], 0
    for path in files(folder, meta, step):
        model, count = change(_recent(onnx.load_from_string(path.read_bytes())), path)
        made.append((path, finished(model)))
        changed += count
    if not changed:
        raise UsageError(f"{step} needs a graph with weights that it can compress; got {len(made)} graph(s) without "
                         f"any of {LEAST} values or more, leave the step out.")
    for path, content in made:
        path.write_bytes(content)


def _recent(model: Any) -> Any:
    """The model in an opset that has what the steps write."""
    from onnx import version_converter

    newest = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    return version_converter.convert_version(model, OPSET) if newest < OPSET else model


def finished(model: Any) -> bytes:
    """The model as safe bytes: no operator sets that it does not use, no notes, every rule of packages kept."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [o for o in model.opset_import if o.domain in used or (o.domain == "ai.onnx" and "" in used)]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.graph.value_info[:]
    model.doc_string = ""
    content: bytes = model.SerializeToString()
    check(content)
    return content


def simplified(model: Any) -> Any:
    """The same function with constants folded and batch normalisation inside the convolutions, in standard operators.

    ONNX Runtime's basic passes do it; where they would bring operators of its own, the model stays as it is.
    """
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="rightfit-graph-") as place:
        path = Path(place) / "plain.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        plain = onnx.load_from_string(path.read_bytes())
    return plain if {node.domain for node in plain.graph.node} <= set(DOMAINS) else model


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def weighted(net: Net) -> Iterator[tuple[Any, str]]:
    """(node, weight) of every layer: convolutions and matrix products with a constant weight, in their order."""
    for node in net.graph.node:
        if node.op_type in LAYERS and (found := net.constants.get(node.input[1])) and found.data_type == 1 and \
                len(found.dims) > 1:
            yield node, node.input[1]


def eight_bits() -> int:
    """The largest 8-bit weight that this machine multiplies without saturating: 127, or 63 on x86 without VNNI.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-should-i-use-reduce_range
    """
    from rightfit.resources.machine import machine

    found = machine()
    flags, x86 = set(found["flags"]), found["architecture"] in ("x86_64", "AMD64")
    return 63 if x86 and not flags & {"avx512_vnni", "avx_vnni", "amx_int8"} else 127


def scaled(values: Any, keep: tuple[int, ...], most: int = 127) -> tuple[Any, Any]:
    """(int8 values, float32 scale): symmetric, one scale for each index of the axes in `keep`.

    >>> scaled(np.array([[1.0, -2.0], [10.0, 5.0]], np.float32), (0,))[0].tolist()
    [[64, -127], [127, 64]]
    """
    others = tuple(axis for axis in range(values.ndim) if axis not in keep)
    scale = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / most
    return np.clip(np.rint(values / scale), -most, most).astype(np.int8), scale.astype(np.float32)
