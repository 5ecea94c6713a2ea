"""How this process starts and ends the others: a module of ours with its order on stdin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable

from headrace.errors import Setup

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STEADY_S = 30.0
"""One that ran for so long did not fail at its start."""


class Backoff:
    """How long to wait before one that ended is started again. `began` and `now` are seconds of
    one clock."""

    def __init__(self) -> None:
        self._next_s = FIRST_BACKOFF_S

    def ran(self, began: float, now: float) -> None:
        """It ended."""
        if now - began > STEADY_S:
            self._next_s = FIRST_BACKOFF_S

    async def wait(self) -> None:
        """Each time twice as long, up to a bound."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, LONGEST_BACKOFF_S)
        await asyncio.sleep(wait_s)


async def spawn(module: str, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """Starts a module with this interpreter and a pipe to its stdin. Raises Setup."""
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, stdin=asyncio.subprocess.PIPE, stdout=stdout
        )
    except OSError as error:
        raise Setup(
            f"Another process cannot be started: {error}.",
            "See how many processes, open files and how much memory this user may have.",
        ) from error


async def give_order(process: asyncio.subprocess.Process, order: bytes) -> None:
    """One line. One that has ended already is found by waiting for it."""
    assert process.stdin is not None
    # uvloop says RuntimeError of a pipe whose reader's end was seen already.
    with contextlib.suppress(ConnectionError, RuntimeError):
        process.stdin.write(order + b"\n")
        await process.stdin.drain()


async def ended(process: asyncio.subprocess.Process, limit_s: float) -> None:
    """Waits for it to end, and kills it after `limit_s`."""
    try:
        await asyncio.wait_for(process.wait(), limit_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def stop_with_parent(stop: Callable[[], None]) -> None:
    """The parent's end of the pipe closes however it dies: this process never outlives it."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop()
