"""What a worker learns about kept answers, keeps in a file, and hears from the other workers."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from headrace.data.database import DatabaseAway
from headrace.data.feedback_file import Claim, FeedbackRows, FoundOut, Row
from headrace.gateway.cache.asking import Asked
from headrace.gateway.cache.bound import KINDS, Bound, Opinion, Sighting
from headrace.gateway.cache.entries import Entry
from headrace.gateway.cache.regions import Regions

log = logging.getLogger("headrace.cache")

_CALL = re.compile(r"[A-Za-z0-9-]{8,64}\Z")
POLL_S = 1.0
"""From one look at what other workers found out to the next."""
MOST_KNOWN = 100_000
"""Rows of others that are remembered, lest one that comes by file and by exchange counts twice."""
EXACT = "exact"
"""The kind of an answer that was given to the very same request."""


Hear = Callable[[Row], Awaitable[None]]


class Exchange(Protocol):
    """Among workers of several hosts. For one event loop."""

    def follow(self, hear: Hear) -> None:
        """`hear` gets all that was told, from the first on, one's own too."""
        ...

    def tell(self, row: Row) -> None:
        """To all others, behind the calls."""
        ...


class Learning:
    """For one event loop. `hear` is told of what other workers say of calls and answers."""

    def __init__(
        self,
        file: FeedbackRows | None,
        hear: Hear,
        exchange: Exchange | None = None,
    ) -> None:
        """`file` is that of one host, or a table that all hosts read; else the exchange reaches the
        others."""
        self.bound = Bound()
        self._regions = Regions()
        self._file = file
        self._exchange = exchange
        self._hear = hear
        self._known: OrderedDict[tuple[str, float, bytes], None] = OrderedDict()
        self._name = os.urandom(8).hex()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-feedback")
        self._last = 0
        self._polling: asyncio.Task[None] | None = None
        self.found_out: Counter[tuple[str, bool]] = Counter()
        """By source, and whether it was right; of this worker's life, all workers' together."""

    def start(self) -> None:
        """Takes what the file holds, then goes on to look into it."""
        if self._file is not None and self._polling is None:
            self._polling = asyncio.create_task(self._poll(self._file), name="cache feedback")
        if self._exchange is not None:
            self._exchange.follow(self._take)

    def opinion(
        self, asked: Asked, entry: Entry, reason: str, cosine: float, most_wrong: float
    ) -> tuple[Sighting, Opinion]:
        """Of an entry that might be given. `reason` is the guard's."""
        region = -1
        if asked.vector is not None:
            region = self._regions.of(asked.partition, asked.vector)
        kind = KINDS.get(reason, reason)
        pair = Sighting(asked.partition, region, asked.exact, entry.key[1], kind, cosine)
        return pair, self.bound.opinion(pair, most_wrong)

    async def find_out(self, pair: Sighting, vector: Any, right: bool, source: str) -> None:
        """Takes what was found out, at once; returns when it is on the disk."""
        data = None if vector is None else vector.tobytes()
        row = FoundOut(
            self._name, time.time(), pair.partition, pair.asked, pair.kept, pair.kind, pair.cosine,
            data, right, source,
        )  # fmt: skip
        self._learn(row, vector)
        await self._write(row)

    async def claim(self, call: str, tenant: str | None, right: bool) -> bool:
        """Leaves it to the worker that remembers the call; False if nobody would hear of it."""
        if (self._file is None and self._exchange is None) or not _CALL.match(call):
            return False
        await self._write(Claim(self._name, time.time(), call, tenant, right))
        return True

    async def close(self) -> None:
        """Idempotent."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)

    def _learn(self, row: FoundOut, vector: Any) -> None:
        region = -1 if vector is None else self._regions.begin(row.partition, vector)
        pair = Sighting(row.partition, region, row.asked, row.kept, row.kind, row.cosine)
        self.bound.learn(pair, row.right, row.at)
        self.found_out[row.source, row.right] += 1

    async def _write(self, row: Row) -> None:
        if self._exchange is not None:
            self._exchange.tell(row)
        if self._file is None:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._file.add, row)
        except DatabaseAway as error:
            log.warning("feedback is not kept on disk", extra={"cause": str(error)})

    async def _poll(self, file: FeedbackRows) -> None:
        loop, opened, told = asyncio.get_running_loop(), False, False
        while True:
            try:
                if not opened:
                    await loop.run_in_executor(self._thread, file.open, time.time())
                    opened = True
                rows = await loop.run_in_executor(self._thread, file.since, self._last)
            except DatabaseAway as error:
                rows = []
                if not told:
                    log.warning("feedback cannot be read", extra={"cause": str(error)})
                told = True
            for number, row in rows:
                self._last = number
                await self._take(row)
            if not rows:
                await asyncio.sleep(POLL_S)

    async def _take(self, row: Row) -> None:
        """What another has written."""
        mark = (row.by, row.at, row.call.encode() if isinstance(row, Claim) else row.asked)
        if row.by == self._name or mark in self._known:
            return
        self._known[mark] = None
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        if isinstance(row, FoundOut):
            vector = None if row.vector is None else self._regions.vector(row.vector)
            self._learn(row, vector)
        await self._hear(row)
