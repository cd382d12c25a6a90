"""ONNX graphs that others have made: read safely, adapted to one input X and one output Y, and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import Task

CHUNK = 4096
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
SURE = 1e-3  # probabilities of a row sum to 1 within this
WHAT = "a brought ONNX file"


def runner(content: bytes, chunk: int = CHUNK) -> Callable[[Any], Any]:
    """X (n, ...) -> Y float64 (n, k) of a graph with input X and output Y, on ONNX Runtime, one thread.

    Raises UsageError where the graph cannot be loaded or run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4

    def failed(error: Exception) -> UsageError:
        return UsageError(f"an ONNX graph must run on onnxruntime {onnxruntime.__version__} with any number of rows; "
                          f"got {' '.join(str(error).split())[:200]!r}, export it with a dynamic batch.")

    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for every status code
        raise failed(error) from error

    def run(X: Any) -> Any:
        try:
            parts = [session.run(["Y"], {"X": X[at:at + chunk]})[0] for at in range(0, max(len(X), 1), chunk)]
        except Exception as error:  # as above
            raise failed(error) from error
        found = np.concatenate(parts).astype(np.float64)
        if len(found) != len(X):
            raise UsageError(f"an ONNX graph must give one row for each row; got shape={found.shape} for "
                             f"{len(X)} rows, export it with a dynamic batch.")
        return found.reshape(len(X), -1)

    return run


def read(path: Path) -> Any:
    """The ONNX model of a file. Raises UsageError for what is none, or would need files or operators of others."""
    import onnx

    try:
        model = onnx.load_from_string(path.read_bytes())
    except Exception as error:  # protobuf's class of error is not onnx's to name
        raise UsageError(f"{WHAT} must be a readable ONNX model; got file={str(path)!r} "
                         f"({type(error).__name__}).") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise UsageError(f"{WHAT} must hold a graph; got file={str(path)!r} with {len(graph.node)} nodes.")
    strange = sorted({node.domain for node in _nodes(graph)} - set(DOMAINS))
    if strange or model.functions:
        raise UsageError(f"{WHAT} must use the standard operators only; got file={str(path)!r} with "
                         f"{f'domain={strange[0]!r}' if strange else 'functions'}.")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in graph.initializer):
        raise UsageError(f"{WHAT} must hold its own weights; got file={str(path)!r} with external data, save it as one "
                         "file.")
    return model


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(inner)


def inputs(model: Any) -> list[Any]:
    """The inputs that are no constants."""
    constants = {c.name for c in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in constants]


def shape(value: Any) -> list[int | None]:
    """The dimensions of an input or output; None for what is dynamic."""
    return [d.dim_value or None for d in value.type.tensor_type.shape.dim]


class Adapted:
    """A graph being put between X and Y. `before(tensor)` writes what leads from X to an input; then `finish`.

    The graph's own names get a prefix, its fixed batch becomes dynamic.
    """

    def __init__(self, model: Any) -> None:
        import onnx
        from onnx import compose

        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for value in copy.graph.output:
            if value.type.HasField("tensor_type") and value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_param = "n"
        del copy.graph.value_info[:]  # may say a fixed batch
        self.labels = _labels(copy)
        self.model = compose.add_prefix(copy, "brought_", rename_functions=False)
        self.own = [i.name for i in inputs(self.model)]
        self.nodes: list[Any] = []
        self.after: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array; returns its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=dtype, order="C"), name))
        return name

    def __call__(self, operator: str, *names: str, output: str = "", after: bool = False, **attributes: Any) -> str:
        from onnx import helper

        where = self.after if after else self.nodes
        output = output or f"{'a' if after else 'b'}{len(where)}"
        where.append(helper.make_node(operator, list(names), [output], **attributes))
        return output

    def output(self, task: Task, wanted: str = "") -> str:
        """The tensor that holds the prediction: the one asked for, else the last of real numbers (values: the first).
        """
        from onnx import TensorProto

        made = {name: node for node in self.model.graph.node for name in node.output}
        found: list[str] = []
        for value in self.model.graph.output:
            node = made.get(value.name)
            if node is not None and node.op_type == "ZipMap":
                found.append(node.input[0])
                self.model.graph.node.remove(node)
            elif value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
                found.append(value.name)
        if wanted:
            found = [name for name in found if name == f"brought_{wanted}"]
        if not found:
            raise UsageError(f"{WHAT} must have an output of real numbers; got outputs="
                             f"{[o.name.removeprefix('brought_') for o in self.model.graph.output]}"
                             f"{f' without {wanted!r}' if wanted else ''}.")
        return found[-1] if task.classifies else found[0]

    def finish(self, result: str, taken: Any, width: int) -> bytes:
        """The model from X, described by `taken`, to Y (n, width)."""
        from onnx import TensorProto, helper

        self("Cast", result, output="Y", after=True, to=TensorProto.FLOAT)
        given = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", width])
        inner = self.model.graph
        graph = helper.make_graph([*self.nodes, *inner.node, *self.after], "brought", [taken], [given],
                                  [*inner.initializer, *self.constants])
        model = helper.make_model(graph, opset_imports=self.model.opset_import, producer_name="rightfit")
        model.ir_version = self.model.ir_version
        return bytes(model.SerializeToString())


