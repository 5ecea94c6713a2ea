"""Adds up what all workers have counted, those included that are no more. Blocks.

Sums never fall while whoever gathers lives: what a worker last said counts on after its death.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.draining import CAUGHT_UP
from headrace.data.segments import segments
from headrace.edge.worker_sockets import ask_each
from headrace.gateway.telemetry.snapshot import Counted, Moment, Snapshot, total

REMEMBERED = 64
"""Workers of which each is known apart; older ones are added up."""


class Gathered(Struct):
    """What is known of a gateway."""

    counted: Counted
    moments: dict[str, Moment]
    """By worker."""
    journal_bytes: int
    ledger_behind_s: float | None
    """Since the ledger last held all settled calls; None before that ever was so."""


class Gatherer:
    """Asks the workers of one gateway. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the store's."""
        self._folder = folder
        self._last: dict[str, Counted] = {}
        self._gone = Counted()
        self._lock = threading.Lock()

    def gather(self) -> Gathered:
        """Raises OSError if a worker does not answer, ValueError if one says what is no answer."""
        with self._lock:
            moments: dict[str, Moment] = {}
            for status, told in ask_each(self._folder, "GET", "/metrics"):
                if status != 200:
                    continue
                said = msgspec.convert(told, Snapshot, strict=False)
                moments[said.worker] = said.now
                self._last.pop(said.worker, None)
                self._last[said.worker] = said.counted
            for status, told in ask_each(self._folder, "GET", "/metrics", names="tools-*.sock"):
                if status == 200:
                    said = msgspec.convert(told, Snapshot, strict=False)
                    self._last.pop(said.worker, None)
                    self._last[said.worker] = said.counted
            while len(self._last) > max(REMEMBERED, len(moments)):
                self._gone.add(self._last.pop(next(iter(self._last))))
            counted = total([self._gone, *self._last.values()])
        return Gathered(counted, moments, self._journal_bytes(), self._behind_s())

    def _journal_bytes(self) -> int:
        size = 0
        for file in segments(self._folder):
            with contextlib.suppress(FileNotFoundError):
                size += file.path.stat().st_size
        return size

    def _behind_s(self) -> float | None:
        try:
            return max(0.0, time.time() - (self._folder / CAUGHT_UP).stat().st_mtime)
        except FileNotFoundError:
            return None
