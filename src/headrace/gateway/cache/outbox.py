"""What a worker has kept, dropped and purged, and the server that others read has not taken yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from headrace.data.answer_file import AnswerRow
from headrace.gateway.cache.shelf import Key

MOST_WAITING = 256
"""More answers than so many that the server has not taken, and the newest are not shared."""
SENT_AT_ONCE = 16

Change = tuple[Key, AnswerRow | None]
"""An answer that was kept, or None for one that was dropped."""


class Outbox:
    """Changes in any order but purges, which go first: what was kept before one is not sent, what
    came after it is. For one event loop."""

    def __init__(self, filled: Callable[[], object]) -> None:
        """`filled` is called when there is something to send."""
        self._filled = filled
        self._waiting: dict[Key, AnswerRow | None] = {}
        self._purges: list[str | None] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._purges)

    def keep(self, row: AnswerRow) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting[row.partition, row.exact] = row
            self._filled()

    def drop(self, key: Key) -> None:
        self._waiting[key] = None
        self._filled()

    def purge(self, partition: str | None) -> None:
        for key in [k for k in self._waiting if partition in (None, k[0])]:
            del self._waiting[key]
        self._purges.append(partition)
        self._filled()

    async def send(
        self,
        purge: Callable[[str | None], Awaitable[object]],
        change: Callable[[Sequence[Change]], Awaitable[object]],
    ) -> None:
        """All that waits. What `purge` or `change` raises is raised, and what they could not send
        waits on."""
        while self._purges:
            await purge(self._purges[0])
            self._purges.pop(0)
        while self._waiting:
            part = list(self._waiting.items())[:SENT_AT_ONCE]
            await change(part)
            for key, row in part:
                if self._waiting.get(key, ...) is row:  # else it has changed meanwhile
                    del self._waiting[key]
