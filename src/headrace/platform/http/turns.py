"""Shares the loop's time among streams that have much to relay.

A few fast upstreams can hand over in one turn of the loop what takes seconds to relay, and all
else, health checks among it, would wait so long. So large pieces are counted: what goes beyond a
turn's share waits in line for later turns. How long it waits there tells how overloaded the loop
is, as the loop's own lateness no longer does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

BYTES_A_TURN = 32 * 1024
"""Relayed in one turn of the loop, in large pieces: 1 to 3 ms of work."""

Step = Callable[[], int]
"""Relays a piece and returns its bytes."""


class Turns:
    """Belongs to one event loop."""

    __slots__ = ("_left", "_planned", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[Step, float]] = deque()
        self._left = BYTES_A_TURN
        self._planned = False

    def admits(self, size: int) -> bool:
        """Whether a piece of `size` bytes may be relayed in this turn; if so it is counted."""
        if self._waiting or self._left <= 0:
            return False
        self._left -= size
        self._plan()
        return True

    def wait(self, step: Step) -> None:
        """Stands in line: `step` is called in a later turn, once."""
        self._waiting.append((step, time.monotonic()))
        self._plan()

    def wait_s(self) -> float:
        """For how long the first in line has waited; 0 if none waits."""
        return time.monotonic() - self._waiting[0][1] if self._waiting else 0.0

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """A turn of the loop begins."""
        self._planned = False
        self._left = BYTES_A_TURN
        waiting = self._waiting
        while waiting and self._left > 0:
            step, _ = waiting.popleft()
            self._left -= step()
        if waiting:
            self._plan()
