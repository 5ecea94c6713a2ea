"""Refused authentications for the audit log, so bounded that a flood cannot fill the disk. Pure."""

from __future__ import annotations

from headrace.data.audit_event import AuditEvent

WINDOW_S = 60.0
TOLD = 20
"""Pairs of an address and a cause that are told by themselves in one window."""


class Refusals:
    """The first refusal of an address for a cause is an event at once; how often it came again
    is one more at the end of the window. Past `TOLD` such pairs the rest is counted together. So a
    window makes 2 x TOLD + 1 events at most, and each refusal is in one of them.

    `now` is monotonic seconds.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._again: dict[tuple[str, str], int] = {}
        self._others = 0

    def note(self, ip: str, why: str, now: float) -> AuditEvent | None:
        """One refusal; the event to keep for it, if it is one by itself."""
        if not self._again:
            self._since = now
        again = self._again.get((ip, why))
        if again is not None:
            self._again[ip, why] = again + 1
            return None
        if len(self._again) >= TOLD:
            self._others += 1
            return None
        self._again[ip, why] = 0
        return AuditEvent(action="auth.refused", outcome="refused", ip=ip, detail={"why": why})

    def due(self, now: float) -> list[AuditEvent]:
        """The events of a window that has ended."""
        return self.rest() if self._again and now - self._since >= WINDOW_S else []

    def rest(self) -> list[AuditEvent]:
        """Those of the window so far, which ends by it."""
        events = [
            AuditEvent(
                action="auth.refused",
                outcome="refused",
                ip=ip,
                detail={"why": why, "again": str(again)},
            )
            for (ip, why), again in self._again.items()
            if again
        ]
        if self._others:
            others = {"why": "too many to tell apart", "again": str(self._others)}
            events.append(AuditEvent(action="auth.refused", outcome="refused", detail=others))
        self._again.clear()
        self._others = 0
        return events
