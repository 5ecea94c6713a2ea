"""Calls of tools in a stream whose blocks have indexes, as Anthropic's and Bedrock's."""

from __future__ import annotations

from headrace.services.dialects.neutral import Arguments, Called, Delta


class OpenCalls:
    """Numbers the calls, and gives one that ends without arguments those of an empty object."""

    __slots__ = ("_count", "_open")

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, bool]] = {}
        """By the index of an open block: the call's number, and whether it has arguments."""
        self._count = 0

    def begin(self, index: int, id: str, name: str) -> list[Delta]:
        """A block begins a call."""
        number = self._count
        self._count += 1
        self._open[index] = (number, False)
        return [Called(number, id, name)]

    def arguments(self, index: int, text: str) -> list[Delta]:
        """A fragment; nothing if it is empty or its block is no call's."""
        if not text or index not in self._open:
            return []
        number, _ = self._open[index]
        self._open[index] = (number, True)
        return [Arguments(number, text)]

    def end(self, index: int) -> list[Delta]:
        """A block ends, whatever it held."""
        number, has_arguments = self._open.pop(index, (0, True))
        return [] if has_arguments else [Arguments(number, "{}")]
