"""Clients of the pipeline without a socket, and calls to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from headrace.errors import Refused
from headrace.nouns import Call, Caller, Dialect, Operation

CHAT_BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0}'


class Listener:
    """A `Reply` that keeps what it was told. `stop_reading` makes it congested."""

    def __init__(self) -> None:
        self.committed = False
        self.interrupted_by_drain = False
        self.about = b""
        self.body: bytes | None = None
        self.sent: list[bytes] = []
        self.ended = False
        self.refused: Refused | None = None
        self.fails = False
        self._reading = asyncio.Event()
        self._reading.set()

    @property
    def text(self) -> bytes:
        return b"".join(self.sent)

    def stop_reading(self) -> None:
        self._reading.clear()

    def read_on(self) -> None:
        self._reading.set()

    def whole(self, body: bytes, about: bytes) -> None:
        self._check_open()
        self.committed, self.ended = True, True
        self.body, self.about = body, about

    def begin(self, about: bytes) -> None:
        self._check_open()
        assert not self.committed
        self.committed, self.about = True, about

    def send(self, events: bytes) -> None:
        self._check_open()
        assert self.committed
        self.sent.append(events)

    @property
    def congested(self) -> bool:
        return not self._reading.is_set()

    async def drained(self) -> None:
        await self._reading.wait()

    def end(self, events: bytes = b"") -> None:
        self._check_open()
        assert self.committed
        self.sent.append(events)
        self.ended = True

    def refuse(self, refused: Refused, about: bytes) -> int:
        self._check_open()
        self.refused, self.ended = refused, True
        if self.committed:
            return 200
        self.about = about
        return refused.status or 500

    def _check_open(self) -> None:
        assert not self.ended, "told after its end"
        if self.fails:
            raise OSError("this client's end is broken")


def call(body: bytes = CHAT_BODY, **fields: Any) -> Call:
    """A chat call of one caller; `fields` are those of `Call`."""
    known: dict[str, Any] = {
        "id": "call-1",
        "dialect": Dialect.OPENAI,
        "operation": Operation.CHAT,
        "model": "m",
        "body_model": "m",
        "body": body,
        "stream": False,
        "wants_usage": False,
        "caller": Caller(key_id="key-1"),
        "received_at": 0.0,
    }
    return Call(**(known | fields))


async def until(condition: Callable[[], bool], turns: int = 1000) -> None:
    """Gives the loop turns until something is so."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to be")
