"""One run of a call's work in a task of its own, which outlives the client that began it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from headrace.gateway.progress import Progress
from headrace.gateway.recording import Recorder
from headrace.gateway.reply import Reply

log = logging.getLogger("headrace.flight")

Work = Callable[[Reply], Coroutine[Any, Any, None]]
"""Answers a call to its end and settles it."""


class Flight:
    """The work goes on while someone follows it, and `keep_running_s` longer. Then it is
    cancelled, which closes its upstream."""

    __slots__ = ("_begun", "_keep_running_s", "_on_end", "_task", "_timer", "recorder", "successor")

    def __init__(
        self,
        work: Work,
        limit_bytes: int,
        on_end: Callable[[Flight], None],
        keep_running_s: float = 0.0,
    ) -> None:
        """`on_end` is called once: when it is over, or before it is cancelled since nobody is
        left, so that nobody joins it any more."""
        self.recorder = Recorder(limit_bytes)
        self.successor: Flight | None = None
        """Who took its place after it died under its followers."""
        self._keep_running_s = keep_running_s
        self._on_end: Callable[[Flight], None] | None = on_end
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._task = asyncio.get_running_loop().create_task(self._run(work))
        self._task.add_done_callback(self._ended)

    async def follow(self, reply: Reply, progress: Progress, answered_by: str = "") -> None:
        """Hands the answer to one client. Raises Abandoned if the work died before it gave any.

        Cancelled by the client's leaving: the work goes to those who are left.
        """
        self._stop_timer()
        try:
            await self.recorder.follow(reply, progress, answered_by)
        finally:
            if not self.recorder.over and not self.recorder.followers:
                self.recorder.drains = reply.interrupted_by_drain
                if self._keep_running_s and not self.recorder.drains:
                    self._stop_timer()
                    self._timer = asyncio.get_running_loop().call_later(
                        self._keep_running_s, self._task.cancel
                    )
                else:
                    self._leave_registry()
                    await self.cancel()

    async def done(self) -> None:
        """Waits for the work's end, settlement included. Cancelling this does not cancel it."""
        await asyncio.wait({self._task})

    async def cancel(self) -> None:
        """Ends the work and waits until it has settled."""
        if not self._begun:
            await asyncio.sleep(0)  # work that is never begun would never be settled
        self._task.cancel()
        await asyncio.wait({self._task})

    async def drain(self) -> None:
        """Ends the work because the gateway stops: its clients are told so."""
        self.recorder.drains = True
        await self.cancel()

    async def _run(self, work: Work) -> None:
        self._begun = True
        await work(self.recorder)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._stop_timer()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the work of a shared call failed", exc_info=error)
        self._leave_registry()
        self.recorder.abandon()

    def _leave_registry(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
