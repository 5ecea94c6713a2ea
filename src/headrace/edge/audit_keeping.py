"""The audit log of one worker: what the port refuses goes in, checkpoints and the disk in time."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
from headrace.data.audit_refusals import Refusals
from headrace.errors import Refused

log = logging.getLogger("headrace.audit")

BEAT_S = 5.0


class AuditKeeping:
    """Refused authentications are told, bounded as `Refusals` says. A log that cannot be written
    refuses nobody who is right, so it is an error of the log alone."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self.log = AuditLog(folder)
        self._refusals = Refusals()

    def refused(self, ip: str, refused: Refused) -> None:
        """A credential was refused."""
        event = self._refusals.note(ip, refused.cause or refused.detail, time.monotonic())
        if event is not None:
            self._append(event)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            for event in self._refusals.due(time.monotonic()):
                self._append(event)
            try:
                await asyncio.to_thread(self.log.settle)
            except OSError as error:
                log.error("the audit log cannot be written", extra={"cause": str(error)})

    def close(self) -> None:
        for event in self._refusals.rest():
            self._append(event)
        try:
            self.log.close()
        except OSError as error:
            log.error("the audit log cannot be written", extra={"cause": str(error)})

    def _append(self, event: AuditEvent) -> None:
        try:
            self.log.append(event)
        except OSError as error:
            log.error("an audit event is lost", extra={"cause": str(error)})
