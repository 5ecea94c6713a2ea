"""Who is told of calls that end: one object that the pipeline knows, None if nobody wants to hear.

Told from the event loop, so that each part does little there and the rest elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection

from headrace.gateway.progress import Progress
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.meters import Meters
from headrace.nouns import Call


class Observer:
    """What a worker measures."""

    def __init__(self, meters: Meters) -> None:
        self.meters = meters

    def settled(self, call: Call, progress: Progress, now: float) -> None:
        """The end of a call, whatever it was. `now` is monotonic seconds."""
        usage = progress.usage_in_all(len(call.body))
        self.meters.settled(call, progress, usage, now)

    def tried(self, attempts: Collection[Go]) -> None:
        """All attempts of a call that met with trouble."""
        self.meters.tried(attempts)

    def refused(self, reason: str) -> None:
        """A request that never became a call."""
        self.meters.refused(reason)
