"""A Keras network as ONNX, written layer by layer.

The converter of the field, tf2onnx 1.17, took 26 s and 9.5 GB for a ResNet50, and lost a layer of EfficientNetB0
(TensorFlow 2.21, Keras 3.15, two cores). Here the weights are copied once. What is unknown here goes to tf2onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import frozen

OPSET, IR = 17, 8


class Unknown(UsageError):
    """A layer that cannot be written here."""


@frozen
class Value:
    """A tensor of the graph: its name, and its shape in Keras. One of four dimensions lies channels first in ONNX."""

    name: str
    shape: tuple[int | None, ...]

    @property
    def picture(self) -> bool:
        """Whether it has height, width and channels."""
        return len(self.shape) == 4


class Writer:
    """Collects nodes and constants; `writer("Relu", x)` names the result.

    >>> writer = Writer()
    >>> writer("Relu", "X"), writer("Add", "v0", writer.constant(1.0))
    ('v0', 'v1')
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array; returns its name."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=dtype, order="C"), name))
        return name

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(self, result: str, shape: Sequence[int], outputs: int, kind: Any = np.float32) -> bytes:
        """The finished graph: X (n, *shape) of `kind` to Y float32 (n, outputs)."""
        import onnx
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Identity", [result], ["Y"]))
        taken = helper.make_tensor_value_info("X", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), ["n", *shape])
        given = helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", outputs])
        graph = helper.make_graph(self.nodes, "rightfit", [taken], [given], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="rightfit")
        model.ir_version = IR
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def write(net: Any, writer: Writer, x: str) -> str:
    """Write a functional or sequential network of one input and one output; x and the result lie as in Keras.

    Raises Unknown for a layer, an argument or a wiring that is not covered.
    """
    shape = tuple(net.input_shape)
    value = Value(name=writer("Transpose", x, perm=[0, 3, 1, 2]) if len(shape) == 4 else x, shape=shape)
    return _plain(writer, _network(writer, net, value))


def _network(writer: Writer, net: Any, x: Value) -> Value:
    if type(net).__name__ == "Sequential":
        for layer in net.layers:
            x = _layer(writer, layer, [x])
        return x
    if type(net).__name__ not in ("Functional", "Model"):
        raise Unknown(f"a network must be functional or sequential; got class={type(net).__name__!r}.")
    config = net.get_config()
    known = {operation.name: operation for operation in net.operations}
    values: dict[tuple[str, int], Value] = {}
    for entry in config["layers"]:
        name = entry["config"].get("name", entry["name"])
        if entry["class_name"] == "InputLayer":
            values[name, 0] = x
        for call, node in enumerate(entry["inbound_nodes"]):
            values[name, call] = _layer(writer, known[name], _inputs(node, values))
    ends = config["output_layers"]
    ends = ends if isinstance(ends[0], str) else ends[0]
    return _value(values, ends[0], ends[1])


def _value(values: Mapping[tuple[str, int], Value], name: str, call: int) -> Value:
    """What a layer gave; calls outside this network are counted by Keras too, so that the only one here may be any."""
    here = [key for key in values if key[0] == name]
    if (name, call) not in values and len(here) != 1:
        raise Unknown(f"a layer must be called in one network only; got layer={name!r} with {call + 1} calls.")
    return values[(name, call) if (name, call) in values else here[0]]


def _inputs(node: Mapping[str, Any], values: Mapping[tuple[str, int], Value]) -> list[Any]:
    found: list[Any] = []

    def walk(item: Any) -> None:
        if isinstance(item, Mapping) and item.get("class_name") == "__keras_tensor__":
            name, call, position = item["config"]["keras_history"]
            if position:
                raise Unknown(f"a layer must have one output here; got layer={name!r} with more.")
            found.append(_value(values, name, call))
        elif isinstance(item, list | tuple):
            for part in item:
                walk(part)
        else:
            found.append(item)

    walk(node["args"])
    extra = {k: v for k, v in node["kwargs"].items() if v is not None and k not in ("training", "name")}
    if extra:
        raise Unknown(f"a layer must be called with tensors only; got {', '.join(extra)}.")
    return found


