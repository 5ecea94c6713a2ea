"""Several gateway workers on one port: starts them, starts the dead again, stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket

import msgspec

from headrace.errors import Setup, cannot_listen
from headrace.operate.worker_process import READY, WorkerOrder, encode_order
from headrace.platform import child_process
from headrace.platform.child_process import Backoff

log = logging.getLogger("headrace.workers")

STOP_GRACE_S = 5.0


class Workers:
    """Processes that share the port by SO_REUSEPORT: the kernel spreads connections over them."""

    def __init__(self, order: WorkerOrder) -> None:
        self._order = order
        self._reserved: socket.socket | None = None
        self._processes: set[asyncio.subprocess.Process] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Returns the port when all workers serve. Raises Setup."""
        server = self._order.server
        self._reserved = _reserve(server.host, server.port)
        port: int = self._reserved.getsockname()[1]
        self._order = msgspec.structs.replace(
            self._order, server=msgspec.structs.replace(server, port=port)
        )
        try:
            first = [await self._spawn() for _ in range(server.workers)]
        except BaseException:
            await self.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(process)) for process in first]
        return port

    def hang_up(self) -> None:
        """All reload the configuration."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """All drain and end. Idempotent."""
        for keeper in self._keepers:  # first, so that none starts another
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for process in list(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        limit_s = self._order.server.drain_s + STOP_GRACE_S
        await asyncio.gather(*(self._ended(process, limit_s) for process in list(self._processes)))
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def _ended(self, process: asyncio.subprocess.Process, limit_s: float) -> None:
        await child_process.ended(process, limit_s)
        self._processes.discard(process)

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            code = await process.wait()
            self._processes.discard(process)
            backoff.ran(began, loop.time())
            log.error("a worker ended, starting another", extra={"detail": f"exit {code}"})
            while True:
                await backoff.wait()
                try:
                    process = await self._spawn()
                    break
                except Setup as fault:
                    log.error("a worker cannot start", extra={"detail": str(fault)})

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await child_process.spawn("headrace.operate.worker_process")
        self._processes.add(process)
        assert process.stdout is not None
        await child_process.give_order(process, encode_order(self._order))
        if await process.stdout.readline() != READY:
            code = await process.wait()
            self._processes.discard(process)
            raise Setup(
                f"A worker process ended before it could serve (exit {code}).",
                "What it said stands above.",
            )
        return process


def _reserve(host: str, port: int) -> socket.socket:
    """Binds without listening: takes a free port if none is given, and fails early if the port
    is another's."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as alone:
            # SO_REUSEPORT would let two gateways share the port, each taking calls of the other.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
        reserved = socket.socket(family, kind, proto)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    return reserved
