"""Weights out of an ONNX file, and a graph of our own around them: what little of the format that
takes, so that nobody needs the package `onnx` (https://onnx.ai/onnx/repo-docs/IR.html, onnx.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from headrace.errors import Setup
from headrace.platform.telemetry.protobuf import field, varint

FLOAT, INT8, INT32, INT64, UINT8 = 1, 3, 6, 7, 2
"""Element types (TensorProto.DataType)."""
OWN = "com.microsoft"
"""The domain of onnxruntime's operators that ONNX does not have."""
_VERSIONS = {"": 17, OWN: 1}
_IR_VERSION = 8
_SIZES = {1: 8, 5: 4}
"""Bytes of fields whose kind says it."""

Buffer = bytes | memoryview
Setting = int | float | tuple[int, ...]


class Tensor(NamedTuple):
    """`data` is little-endian, row after row."""

    shape: tuple[int, ...]
    kind: int
    data: Buffer


class Node(NamedTuple):
    """An operator, the names of what it takes and what it makes; an empty name is left out."""

    operator: str
    takes: Sequence[str]
    makes: Sequence[str]
    settings: Mapping[str, Setting] = {}
    domain: str = ""


class Port(NamedTuple):
    """Something that goes in or out. Dimensions are numbers, or names of what varies."""

    name: str
    kind: int
    shape: Sequence[int | str]


class Graph(NamedTuple):
    tensors: dict[str, Tensor]
    """Constants, by name."""
    nodes: list[Node]


def read(data: Buffer) -> Graph:
    """Without nodes' settings. Tensors share `data`. Raises Setup for what is no ONNX file."""
    try:
        found = [value for number, value in _fields(memoryview(data)) if number == 7]
        parts = list(_fields(found[0]))
        tensors = dict(_tensor(value) for number, value in parts if number == 5)
        return Graph(tensors, [_node(value) for number, value in parts if number == 1])
    except (IndexError, KeyError, TypeError, ValueError, struct.error):
        raise Setup(
            "the embeddings model is not a whole ONNX file", "remove it and pull it again"
        ) from None


def write(graph: Graph, takes: Sequence[Port], makes: Sequence[Port]) -> bytes:
    """The file of a model."""
    body = [field(1, _written_node(node)) for node in graph.nodes]
    body.append(field(2, b"headrace"))
    body += [field(5, _written_tensor(n, tensor)) for n, tensor in graph.tensors.items()]
    body += [field(11, _written_port(port)) for port in takes]
    body += [field(12, _written_port(port)) for port in makes]
    versions = (
        field(8, field(1, domain.encode()) + _number(2, version))
        for domain, version in _VERSIONS.items()
    )
    return b"".join([_number(1, _IR_VERSION), *versions, field(7, b"".join(body))])


# Reading: Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/).


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Numbers of fields, with an int for a varint and bytes for all else."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            number, place = _varint(data, place)
            yield key >> 3, number
            continue
        if kind == 2:
            size, place = _varint(data, place)
        else:
            size = _SIZES[kind]
        value = data[place : place + size]
        if len(value) < size:
            raise ValueError(place)
        place += size
        yield key >> 3, value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def _tensor(data: memoryview) -> tuple[str, Tensor]:
    name, kind, shape = "", 0, list[int]()
    raw: Buffer = b""
    for number, value in _fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            kind = value
        elif number == 8:
            name = bytes(value).decode()
        elif number == 9:
            raw = value
    return name, Tensor(tuple(shape), kind, raw)


def _packed(data: memoryview) -> list[int]:
    found, place = list[int](), 0
    while place < len(data):
        one, place = _varint(data, place)
        found.append(one)
    return found


def _node(data: memoryview) -> Node:
    takes, makes, operator = list[str](), list[str](), ""
    for number, value in _fields(data):
        if number == 1:
            takes.append(bytes(value).decode())
        elif number == 2:
            makes.append(bytes(value).decode())
        elif number == 4:
            operator = bytes(value).decode()
    return Node(operator, takes, makes)


# Writing.


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value & (1 << 64) - 1)


def _written_node(node: Node) -> bytes:
    parts = [field(1, name.encode()) for name in node.takes]
    parts += [field(2, name.encode()) for name in node.makes]
    parts += [field(4, node.operator.encode()), field(7, node.domain.encode())]
    for name, value in node.settings.items():
        parts.append(field(5, field(1, name.encode()) + _written_setting(value)))
    return b"".join(parts)


def _written_setting(value: Setting) -> bytes:
    if isinstance(value, int):
        return _number(3, value) + _number(20, 2)
    if isinstance(value, float):
        return varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    return b"".join(_number(8, number) for number in value) + _number(20, 7)


def _written_tensor(name: str, tensor: Tensor) -> bytes:
    shape = b"".join(_number(1, size) for size in tensor.shape)
    return shape + _number(2, tensor.kind) + field(8, name.encode()) + field(9, bytes(tensor.data))


def _written_port(port: Port) -> bytes:
    sizes = b"".join(
        field(1, _number(1, size) if isinstance(size, int) else field(2, size.encode()))
        for size in port.shape
    )
    kind = field(1, _number(1, port.kind) + field(2, sizes))
    return field(1, port.name.encode()) + field(2, kind)
