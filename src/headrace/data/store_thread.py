"""What small stores have in common: one database, used by a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.data.database import Database, migrate

T = TypeVar("T")


class StoreThread:
    """Its tables are made when it is first used. All raise DatabaseAway."""

    def __init__(self, database: Database, part: str, steps: Sequence[Sequence[str]]) -> None:
        self._database = database
        self._part = part
        self._steps = steps
        self._made = False
        self._thread = ThreadPoolExecutor(1, part)

    async def run(self, work: Callable[[], T]) -> T:
        """`work` on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def ready(self) -> Database:
        """For the thread alone."""
        if not self._made:
            migrate(self._database, self._part, self._steps)
            self._made = True
        return self._database

    async def close(self) -> None:
        await self.run(self._database.close)
        self._thread.shutdown(wait=False)
