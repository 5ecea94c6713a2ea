"""Writes what the cache keeps and drops to its file, behind the calls and in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from headrace.data.answer_file import AnswerFile, AnswerRow

Key = tuple[str, bytes]
MOST_WAITING = 1_000
"""More than so many answers that the disk has not taken, and the newest are not kept there."""


class Shelf:
    """One file's changes, in order. For one event loop."""

    def __init__(self, file: AnswerFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-file")
        self._waiting: dict[Key, AnswerRow | None] = {}
        self._running: asyncio.Task[None] | None = None

    def load(self, now: float, most: int) -> list[AnswerRow]:
        """Blocks: before there are calls."""
        return self._thread.submit(self._file.load, now, most).result()

    def keep(self, row: AnswerRow) -> None:
        """Takes an answer to be written."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[row.partition, row.exact] = row
            self._start()

    def drop(self, key: Key) -> None:
        """Takes one to be deleted."""
        self._waiting[key] = None
        self._start()

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
