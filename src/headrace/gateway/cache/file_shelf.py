"""Writes what the cache keeps and drops to its file, behind the calls and in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.data.answer_file import AnswerFile, AnswerRow
from headrace.gateway.cache.shelf import Follower, Key

MOST_WAITING = 1_000
"""More than so many answers that the disk has not taken, and the newest are not kept there."""
READ_AT_ONCE = 500
"""Answers read at a time when it starts: calls go on in between."""


class FileShelf:
    """One file's changes, in order. For one event loop."""

    def __init__(self, file: AnswerFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-file")
        self._waiting: dict[Key, AnswerRow | None] = {}
        self._running: asyncio.Task[None] | None = None
        self._purges = 0

    searches = False

    def follow(self, follower: Follower) -> None:
        """Nobody else is followed: other workers' answers are read at the next start."""

    async def get(self, key: Key) -> AnswerRow | None:
        """None: what is in the file is in memory, or about to be."""
        return None

    async def rows(self, now: float, most: int) -> AsyncIterator[list[AnswerRow]]:
        """The answers that are still good, at most `most` of them, some at a time. None that was
        purged before it is handed out."""
        loop = asyncio.get_running_loop()
        numbers = await loop.run_in_executor(self._thread, self._file.good, now, most)
        for start in range(0, len(numbers), READ_AT_ONCE):
            part = numbers[start : start + READ_AT_ONCE]
            read = -1
            while read != self._purges:
                read = self._purges
                rows = await loop.run_in_executor(self._thread, self._file.read, part)
            yield rows

    async def nearest(
        self, around: Key, vector: Any, count: int
    ) -> Sequence[tuple[AnswerRow, float]]:
        """Nothing: the follower has an index of its own."""
        return ()

    def keep(self, row: AnswerRow) -> None:
        """Takes an answer to be written."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[row.partition, row.exact] = row
            self._start()

    def drop(self, key: Key) -> None:
        """Takes one to be deleted."""
        self._waiting[key] = None
        self._start()

    def evicted(self, key: Key) -> None:
        """It is deleted: memory and file hold the same."""
        self.drop(key)

    def purge(self, partition: str | None) -> None:
        """Takes a partition's answers to be deleted, or all: those of other workers, too."""
        self._purges += 1
        self._thread.submit(self._file.purge, partition)

    async def close(self) -> None:
        """Waits for what is to be written. Idempotent."""
        while self._running is not None:
            await asyncio.wait([self._running])
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)

    def _start(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self._work(), name="cache file")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                changes, self._waiting = self._waiting, {}
                kept = [row for row in changes.values() if row is not None]
                dropped = [key for key, row in changes.items() if row is None]
                await loop.run_in_executor(self._thread, self._file.change, kept, dropped)
        finally:
            self._running = None