def _labels(model: Any) -> tuple[str, ...]:
    """The class labels that a classifier's node states, or none."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_") and (attribute.strings or attribute.ints):
                return tuple(s.decode("utf-8", "replace") for s in attribute.strings) or tuple(map(str, attribute.ints))
    return ()


def answering(adapted: Adapted, result: str, task: Task, options: Mapping[str, Any],
              try_out: Callable[[bytes], Any], taken: Any) -> bytes:
    """The finished graph whose Y are probabilities in the order of task.classes, or values.

    try_out(content) runs some rows; what they give tells logits from probabilities, unless options say `logits`.
    options: logits, classes (the order of the graph's own). Raises UsageError when the outputs do not fit the task.
    """
    raw = try_out(_copy(adapted).finish(result, taken, 0))
    width, k = raw.shape[1], len(task.classes) if task.classifies else max(task.outputs, 1)
    single = width == 1 and task.problem == "binary"
    if width != k and not single:
        raise UsageError(f"{WHAT} must have as many outputs as the task has "
                         f"{'classes' if task.classifies else 'values'}; got outputs={width} for {k}.")
    if not np.isfinite(raw).all():
        raise UsageError(f"{WHAT} must give finite figures for every row; got "
                         f"{int((~np.isfinite(raw)).any(axis=1).sum())} of {len(raw)} rows that are not.")
    if not task.classifies:
        return adapted.finish(result, taken, k)
    logits = bool(options.get("logits", not _probable(raw, task, single)))
    if logits:
        result = adapted("Sigmoid", result, after=True) if single or task.problem == "multilabel" else \
            adapted("Softmax", result, after=True, axis=1)
    if single:
        wide = adapted("Cast", result, after=True, to=1)
        rest = adapted("Sub", adapted.constant([1.0]), wide, after=True)
        result = adapted("Concat", rest, wide, after=True, axis=1)
    order = _order(adapted.labels, task, options.get("classes"))
    if order is not None:
        result = adapted("Gather", result, adapted.constant(order, np.int64), after=True, axis=1)
    return adapted.finish(result, taken, k)


def _copy(adapted: Adapted) -> Adapted:
    import copy

    other = copy.copy(adapted)
    other.nodes, other.after, other.constants = list(adapted.nodes), list(adapted.after), list(adapted.constants)
    return other


def _probable(raw: Any, task: Task, single: bool) -> bool:
    inside = bool((raw >= -1e-6).all() and (raw <= 1 + 1e-6).all())
    return inside and (single or task.problem == "multilabel" or bool((np.abs(raw.sum(axis=1) - 1) < SURE).all()))


def _order(labels: Sequence[str], task: Task, said: Any) -> list[int] | None:
    """Where each class of the task stands among the graph's outputs; None where they stand alike."""
    if said is not None:
        labels = tuple(map(str, said if isinstance(said, list) else [said]))
        if sorted(labels) != sorted(task.classes):
            raise UsageError(f"classes of {WHAT} must be those of the task, {', '.join(task.classes)}; got "
                             f"classes={','.join(labels)}.")
    if sorted(labels) != sorted(task.classes) or tuple(labels) == task.classes:
        return None
    return [labels.index(name) for name in task.classes]