def _layer(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    kind = type(layer).__name__
    if kind in ("Functional", "Sequential", "Model"):
        return _network(writer, layer, inputs[0])
    if kind not in _LAYERS:
        raise Unknown(f"a Keras layer must be one of {', '.join(sorted(_LAYERS))}; got layer={kind!r}.")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise Unknown(f"a Keras layer must have channels last; got layer={layer.name!r} with channels first.")
    return _LAYERS[kind](writer, layer, inputs)


def _plain(writer: Writer, x: Value) -> str:
    """The tensor as it lies in Keras."""
    return writer("Transpose", x.name, perm=[0, 2, 3, 1]) if x.picture else x.name


def _shape(layer: Any, inputs: Sequence[Value]) -> tuple[int | None, ...]:
    shapes = [x.shape for x in inputs]
    return tuple(layer.compute_output_shape(shapes[0] if len(shapes) == 1 else shapes))


def _like(x: Value, values: Any) -> Any:
    """A value for each channel, so that it broadcasts over the tensor."""
    values = np.asarray(values, dtype=np.float32)
    if values.size > 1 and values.size != x.shape[-1]:
        raise Unknown(f"a constant must have one value or one for each channel; got shape={values.shape}.")
    return values.reshape(-1, 1, 1) if x.picture and values.size > 1 else values.reshape(-1)


# --- activations ------------------------------------------------------------------------------------------------------

def _gelu(writer: Writer, x: str, _: int) -> str:
    inner = writer("Erf", writer("Mul", x, writer.constant(0.5**0.5)))
    return writer("Mul", writer("Mul", x, writer.constant(0.5)), writer("Add", inner, writer.constant(1.0)))


_ACTIVATIONS: Mapping[str, Callable[[Writer, str, int], str]] = {
    "linear": lambda w, x, axis: x,
    "relu": lambda w, x, axis: w("Relu", x),
    "relu6": lambda w, x, axis: w("Clip", x, w.constant(0.0), w.constant(6.0)),
    "silu": lambda w, x, axis: w("Mul", x, w("Sigmoid", x)),
    "sigmoid": lambda w, x, axis: w("Sigmoid", x),
    "tanh": lambda w, x, axis: w("Tanh", x),
    "softplus": lambda w, x, axis: w("Softplus", x),
    "exponential": lambda w, x, axis: w("Exp", x),
    "elu": lambda w, x, axis: w("Elu", x),
    "selu": lambda w, x, axis: w("Selu", x),
    "hard_sigmoid": lambda w, x, axis: w("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hard_silu": lambda w, x, axis: w("HardSwish", x),
    "gelu": _gelu,
    "softmax": lambda w, x, axis: w("Softmax", x, axis=axis),
}


def _activated(writer: Writer, layer: Any, name: str, shape: tuple[int | None, ...]) -> Value:
    function = getattr(layer, "activation", None)
    said = "linear" if function is None else getattr(function, "__name__", "?")
    if said not in _ACTIVATIONS or not getattr(function, "__module__", "keras.").startswith("keras."):
        raise Unknown(f"an activation must be one of {', '.join(_ACTIVATIONS)}; got activation={said!r} "
                      f"in layer={layer.name!r}.")
    return Value(name=_ACTIVATIONS[said](writer, name, 1 if len(shape) == 4 else -1), shape=shape)


def _relu(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    slope, most = float(getattr(layer, "negative_slope", 0.0)), getattr(layer, "max_value", None)
    if float(getattr(layer, "threshold", 0.0)) or (slope and most is not None):
        raise Unknown(f"a ReLU must have no threshold, and a slope or a maximum; got layer={layer.name!r}.")
    if slope:
        return Value(name=writer("LeakyRelu", x.name, alpha=slope), shape=x.shape)
    name = writer("Relu", x.name) if most is None else writer(
        "Clip", x.name, writer.constant(0.0), writer.constant(float(most)))
    return Value(name=name, shape=x.shape)


def _softmax(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    if layer.axis != -1:
        raise Unknown(f"a softmax must be over the last axis; got axis={layer.axis}.")
    return Value(name=writer("Softmax", inputs[0].name, axis=1 if inputs[0].picture else -1), shape=inputs[0].shape)


# --- layers with weights ----------------------------------------------------------------------------------------------

def _pads(layer: Any, x: Value, kernel: Sequence[int], dilation: Sequence[int]) -> dict[str, Any]:
    """TensorFlow's `same`: what is odd goes to the bottom and the right."""
    if layer.padding == "valid":
        return {}
    begin, end = [], []
    for size, k, stride, step in zip(x.shape[1:3], kernel, layer.strides, dilation, strict=True):
        if size is None:
            return {"auto_pad": "SAME_UPPER"}
        total = max((-(-size // stride) - 1) * stride + (k - 1) * step + 1 - size, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return {"pads": [*begin, *end]}


def _convolved(writer: Writer, layer: Any, x: Value, weight: Any, groups: int) -> Value:
    """weight (out, in / groups, height, width)."""
    bias = [writer.constant(np.asarray(layer.bias))] if layer.use_bias else []
    kernel, dilation = list(weight.shape[2:]), list(layer.dilation_rate)
    name = writer("Conv", x.name, writer.constant(weight), *bias, kernel_shape=kernel, dilations=dilation,
                  strides=list(layer.strides), group=groups, **_pads(layer, x, kernel, dilation))
    return _activated(writer, layer, name, _shape(layer, [x]))


def _conv(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    return _convolved(writer, layer, inputs[0], np.asarray(layer.kernel).transpose(3, 2, 0, 1), layer.groups)


def _depthwise(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    kernel = np.asarray(layer.kernel)  # (height, width, channels, multiplier)
    high, wide, channels, times = kernel.shape
    weight = kernel.transpose(2, 3, 0, 1).reshape(channels * times, 1, high, wide)
    return _convolved(writer, layer, inputs[0], weight, channels)


def _dense(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    kernel = writer.constant(np.asarray(layer.kernel))
    if len(x.shape) == 2:
        bias = [writer.constant(np.asarray(layer.bias))] if layer.use_bias else []
        return _activated(writer, layer, writer("Gemm", x.name, kernel, *bias), _shape(layer, [x]))
    if x.picture:
        raise Unknown(f"a dense layer must be given rows or sequences; got layer={layer.name!r} on pictures.")
    name = writer("MatMul", x.name, kernel)
    if layer.use_bias:
        name = writer("Add", name, writer.constant(np.asarray(layer.bias)))
    return _activated(writer, layer, name, _shape(layer, [x]))


def _batch_norm(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    if axis not in (-1, len(x.shape) - 1) or len(x.shape) == 3:
        raise Unknown(f"a batch normalisation must be over the channels; got axis={axis} in layer={layer.name!r}.")
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = np.asarray(layer.beta) if layer.center else np.zeros_like(mean)
    name = writer("BatchNormalization", x.name, *(writer.constant(v) for v in (gamma, beta, mean, variance)),
                  epsilon=float(layer.epsilon))
    return Value(name=name, shape=x.shape)


def _layer_norm(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if x.picture or axes not in ([-1], [len(x.shape) - 1]) or getattr(layer, "rms_scaling", False):
        raise Unknown(f"a layer normalisation must be over the last axis of rows; got layer={layer.name!r}.")
    size = x.shape[-1]
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones(size or 1)
    beta = np.asarray(layer.beta) if layer.center else np.zeros(size or 1)
    return Value(name=writer("LayerNormalization", x.name, writer.constant(gamma), writer.constant(beta), axis=-1,
                             epsilon=float(layer.epsilon)), shape=x.shape)


def _normalized(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    if layer.invert or len(np.ravel(layer.axis)) > 1:
        raise Unknown(f"a normalisation must be over one axis, not inverted; got layer={layer.name!r}.")
    spread = np.maximum(np.sqrt(np.asarray(layer.variance, dtype=np.float64)), 1e-7)
    shifted = writer("Sub", x.name, writer.constant(_like(x, np.asarray(layer.mean).ravel())))
    return Value(name=writer("Div", shifted, writer.constant(_like(x, spread.ravel()))), shape=x.shape)


def _rescaled(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    x = inputs[0]
    times = writer("Mul", x.name, writer.constant(_like(x, layer.scale)))
    return Value(name=writer("Add", times, writer.constant(_like(x, layer.offset))), shape=x.shape)


# --- layers without weights -------------------------------------------------------------------------------------------

def _same(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    return Value(name=inputs[0].name, shape=inputs[0].shape)


def _padded(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    (top, bottom), (left, right) = layer.padding
    pads = writer.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return Value(name=writer("Pad", inputs[0].name, pads), shape=_shape(layer, inputs))


def _pooled(operator: str) -> Callable[[Writer, Any, list[Any]], Value]:
    def pool(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
        kernel = list(layer.pool_size)
        name = writer(operator, inputs[0].name, kernel_shape=kernel, strides=list(layer.strides),
                      **_pads(layer, inputs[0], kernel, (1, 1)))
        return Value(name=name, shape=_shape(layer, inputs))

    return pool


def _pooled_away(operator: str) -> Callable[[Writer, Any, list[Any]], Value]:
    def pool(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
        name = writer(operator, inputs[0].name)
        return Value(name=name if layer.keepdims else writer("Flatten", name), shape=_shape(layer, inputs))

    return pool


def _reshaped(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    """Flatten and Reshape: the order of the numbers is that of Keras, channels last."""
    shape = _shape(layer, inputs)
    if any(size is None for size in shape[1:]):
        raise Unknown(f"a shape must be known but for the rows; got shape={shape} in layer={layer.name!r}.")
    plain = writer("Reshape", _plain(writer, inputs[0]), writer.constant([-1, *shape[1:]], np.int64))
    return Value(name=writer("Transpose", plain, perm=[0, 3, 1, 2]) if len(shape) == 4 else plain, shape=shape)


def _joined(operator: str) -> Callable[[Writer, Any, list[Any]], Value]:
    def join(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
        tensors = [x for x in inputs if isinstance(x, Value)]
        if len({len(x.shape) for x in tensors}) != 1 or len(inputs) < 2:
            raise Unknown(f"tensors must have as many dimensions as each other; got layer={layer.name!r}.")
        names = [x.name if isinstance(x, Value) else writer.constant(_like(tensors[0], x)) for x in inputs]
        result = names[0]
        for name in names[1:]:
            result = writer(operator, result, name)
        if type(layer).__name__ == "Average":
            result = writer("Div", result, writer.constant(float(len(names))))
        widest = [max((x.shape[i] or 0) for x in tensors) or None for i in range(len(tensors[0].shape))]
        return Value(name=result, shape=(None, *widest[1:]))

    return join


def _chained(writer: Writer, layer: Any, inputs: list[Any]) -> Value:
    last = len(inputs[0].shape) - 1
    if layer.axis not in (-1, last) or last == 2:
        raise Unknown(f"a concatenation must be over the channels; got axis={layer.axis}.")
    return Value(name=writer("Concat", *(x.name for x in inputs), axis=1), shape=_shape(layer, inputs))


_LAYERS: Mapping[str, Callable[[Writer, Any, list[Any]], Value]] = {
    **dict.fromkeys(("InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout",
                     "ActivityRegularization", "Identity"), _same),
    "Activation": lambda w, layer, inputs: _activated(w, layer, inputs[0].name, inputs[0].shape),
    "ReLU": _relu, "LeakyReLU": _relu, "Softmax": _softmax,
    "Conv2D": _conv, "DepthwiseConv2D": _depthwise, "Dense": _dense, "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm, "Normalization": _normalized, "Rescaling": _rescaled, "ZeroPadding2D": _padded,
    "MaxPooling2D": _pooled("MaxPool"), "AveragePooling2D": _pooled("AveragePool"),
    "GlobalAveragePooling2D": _pooled_away("GlobalAveragePool"), "GlobalMaxPooling2D": _pooled_away("GlobalMaxPool"),
    "Flatten": _reshaped, "Reshape": _reshaped, "Add": _joined("Add"), "Average": _joined("Add"),
    "Multiply": _joined("Mul"), "Subtract": _joined("Sub"), "Maximum": _joined("Max"), "Minimum": _joined("Min"),
    "Concatenate": _chained,
}
