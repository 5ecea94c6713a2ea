"""The port of tools beside the gateway: its process, and that it is started again."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from headrace.config.schema import Mcp
from headrace.errors import Setup
from headrace.operate import child_process
from headrace.operate.child_process import Backoff
from headrace.operate.mcp_process import READY
from headrace.operate.worker_process import WorkerOrder, encode_order

log = logging.getLogger("headrace.mcp")

STOP_GRACE_S = 10.0


class ToolPortProcess:
    """Serves tools in a process of its own until `stop`."""

    def __init__(self, mcp: Mcp, order: WorkerOrder) -> None:
        self._mcp = mcp
        self._order = order
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Returns the endpoint's URL when it serves. Raises Setup."""
        port = await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name="mcp")
        scheme = "http" if self._mcp.tls is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._mcp.host, self._mcp.host)  # noqa: S104
        return f"{scheme}://{host}:{port}/mcp"

    async def stop(self) -> None:
        """Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await child_process.ended(process, STOP_GRACE_S)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            process = self._process
            code = None if process is None else await process.wait()
            backoff.ran(began, loop.time())
            extra = {"detail": f"exit {code}"}
            log.error("the port for tools ended, starting it again", extra=extra)
            await backoff.wait()
            try:
                await self._spawn()
            except Setup as fault:
                log.error("the port for tools cannot start", extra={"detail": str(fault)})

    async def _spawn(self) -> int:
        process = await child_process.spawn("headrace.operate.mcp_process")
        self._process = process
        assert process.stdout is not None
        await child_process.give_order(process, encode_order(self._order))
        line = await process.stdout.readline()
        if not line.startswith(READY):
            code = await process.wait()
            raise Setup(
                f"The port for tools ended before it could serve (exit {code}).",
                "What it said stands above.",
            )
        return int(line.removeprefix(READY))
