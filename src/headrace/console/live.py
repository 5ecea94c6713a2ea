"""One sampler for all who watch: it asks the workers now and then, renders once, and every open
page gets the same. So twenty tabs cost the workers what one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from headrace.console.readings import Now, Readings
from headrace.edge.gathering import Gatherer

log = logging.getLogger("headrace.console")

WATCHED_EVERY_S = 2.0
UNWATCHED_EVERY_S = 10.0
"""So that the charts have a past when somebody comes back."""
FRESH_S = 3.0


class Live:
    """Rests until somebody looks for the first time. For the loop's thread."""

    def __init__(
        self, folder: Path, render: Callable[[Now | None], dict[str, str]], every_s: float
    ) -> None:
        """`folder` is the store's. `render` gives HTML by the name of its place; None is what it
        gets while the workers do not answer."""
        self._gatherer = Gatherer(folder)
        self._readings = Readings()
        self._render = render
        self._every_s = every_s
        self._latest: Now | None = None
        self._event = ""
        self._taken_at = 0.0
        """When the workers were last asked, in the seconds that pages have in `data-at`."""
        self._watchers = 0
        self._tick: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._taking = asyncio.Lock()
        self._stopped = False

    async def now(self) -> Now | None:
        """What is so, seconds old at most; None if the workers do not answer."""
        self._begin()
        if self._latest is None or time.monotonic() - self._latest.at > FRESH_S:
            await self._take()
        return self._latest

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events, one for each look, until `stop`."""
        self._begin()
        self._watchers += 1
        if self._watchers == 1:
            self._woken.set()
        try:
            while not self._stopped:
                tick = self._tick
                if self._event:
                    yield self._event
                if tick is not None and tick is self._tick:
                    await asyncio.shield(tick)
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._event = ""  # it is old when the next one comes

    def stop(self) -> None:
        """Ends all streams."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        if self._tick is not None and not self._tick.done():
            self._tick.set_result(None)

    def _begin(self) -> None:
        if self._task is None and not self._stopped:
            self._tick = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(), name="console")

    async def _run(self) -> None:
        while True:
            await self._take()
            if self._watchers:
                self._tell()
            every_s = self._every_s if self._watchers else max(UNWATCHED_EVERY_S, self._every_s)
            with contextlib.suppress(TimeoutError):  # who begins to watch ends the slow turn
                await asyncio.wait_for(self._woken.wait(), every_s)
            self._woken.clear()

    async def _take(self) -> None:
        async with self._taking:
            latest = self._latest
            if latest is not None and time.monotonic() - latest.at < self._every_s / 2:
                return
            self._taken_at = time.monotonic()
            try:
                gathered = await run_in_threadpool(self._gatherer.gather)
            except (OSError, ValueError) as error:
                log.warning("console: the workers did not answer", extra={"cause": str(error)})
                self._latest = None
                return
            self._latest = (
                self._readings.take(gathered, time.monotonic()) if gathered.moments else None
            )

    def _tell(self) -> None:
        parts = self._render(self._latest)
        self._event = f"event: parts\nid: {self._taken_at:.3f}\ndata: {json.dumps(parts)}\n\n"
        before, self._tick = self._tick, asyncio.get_running_loop().create_future()
        if before is not None and not before.done():
            before.set_result(None)
