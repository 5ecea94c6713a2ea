"""A port beside the gateway's, served by a process of its own: how the gateway keeps the process,
and how the process opens the port and says that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable

from headrace.errors import Setup
from headrace.platform import child_process
from headrace.platform.child_process import Backoff, stop_with_parent

READY = b"ready "
"""Before the port's number, on standard output."""


class PortProcess:
    """Serves until `stop`, started again whenever it ends."""

    def __init__(self, module: str, what: str, log: logging.Logger, stop_grace_s: float) -> None:
        """`what` it is, for whoever reads the log."""
        self._module = module
        self._what = what
        self._log = log
        self._stop_grace_s = stop_grace_s
        self._order = b""
        """What the next start is told."""
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, order: Callable[[int | None], bytes]) -> int:
        """Returns the port when it serves. `order` gives what a start is told: none at first, then
        the port that it had, for whoever was told of it looks for it there. Raises Setup."""
        self._order = order(None)
        port = await self._spawn()
        self._order = order(port)
        self._keeper = asyncio.create_task(self._keep(), name=self._what)
        return port

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
        await child_process.ended(process, self._stop_grace_s)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            process = self._process
            code = None if process is None else await process.wait()
            backoff.ran(began, loop.time())
            extra = {"detail": f"exit {code}"}
            self._log.error(f"{self._what} ended, starting it again", extra=extra)
            await backoff.wait()
            try:
                await self._spawn()
            except Setup as fault:
                self._log.error(f"{self._what} cannot start", extra={"detail": str(fault)})

    async def _spawn(self) -> int:
        process = await child_process.spawn(self._module)
        self._process = process
        assert process.stdout is not None
        await child_process.give_order(process, self._order)
        line = await process.stdout.readline()
        if not line.startswith(READY):
            code = await process.wait()
            what = self._what[:1].upper() + self._what[1:]
            raise Setup(
                f"{what} ended before it could serve (exit {code}).", "What it said stands above."
            )
        return int(line.removeprefix(READY))


def url_of(host: str, port: int, *, tls: bool) -> str:
    """For a program on this machine, without a path."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"{'https' if tls else 'http'}://{named}:{port}"


# In the process


def listener(host: str, port: int, what: str, setting: str) -> socket.socket:
    """Bound, and not listening yet. Raises Setup, which names the setting of the port."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        raise Setup(
            f"{what} cannot listen on {host}:{port}: {error.strerror}.",
            f"Choose another `{setting}` in headrace.yaml, or stop what uses it.",
        ) from error
    return made


def serves(on: socket.socket, stop: Callable[[], None]) -> None:
    """Says so, and that `stop` is called at a signal or when the gateway is gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    threading.Thread(target=stop_with_parent, args=(stop,), daemon=True).start()
    os.write(1, READY + str(on.getsockname()[1]).encode() + b"\n")
