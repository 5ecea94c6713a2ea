"""What a worker looks after between calls: its load, its limits, and the journal's file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from headrace.data.journal import Journal
from headrace.edge.backlog import Backlog
from headrace.edge.overload import Overload
from headrace.edge.worker_telemetry import WorkerTelemetry
from headrace.gateway.limits.gate import Gate
from headrace.gateway.parts import Parts
from headrace.platform.pressure import EVERY_S

log = logging.getLogger("headrace.worker")

HEAL_BEATS = 40
"""Measurements from one look at the journal's file to the next: two seconds."""


class Upkeep:
    """`beat` is called with each measurement of the gauge; `gate` gives the limits in force."""

    def __init__(
        self,
        parts: Parts,
        journal: Journal,
        backlog: Backlog,
        telemetry: WorkerTelemetry,
        gate: Callable[[], Gate | None],
    ) -> None:
        self._parts = parts
        self._journal = journal
        self._backlog = backlog
        self._telemetry = telemetry
        self._gate = gate
        self.overload: Overload | None = None
        """None until the port is open, before the first beat."""
        self._beats = 0

    def beat(self, lag_s: float, memory_share: float | None) -> None:
        assert self.overload is not None
        self.overload.observe(lag_s, memory_share)
        self._beats += 1
        self._telemetry.beat()
        if self._telemetry.meters is not None:
            self._telemetry.meters.lag(lag_s)
        gate = self._gate()
        if gate is not None:
            gate.sweep()
        if self._beats % HEAL_BEATS == 0:
            self._heal_journal()
            self.overload.tell(HEAL_BEATS * EVERY_S)

    def _heal_journal(self) -> None:
        try:
            self._journal.heal()
            self._backlog.look()
        except OSError as error:
            log.error("the journal is gone", extra={"cause": str(error)})
        with contextlib.suppress(OSError):  # which was logged when it could not be written first
            self._parts.metering.write_owed()
