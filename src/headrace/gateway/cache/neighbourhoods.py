"""Which questions are near another, each looked for among those that may share its answer.

Every neighbourhood has vectors of its own, so that a question of another partition, history or
model cannot even be found. All work is done in one thread, in the order in which it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from headrace.errors import install_extra
from headrace.gateway.cache.neighbours import Found, Growing, Neighbours, graphs

log = logging.getLogger("headrace.cache")

Key = tuple[str, bytes]
MOST_WAITING = 32
"""More look-ups than so many, and a call is answered without."""
MOST_EXACT = 65_536
"""Where there is no graph: a look at each takes some ten milliseconds then, and what comes later
is found word by word alone."""
MOVED_AT_ONCE = 4
"""Vectors moved into a graph while a look-up may wait: about a millisecond each in a large one."""
MOST_BEHIND = 1_024
"""Who has many to add waits while more than so many are still to be added."""


class _Change(NamedTuple):
    around: Key
    label: int
    vector: Any
    """None to take it out."""


class Neighbourhoods:
    """For one event loop, which is never held up."""

    def __init__(self, graph: Callable[[int], Neighbours] | None = None) -> None:
        """`graph` makes an index of many vectors; else what is installed does."""
        self._graph = graph or graphs()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-index")
        self._sizes: dict[Key, int] = {}
        self._changes: list[_Change] = []
        self._behind = 0
        """Changes and moves into graphs that are still to be made."""
        self._looking = 0
        self._running: asyncio.Task[None] | None = None
        self._places: dict[Key, Growing] = {}
        """Of the thread alone."""
        self._unsettled: dict[Key, None] = {}
        """Of the thread alone: where vectors are to be moved into a graph."""
        self._crowded = False
        self.skipped = 0

    def __contains__(self, around: Key) -> bool:
        """Whether there is any vector."""
        return around in self._sizes

    def add(self, around: Key, label: int, vector: Any) -> bool:
        """False if there is no room for it. `label` is new, in all neighbourhoods."""
        size = self._sizes.get(around, 0)
        if self._graph is None and size >= MOST_EXACT:
            self._tell_crowded()
            return False
        self._sizes[around] = size + 1
        self._change(_Change(around, label, vector))
        return True

    def remove(self, around: Key, label: int) -> None:
        """Takes out what was added."""
        size = self._sizes[around] - 1
        if size:
            self._sizes[around] = size
        else:
            del self._sizes[around]
        self._change(_Change(around, label, None))

    async def nearest(self, around: Key, vector: Any, count: int) -> Found:
        """Labels and cosines, nearest first; of a graph nearly all of them. None of them if too
        many look-ups wait."""
        if around not in self._sizes:
            return []
        if self._looking >= MOST_WAITING:
            self.skipped += 1
            return []
        self._looking += 1
        try:
            look = partial(self._look, self._taken(), around, vector, count)
            return await asyncio.get_running_loop().run_in_executor(self._thread, look)
        finally:
            self._looking -= 1

    async def caught_up(self) -> None:
        """Waits while much is still to be added."""
        while self._running is not None and self._behind > MOST_BEHIND:
            await asyncio.wait([self._running], timeout=0.05)

    async def close(self) -> None:
        """Idempotent."""
        if self._running is not None:
            self._running.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _change(self, change: _Change) -> None:
        self._changes.append(change)
        if self._running is None:
            self._running = asyncio.create_task(self._work(), name="cache index")

    def _taken(self) -> list[_Change]:
        changes, self._changes = self._changes, []
        return changes

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._behind = await loop.run_in_executor(self._thread, self._settle, self._taken())
                if not self._behind and not self._changes:
                    break
        finally:
            self._running = None

    # What follows runs in the thread.

    def _look(self, changes: list[_Change], around: Key, vector: Any, count: int) -> Found:
        self._apply(changes)
        place = self._places.get(around)
        return [] if place is None else place.nearest(vector, count)

    def _settle(self, changes: list[_Change]) -> int:
        """How many vectors are still to be moved."""
        self._apply(changes)
        for _ in range(MOVED_AT_ONCE):
            if not self._unsettled:
                return 0
            around = next(iter(self._unsettled))
            place = self._places.get(around)
            if place is None or not place.settle():
                del self._unsettled[around]
        return sum(self._places[a].unsettled for a in self._unsettled if a in self._places)

    def _apply(self, changes: list[_Change]) -> None:
        for around, label, vector in changes:
            place = self._places.get(around)
            if vector is None:
                if place is not None:
                    place.remove(label)
                    if not len(place):
                        del self._places[around]
                continue
            if place is None:
                place = self._places[around] = Growing(self._graph)
            place.add(label, vector)
            if place.unsettled:
                self._unsettled[around] = None

    def _tell_crowded(self) -> None:
        if not self._crowded:
            self._crowded = True
            text = f"more than {MOST_EXACT:,} questions beside each other; {install_extra('index')}"
            log.warning("the semantic cache needs an index", extra={"detail": text})
