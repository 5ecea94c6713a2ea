"""Starts the process that writes the ledger, starts it again if it dies, and lets it end last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from headrace.operate.ledger_writer import LAST_WORK_S, WriterOrder, encode_order

log = logging.getLogger("headrace.ledger")

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STEADY_S = 30.0


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
        try:
            await asyncio.wait_for(process.wait(), LAST_WORK_S + 5)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = FIRST_BACKOFF_S
        while True:
            began = loop.time()
            code = await (await self._spawn()).wait()
            if loop.time() - began > STEADY_S:
                backoff_s = FIRST_BACKOFF_S
            log.error("the ledger's writer ended, starting another",
                      extra={"detail": f"exit {code}"})  # fmt: skip
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)

    async def _spawn(self) -> asyncio.subprocess.Process:
        spawned = asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "headrace.operate.ledger_writer",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        self._process = process = await spawned
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(encode_order(self._order) + b"\n")
            await process.stdin.drain()
        return process
