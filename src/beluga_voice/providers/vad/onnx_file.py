"""Reads the numbers that a neural network learned out of its ONNX file, without a runtime.

How it works. An ONNX file is one protobuf message: fields, each with a number and a kind, of which
some hold messages again. A model holds a graph; a graph holds nodes, and tensors with a name; a
node holds attributes, and those may hold a tensor or another graph. Field numbers are those of
`onnx.proto3` in the package onnx 1.23 (read 2026-11-21).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beluga_voice.errors import ConfigurationError

type Floats = NDArray[np.float32]

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_TENSOR = 1, 5
_NODE_OUTPUT, _NODE_ATTRIBUTE = 2, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_TENSOR_SHAPE, _TENSOR_KIND, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 8, 9
_FLOAT32 = 1
_NUMBER, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
"""Kinds of fields of a fixed width, and their bytes."""


def read_tensors(path: Path) -> dict[str, Floats]:
    """All 32-bit floating point tensors by name; those that nodes hold, by the node's output.

    Raises `ConfigurationError` for what is no such file.
    """
    try:
        model = memoryview(path.read_bytes())
        found: dict[str, Floats] = {}
        for number, graph in _messages(model):
            if number == _MODEL_GRAPH:
                _read_graph(graph, found)
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"{path.name} cannot be read as an ONNX model; install its package again", op="vad"
        ) from error
    return found


def _read_graph(graph: memoryview, found: dict[str, Floats]) -> None:
    for number, content in _messages(graph):
        if number == _GRAPH_NODE:
            _read_node(content, found)
        elif number == _GRAPH_TENSOR:
            name, tensor = _tensor(content)
            if tensor is not None:
                found[name] = tensor


def _read_node(node: memoryview, found: dict[str, Floats]) -> None:
    fields = list(_messages(node))
    outputs = [str(content, "utf-8") for number, content in fields if number == _NODE_OUTPUT]
    for number, attribute in fields:
        if number != _NODE_ATTRIBUTE:
            continue
        for kind, content in _messages(attribute):
            if kind == _ATTRIBUTE_GRAPH:
                _read_graph(content, found)
            elif kind == _ATTRIBUTE_TENSOR:
                _, tensor = _tensor(content)
                if tensor is not None:
                    found[outputs[0]] = tensor


def _tensor(message: memoryview) -> tuple[str, Floats | None]:
    """Its name and numbers; no numbers if they are of another kind."""
    name, shape, kind, numbers = "", list[int](), 0, memoryview(b"")
    for number, content in _fields(message):
        if isinstance(content, int):
            if number == _TENSOR_SHAPE:
                shape.append(content)
            elif number == _TENSOR_KIND:
                kind = content
        elif number == _TENSOR_SHAPE:
            shape.extend(_packed(content))
        elif number == _TENSOR_NAME:
            name = str(content, "utf-8")
        elif number == _TENSOR_BYTES:
            numbers = content
    if kind != _FLOAT32 or not numbers:
        return name, None
    return name, np.frombuffer(numbers, "<f4").reshape(shape)


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields that hold bytes: text, or messages."""
    for number, content in _fields(message):
        if isinstance(content, memoryview):
            yield number, content


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field; those of a fixed width are left out."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _NUMBER:
            content, at = _varint(message, at)
            yield number, content
        elif kind == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field goes beyond its message")
            yield number, message[at : at + length]
            at += length
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        else:
            raise ValueError(f"no field is of kind {kind}")


def _packed(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        number, at = _varint(packed, at)
        yield number


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
