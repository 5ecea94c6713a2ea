"""Fields of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), as far as
OpenTelemetry's protocol has them here."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from headrace.platform.telemetry.spans import Value

_DOUBLE = struct.Struct("<d").pack
_TWO_BYTES = struct.Struct("<H").pack
_ONE_BYTE = tuple(bytes((n,)) for n in range(0x80))
_SMALL = 0x4000
"""Numbers below it take two bytes at most."""
_MOST_NAMES = 1_000


class KeyValues:
    """Attributes as `KeyValue`s, each in a field of one number. What stands before a value of some
    length is made once for each name, of which there are few."""

    def __init__(self, number: int) -> None:
        """`number` is at most 15."""
        self._number = number
        self._known: dict[str, _Heads] = {}

    def fields(self, values: Mapping[str, Value]) -> bytes:
        """One after another."""
        made, known = [], self._known
        for name, value in values.items():
            heads = known.get(name) or self._met(name)
            kind = type(value)
            if kind is str:
                data = value.encode("utf-8", "replace")  # type: ignore[union-attr]
                head = heads.texts.get(len(data)) or heads.before_text(len(data))
                made.append(head)
            elif kind is int and 0 <= value < _SMALL:  # type: ignore[operator]
                data = varint(value)  # type: ignore[arg-type]
                made.append(heads.numbers[len(data)])
            elif kind is float:
                data = _DOUBLE(value)
                made.append(heads.double)
            else:
                data = heads.field(_any_value(value))
            made.append(data)
        return b"".join(made)

    def _met(self, name: str) -> _Heads:
        heads = _Heads(self._number, name)
        if len(self._known) < _MOST_NAMES:
            self._known[name] = heads
        return heads


class _Heads:
    """What stands before values under one name."""

    __slots__ = ("_named", "_number", "double", "numbers", "texts")

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self._named = text(1, name)
        self.texts: dict[int, bytes] = {}
        """By their length, of those that are short."""
        self.numbers = (b"", self._before(1, b"\x18"), self._before(2, b"\x18"))
        """By their length, which is not told."""
        self.double = self._before(8, b"\x21")

    def before_text(self, size: int) -> bytes:
        sign = b"\x0a" + varint(size)
        head = self._before(size, sign)
        if size < 0x80:
            self.texts[size] = head
        return head

    def field(self, any_value: bytes) -> bytes:
        return self._before(len(any_value), b"") + any_value

    def _before(self, size: int, sign: bytes) -> bytes:
        """Before so many bytes of a value, whose kind and length `sign` tells."""
        value = b"\x12" + varint(len(sign) + size) + sign
        whole = len(self._named) + len(value) + size
        return b"%c%b%b%b" % (self._number << 3 | 2, varint(whole), self._named, value)


def _any_value(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    return text(1, value) if isinstance(value, str) else b"\x21" + _DOUBLE(value)


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
        return _ONE_BYTE[value]
    if value < _SMALL:
        return _TWO_BYTES(value & 0x7F | 0x80 | value << 1 & 0x7F00)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
