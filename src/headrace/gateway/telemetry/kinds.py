"""Finds what calls have alike: once for each call, by all that differs from one kind of call to
another, for whoever counts or tells it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.data.records import Settlement
from headrace.gateway.telemetry.call_lines import CallLines
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.kind import Kind
from headrace.gateway.telemetry.meters import Meters

MOST_KINDS = 1_000
"""That are remembered, beside those of the calls that were last asked for. Names of models may be a
client's."""


class Kinds:
    """Used by the event loop alone."""

    def __init__(self, meters: Meters | None, lines: CallLines | None) -> None:
        self._meters = meters
        self._lines = lines
        self._known: dict[tuple[object, ...], Kind] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, calls: Sequence[Ended]) -> list[Kind]:
        """In the same order. They hold until it is asked again."""
        if len(self._known) >= MOST_KINDS:
            self.forget()
        found, known = [], self._known
        for row, _, _ in calls:
            key = (
                row.model, row.key, row.backend, row.status, row.finish, row.answered_by,
                row.attempts, row.operation, row.tenant, row.team, row.user, row.stream,
                row.reason, row.usage_source,
            )  # fmt: skip
            found.append(known.get(key) or self._new(key, row))
        return found

    def forget(self) -> None:
        """Other names, or other secrets in them, may be known now."""
        self._known.clear()
        if self._meters is not None:
            self._meters.forget()

    def _new(self, key: tuple[object, ...], row: Settlement) -> Kind:
        kind = self._known[key] = Kind()
        if self._meters is not None:
            kind.tally = self._meters.tally_of(row)
        if self._lines is not None:
            kind.before, kind.after = self._lines.pieces_of(row)
        return kind
