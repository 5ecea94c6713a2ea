"""What replicas found out about kept answers, told to each other by Redis or Valkey.

One stream holds all of it, in order (`redis_stream.py`). Each worker also writes what it finds out
to its host's file (`data/feedback_file.py`), which needs no server; what comes both ways counts
once (`learning.Learning`). While the server is away, what is to be told waits.
"""

from __future__ import annotations

import logging
from collections import deque

import msgspec

from headrace.data.feedback_file import Row, decode, encode
from headrace.data.redis_link import RedisLink
from headrace.gateway.cache.learning import Hear
from headrace.gateway.cache.redis_stream import RedisStream

log = logging.getLogger("headrace.cache")

MOST_KEPT = 100_000
"""In the stream; the oldest go."""
MOST_WAITING = 10_000
"""That the server has not taken; the oldest go, but they are in the file."""
SENT_AT_ONCE, READ_AT_ONCE = 64, 500


class RedisFeedback:
    """One worker's part."""

    def __init__(self, link: RedisLink, prefix: str) -> None:
        self._link = link
        self._stream = RedisStream(link, f"{prefix}feedback")
        self._hear: Hear | None = None
        self._waiting: deque[Row] = deque(maxlen=MOST_WAITING)

    def follow(self, hear: Hear) -> None:
        self._hear = hear
        self._stream.look()

    def tell(self, row: Row) -> None:
        self._waiting.append(row)
        self._stream.tell()

    async def run(self) -> None:
        """Reads and tells, until it is cancelled."""
        await self._stream.run(self._read, self._tell)

    async def _tell(self) -> None:
        """Raises RedisAway; what could not be told waits."""
        add = ("XADD", self._stream.name, "MAXLEN", "~", MOST_KEPT, "*", "row")
        while self._waiting:
            part = [self._waiting[i] for i in range(min(SENT_AT_ONCE, len(self._waiting)))]
            added = [(*add, encode(row)) for row in part]
            await self._link.ask([*added, self._stream.announced()])
            for row in part:
                if self._waiting and self._waiting[0] is row:  # else there was no room for it
                    self._waiting.popleft()

    async def _read(self) -> None:
        """Raises RedisAway."""
        hear = self._hear
        if hear is None:
            return
        async for entries in self._stream.unread(READ_AT_ONCE):
            for number, fields in entries:
                self._stream.read_to = number
                row = _row(fields.get(b"row"))
                if row is not None:
                    await hear(row)


def _row(data: bytes | None) -> Row | None:
    """None for what another version may have written."""
    try:
        return None if data is None else decode(data)
    except msgspec.MsgspecError as error:
        log.warning("feedback in redis cannot be read", extra={"cause": str(error)})
        return None
