"""Fields of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), as far as
OpenTelemetry's protocol has them here."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from headrace.platform.telemetry.spans import Value

_DOUBLE = struct.Struct("<Bd").pack


class KeyValues:
    """Attributes as `KeyValue`s. Their names, which are few, are not made again."""

    def __init__(self) -> None:
        self._names: dict[str, bytes] = {}

    def fields(self, values: Mapping[str, Value], number: int) -> list[bytes]:
        """Each in a field of that number, which is at most 15."""
        made, names = [], self._names
        for name, value in values.items():
            if isinstance(value, str):
                any_value = text(1, value)
            elif isinstance(value, bool):
                any_value = b"\x10\x01" if value else b"\x10\x00"
            elif isinstance(value, int):
                any_value = b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
            else:
                any_value = _DOUBLE(0x21, float(value))
            named = names.get(name)
            if named is None:
                named = names[name] = text(1, name)
            made.append(_key_value(number, named, any_value))
        return made


def _key_value(number: int, name: bytes, any_value: bytes) -> bytes:
    """A `KeyValue`: the field of its name, as it is given, and that of its value."""
    size = len(any_value)
    whole = len(name) + size + 2
    if whole < 0x80:  # nearly all are so short, and then each length is one byte
        return b"%c%c%b\x12%c%b" % (number << 3 | 2, whole, name, size, any_value)
    return field(number, name + field(2, any_value))


def text(number: int, value: str) -> bytes:
    """A field of text."""
    data = value.encode("utf-8", "replace")
    size = len(data)
    if size < 0x80:
        return b"%c%c%b" % (number << 3 | 2, size, data)
    return field(number, data)


def field(number: int, data: bytes) -> bytes:
    """A field of bytes; `number` is at most 15."""
    size = len(data)
    if size < 0x80:
        return b"%c%c%b" % (number << 3 | 2, size, data)
    return b"%c%b%b" % (number << 3 | 2, varint(size), data)


def varint(value: int) -> bytes:
    """Of what is not negative."""
    if value < 0x80:
        return b"%c" % value
    if value < 0x4000:
        return b"%c%c" % (value & 0x7F | 0x80, value >> 7)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
