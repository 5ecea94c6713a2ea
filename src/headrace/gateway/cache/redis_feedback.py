"""What replicas found out about kept answers, told to each other by Redis or Valkey.

One stream holds all of it, in order (https://valkey.io/topics/streams-intro/); a message in a
channel says that there is something to read. Each worker also writes what it finds out to its
host's file (`data/feedback_file.py`), which needs no server; what comes both ways counts once
(`learning.Learning`). While the server is away, what is to be told waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import msgspec

from headrace.data.feedback_file import Row, decode, encode
from headrace.data.redis_link import RedisAway, RedisLink
from headrace.gateway.cache.learning import Hear

log = logging.getLogger("headrace.cache")

MOST_KEPT = 100_000
"""In the stream; the oldest go."""
MOST_WAITING = 10_000
"""That the server has not taken; the oldest go, but they are in the file."""
SENT_AT_ONCE, READ_AT_ONCE = 64, 500
LOOK_AGAIN_S = 5.0
"""So often the stream is read without a message: one may be lost."""


class RedisFeedback:
    """One worker's part."""

    def __init__(self, link: RedisLink, prefix: str) -> None:
        self._link = link
        self._stream = f"{prefix}feedback"
        self._channel = f"{prefix}feedback:news"
        self._hear: Hear | None = None
        self._read_to = b"0-0"
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._waiting: deque[Row] = deque(maxlen=MOST_WAITING)
        link.listen(self._channel, lambda _: self._news.set())
        link.when_up(self._wake)

    def follow(self, hear: Hear) -> None:
        self._hear = hear
        self._news.set()

    def tell(self, row: Row) -> None:
        self._waiting.append(row)
        self._told.set()

    async def run(self) -> None:
        """Reads and tells, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_on(), name="feedback from redis")
            tasks.create_task(self._tell_on(), name="feedback to redis")

    async def _wake(self) -> None:
        self._news.set()
        self._told.set()

    async def _tell_on(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                while self._waiting:
                    await self._tell()
            except RedisAway as error:  # `_wake` comes back to it
                log.debug("feedback waits for redis", extra={"cause": str(error)})

    async def _tell(self) -> None:
        """Some of it. Raises RedisAway."""
        part = [self._waiting[i] for i in range(min(SENT_AT_ONCE, len(self._waiting)))]
        add = ("XADD", self._stream, "MAXLEN", "~", MOST_KEPT, "*", "row")
        await self._link.ask(
            [*((*add, encode(row)) for row in part), ("PUBLISH", self._channel, "")]
        )
        for row in part:
            if self._waiting and self._waiting[0] is row:  # else there was no room for it
                self._waiting.popleft()

    async def _read_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            if self._hear is not None and self._link.up:
                try:
                    await self._read(self._hear)
                except RedisAway as error:
                    log.debug("feedback of others waits", extra={"cause": str(error)})
                except Exception:
                    log.exception("a fault of our own")

    async def _read(self, hear: Hear) -> None:
        """Raises RedisAway."""
        while True:
            after = b"(" + self._read_to
            (entries,) = await self._link.ask(
                [("XRANGE", self._stream, after, "+", "COUNT", READ_AT_ONCE)]
            )
            if isinstance(entries, Exception):
                raise RedisAway(f"{type(entries).__name__}: {entries}")
            for number, fields in entries:
                self._read_to = number
                row = _row(fields.get(b"row"))
                if row is not None:
                    await hear(row)
            if not entries:
                return


def _row(data: bytes | None) -> Row | None:
    """None for what another version may have written."""
    try:
        return None if data is None else decode(data)
    except msgspec.MsgspecError as error:
        log.warning("feedback in redis cannot be read", extra={"cause": str(error)})
        return None
