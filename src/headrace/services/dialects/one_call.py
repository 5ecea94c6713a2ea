"""At most one call of a tool in an answer, for providers that cannot be told so.

What comes from a second call on is left out: the model asks for it again once it has the first
one's result, as it does where a provider takes `parallel_tool_calls: false` or
`disable_parallel_tool_use`. The tokens of what is left out were made, and are counted.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import Struct

from headrace.services.dialects.neutral import (
    Called,
    Counted,
    Delta,
    Ended,
    Failed,
    Finished,
    Hidden,
    Part,
    Redacted,
    Signed,
    Thinking,
    Thought,
    ToolUse,
)  # fmt: skip
from headrace.services.service import Splitter


class _Wish(Struct):
    parallel_tool_calls: Any = None
    tool_choice: Any = None


_wishes = msgspec.json.Decoder(_Wish)


def is_wanted(body: bytes) -> bool:
    """Whether a request of any client's dialect says so."""
    if b"parallel_tool" not in body:
        return False
    wish = _wishes.decode(body)
    choice = wish.tool_choice if isinstance(wish.tool_choice, dict) else {}
    return wish.parallel_tool_calls is False or bool(choice.get("disable_parallel_tool_use"))


def first_call(parts: list[Part]) -> list[Part]:
    """An answer's parts up to the second call, without the thoughts that led to it."""
    calls = [at for at, part in enumerate(parts) if isinstance(part, ToolUse)]
    kept = parts if len(calls) < 2 else parts[: calls[1]]
    while len(kept) < len(parts) and isinstance(kept[-1], Thinking | Redacted):
        kept.pop()
    return kept


class OwnEvents(Protocol):
    """Reads a stream of the provider's own format."""

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        ...

    def end(self) -> list[Delta] | None:
        """What the end of the bytes says; None if it comes too early."""
        ...

    def splitter(self) -> Splitter: ...


class FirstCall:
    """Reads a stream up to its second call, and then its end."""

    __slots__ = ("_events", "_over")

    def __init__(self, events: OwnEvents) -> None:
        self._events = events
        self._over = False

    def splitter(self) -> Splitter:
        return self._events.splitter()

    def end(self) -> list[Delta] | None:
        return self._events.end()

    def read(self, data: bytes) -> list[Delta]:
        """Raises BadAnswer."""
        kept: list[Delta] = []
        for delta in self._events.read(data):
            if isinstance(delta, Called) and delta.number > 0:
                self._over = True
                while kept and isinstance(kept[-1], Thought | Signed | Hidden):
                    kept.pop()
            if not self._over or isinstance(delta, Finished | Counted | Ended | Failed):
                kept.append(delta)
        return kept
