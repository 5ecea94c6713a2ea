"""Takes requests several at a time while calls are refused.

A refusal that runs between the pieces of streams finds its code and its memory out of the
processor's caches, and costs three to four times what it costs right after another one. So what
begins a call waits for the others that come meanwhile, at most `BURST_S`. Whoever asks whether the
gateway lives does not wait.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.platform.http.server_connection import ServerConnection

log = logging.getLogger("headrace.http")

CALLS = b"POST "
"""What calls begin with. Health checks are asked with GET or HEAD."""
BURST_S = 0.015
"""Longest wait. At 500 calls a second that are refused, seven are found."""


class Bursts:
    """Belongs to one server, while it sheds load."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: dict[ServerConnection, bytes] = {}

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._held)

    def hold(self, connection: ServerConnection, data: bytes) -> bool:
        """Whether `data`, with which a request of that connection begins, waits. If not it is to be
        taken at once: it is no call, or more of it came than was waiting, which is taken before."""
        if connection in self._held:
            self.take()
            return False
        if not data.startswith(CALLS):
            return False
        if not self._held:
            self._loop.call_later(BURST_S, self.take)
        self._held[connection] = data
        return True

    def take(self) -> None:
        """All that waits."""
        held, self._held = self._held, {}
        for connection, data in held.items():
            try:
                connection.take(data)
            except Exception:
                log.exception("what a client sent could not be taken")
                connection.abort()
