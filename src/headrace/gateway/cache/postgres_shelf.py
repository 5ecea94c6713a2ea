"""Answers that replicas share by PostgreSQL, their questions found by pgvector.

Answers that were found are remembered, and forgotten when another worker drops them, which each
reads every second. While the database is away, a worker goes on with what it remembers.
"""

from __future__ import annotations

import array
import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from headrace.data.answer_file import AnswerRow
from headrace.data.answer_table import DROPS_KEPT_S, AnswerTable
from headrace.data.database import DatabaseAway
from headrace.gateway.cache.embeddings import VERSION
from headrace.gateway.cache.outbox import Change, Outbox
from headrace.gateway.cache.shelf import Follower, Key

log = logging.getLogger("headrace.cache")

LOOK_S = 0.05
"""A call waits so long at most for the database, each time it asks."""
REST_S = 5.0
"""After a call waited in vain, none asks for so long."""
MOST_LOOKING = 32
"""More look-ups than so many at once, and a call is answered without."""
EVERY_S = 1.0
_T = TypeVar("_T")


class PostgresShelf:
    """One worker's part: a connection and thread to read, another to write."""

    def __init__(self, reading: AnswerTable, writing: AnswerTable) -> None:
        self._reading, self._writing = reading, writing
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="cache-read")
        self._writers = ThreadPoolExecutor(1, thread_name_prefix="cache-write")
        self._looking = 0
        self._rests_until = 0.0
        self._told = asyncio.Event()
        self._outbox = Outbox(self._told.set)
        self._heard: set[int] | None = None
        """Numbers of drops that were heeded; None before the first look."""
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._told_away = False

    searches = True

    def follow(self, follower: Follower) -> None:
        self._tasks = [
            asyncio.create_task(self._write_on(), name="answers to postgres"),
            asyncio.create_task(self._hear_on(follower), name="answers from postgres"),
        ]

    async def rows(self, now: float, most: int) -> AsyncIterator[list[AnswerRow]]:
        """None: what is asked for is looked up."""
        none: tuple[list[AnswerRow], ...] = ()
        for rows in none:
            yield rows

    async def get(self, key: Key) -> AnswerRow | None:
        return await self._looked(partial(self._reading.get, key, time.time()), None)

    async def nearest(
        self, around: Key, vector: Any, count: int
    ) -> Sequence[tuple[AnswerRow, float]]:
        asked = partial(self._reading.nearest, around, vector.tolist(), VERSION, count, time.time())
        nothing: Sequence[tuple[AnswerRow, float]] = ()
        return await self._looked(asked, nothing)

    def keep(self, row: AnswerRow) -> None:
        self._outbox.keep(row)

    def drop(self, key: Key) -> None:
        self._outbox.drop(key)

    def evicted(self, key: Key) -> None:
        """The database has room for it."""

    def purge(self, partition: str | None) -> None:
        self._outbox.purge(partition)

    async def close(self) -> None:
        """Writes what is still to be written, unless the database is away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(EVERY_S):
                await self._write()
                await loop.run_in_executor(self._writers, self._writing.close)
        except (DatabaseAway, TimeoutError) as error:
            log.warning("answers are not shared", extra={"cause": str(error)})
        self._readers.submit(self._reading.close)
        self._readers.shutdown(wait=False)
        self._writers.shutdown(wait=False)

    async def _looked(self, ask: Callable[[], _T], otherwise: _T) -> _T:
        now = time.monotonic()
        if now < self._rests_until or self._looking >= MOST_LOOKING:
            return otherwise
        self._looking += 1
        work = asyncio.get_running_loop().run_in_executor(self._readers, ask)
        work.add_done_callback(self._looked_one)
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.shield(work)
        except (DatabaseAway, TimeoutError) as error:
            self._rests_until = now + REST_S
            self._tell_away(error)
            return otherwise

    def _looked_one(self, work: asyncio.Future[Any]) -> None:
        self._looking -= 1
        if not work.cancelled():
            work.exception()  # who asked may be gone: it is not to be told of as forgotten

    async def _write_on(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self._write()
            except DatabaseAway as error:
                self._tell_away(error)
                self._told.set()
                await asyncio.sleep(EVERY_S)
            except Exception:
                log.exception("a fault of our own")

    async def _write(self) -> None:
        """Raises DatabaseAway; what could not be written waits."""
        await self._outbox.send(self._purge, self._change)

    async def _purge(self, partition: str | None) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writers, self._writing.purge, partition)

    async def _change(self, part: Sequence[Change]) -> None:
        kept = [(row, _numbers(row)) for _, row in part if row is not None]
        dropped = [key for key, row in part if row is None]
        change = partial(self._writing.change, kept, dropped, time.time())
        await asyncio.get_running_loop().run_in_executor(self._writers, change)

    async def _hear_on(self, follower: Follower) -> None:
        while True:
            try:
                await self._hear(follower)
                self._told_away = False
            except DatabaseAway as error:
                self._tell_away(error)
            except Exception:
                log.exception("a fault of our own")
            await asyncio.sleep(EVERY_S)

    async def _hear(self, follower: Follower) -> None:
        """Raises DatabaseAway."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        drops = await loop.run_in_executor(self._writers, self._writing.drops)
        if self._heard is None or now - self._heard_at > DROPS_KEPT_S / 2:
            follower.purged_elsewhere(None)
            self._heard = {number for number, _ in drops}
        for number, (partition, exact) in drops:
            if number in self._heard:
                continue
            if exact:
                follower.dropped_elsewhere((partition, exact))
            else:
                follower.purged_elsewhere(partition or None)
        self._heard = {number for number, _ in drops}
        self._heard_at = now

    def _tell_away(self, error: Exception) -> None:
        if not self._told_away:
            self._told_away = True
            cause = str(error) or "it took too long"
            log.warning("kept answers cannot be shared by postgres", extra={"cause": cause})


def _numbers(row: AnswerRow) -> Sequence[float] | None:
    """Of its vector, which is little-endian."""
    if row.vector is None:
        return None
    return array.array("f", row.vector)
