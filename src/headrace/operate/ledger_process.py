"""Starts the process that writes the ledger, starts it again if it dies, and lets it end last."""

from __future__ import annotations

import asyncio
import logging

from headrace.errors import Setup
from headrace.operate.ledger_writer import LAST_WORK_S, WriterOrder, encode_order
from headrace.platform import child_process
from headrace.platform.child_process import Backoff

log = logging.getLogger("headrace.ledger")


class LedgerProcess:
    """One writer. Calls do not wait for it: while it is not there, the journal grows."""

    def __init__(self, order: WriterOrder) -> None:
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name="ledger writer")

    async def stop(self) -> None:
        """After the workers: it stores what is left and ends. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            process = await self._spawn()  # for the last of it
        assert process.stdin is not None
        process.stdin.close()
        await child_process.ended(process, LAST_WORK_S + 5)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            try:
                code = await (await self._spawn()).wait()
                log.error("the ledger's writer ended, starting another",
                          extra={"detail": f"exit {code}"})  # fmt: skip
            except Setup as fault:
                log.error("the ledger's writer cannot start", extra={"detail": str(fault)})
            backoff.ran(began, loop.time())
            await backoff.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        nowhere = asyncio.subprocess.DEVNULL
        process = await child_process.spawn("headrace.operate.ledger_writer", nowhere)
        self._process = process
        await child_process.give_order(process, encode_order(self._order))
        return process
