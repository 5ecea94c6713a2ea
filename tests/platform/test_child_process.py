"""Processes that die at any moment are started again; each loop tells their end in its own way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from headrace.config.storing import Store
from headrace.errors import Setup
from headrace.operate.ledger_process import LedgerProcess
from headrace.operate.ledger_writer import WriterOrder
from headrace.platform import child_process
from support.gateway_process import children_that_run

WRITER = "headrace.operate.ledger_writer"
PATIENCE_S = 60.0


Run = Callable[[Coroutine[Any, Any, None]], None]
each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@each_loop
def test_an_order_for_one_that_has_ended_is_dropped(run: Run) -> None:
    async def late() -> None:
        process = await child_process.spawn("this")
        with contextlib.suppress(ProcessLookupError):  # where it ended by itself before
            process.kill()
        await process.wait()
        await asyncio.sleep(0.05)
        await child_process.give_order(process, b"too late")

    run(late())


@each_loop
def test_a_process_that_cannot_be_started_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start() -> None:
        with pytest.raises(Setup, match="cannot be started"):
            await child_process.spawn("this")

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    run(start())


@each_loop
def test_the_ledgers_writer_comes_once_it_can(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(_started_late(tmp_path, monkeypatch))
    assert "the ledger's writer cannot start" in caplog.text


async def _started_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = WriterOrder(str(tmp_path), Store(), None, {}, str(tmp_path), "INFO")
    kept = LedgerProcess(order)
    with monkeypatch.context() as away:
        away.setattr(sys, "executable", "/nowhere/python")
        kept.start()
        await asyncio.sleep(child_process.FIRST_BACKOFF_S / 4)
    end = time.monotonic() + PATIENCE_S
    while not children_that_run(os.getpid(), WRITER):
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
    await kept.stop()
