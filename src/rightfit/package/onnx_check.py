"""Whether an ONNX file is safe to hand to a runtime, read straight from the protocol-buffer wire format.

The onnx library would do too, but importing it costs more than loading the model. Only what matters is looked at:
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 and https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rightfit.errors import PackageError

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
MAX_DEPTH = 16
# {message: {field: message of that field}}; a dotted name is a rule, everything else is skipped unread.
_FIELDS = {
    "Model": {7: "Graph", 8: "Opset", 20: ".training", 25: ".functions"},
    "Opset": {1: ".domain"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute", 7: ".domain"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: ".external", 14: ".external"},
}
_TEXT = b"|".join(b"%b[\\s\\S]{%d}" % (re.escape(bytes([n])), n) for n in range(32))
# A tree ensemble's attributes hold a field per number: floats, ints and short strings, one run of them skipped at once.
_NUMBERS = re.compile(rb"(?:=[\s\S]{4}|@[\x80-\xff]{0,9}[\x00-\x7f]|J(?:%b))++" % _TEXT)


class _Broken(ValueError):
    pass


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Broken
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _parts(data: memoryview, skip: bool) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, content) for each field; raises _Broken where the bytes are no message."""
    at = 0
    while at < len(data):
        if run := _NUMBERS.match(data, at) if skip else None:
            at = run.end()
            continue
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        if field == 0:
            raise _Broken
        if wire == 0:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _Broken
        if at + size > len(data):
            raise _Broken
        yield field, data[at:at + size]
        at += size


def _walk(data: memoryview, message: str, name: str, depth: int) -> set[int]:
    if depth > MAX_DEPTH:
        raise PackageError(f"an ONNX graph must nest at most {MAX_DEPTH} levels; got more in file={name!r}.")
    seen = set()
    for field, content in _parts(data, message == "Attribute"):
        seen.add(field)
        inside = _FIELDS[message].get(field)
        if inside is None:
            continue
        if inside == ".external":
            if content != 0:  # data_location 0 says: inside this file
                raise PackageError(f"an ONNX file must hold its own weights; got external data in file={name!r}, "
                                   "do not load it.")
        elif inside == ".domain":
            domain = bytes(content).decode("utf-8", "replace") if isinstance(content, memoryview) else "?"
            if domain not in DOMAINS:
                raise PackageError(f"an ONNX graph must use the standard operators only; got domain={domain!r} in "
                                   f"file={name!r}, do not load it.")
        elif inside.startswith("."):
            raise PackageError(f"an ONNX graph must be one plain graph; got {inside[1:]} in file={name!r}.")
        elif isinstance(content, memoryview):
            _walk(content, inside, name, depth + 1)
        else:
            raise _Broken
    return seen


def check(content: bytes, name: str = "model.onnx") -> None:
    """Raise PackageError unless the bytes are one ONNX graph with its weights inside and standard operators only.

    >>> check(b"no model")
    Traceback (most recent call last):
    rightfit.errors.PackageError: an ONNX file must be a whole ONNX model; got file='model.onnx' with 8 bytes of ...
    """
    try:
        seen = _walk(memoryview(content), "Model", name, 0)
        if not {1, 7, 8} <= seen:
            raise _Broken
    except _Broken:
        raise PackageError(f"an ONNX file must be a whole ONNX model; got file={name!r} with {len(content)} bytes of "
                           "something else, do not load it.") from None
