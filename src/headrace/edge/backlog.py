"""How much of the journal waits for the ledger's store, and what becomes of calls meanwhile."""

from __future__ import annotations

import logging
from pathlib import Path

from headrace.config.storing import Store
from headrace.data.segments import segments
from headrace.gateway.metering import Metering

log = logging.getLogger("headrace.journal")

MIB = 1024 * 1024
ENOUGH = 0.9
"""Calls go on when the journal has shrunk to this share of its limit."""


class Backlog:
    """Looked at now and then: each look lists the folder."""

    def __init__(self, folder: Path, store: Store, metering: Metering) -> None:
        self._folder = folder
        self._limit_bytes = store.journal_limit_mib * MIB
        self._refuses = store.when_full == "refuse"
        self._metering = metering
        self._full = False

    def look(self) -> None:
        """Raises OSError."""
        size = sum(file.path.stat().st_size for file in segments(self._folder))
        if not self._full and size > self._limit_bytes:
            self._full = True
            text = f"{size // MIB} MiB wait for the ledger's store, which is away or too slow"
            then = "calls are refused" if self._refuses else "calls go on"
            log.error("the journal is full", extra={"detail": f"{text}; {then}"})
            if self._refuses:
                self._metering.stopped = text
        elif self._full and size < ENOUGH * self._limit_bytes:
            self._full = False
            self._metering.stopped = None
            log.warning("the journal has room again", extra={"detail": f"{size // MIB} MiB"})
