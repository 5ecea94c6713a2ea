"""The decisions of the last calls that met with trouble, to explain them when they are over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from headrace.gateway.steps import Decision

Told = Callable[[], Sequence[Decision]]


class Stories:
    """Decisions of the last calls by call id; the oldest are forgotten first. They are told only
    when somebody asks."""

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._told: OrderedDict[str, Told] = OrderedDict()

    def keep(self, call_id: str, told: Told) -> None:
        self._told[call_id] = told
        if len(self._told) > self._most:
            self._told.popitem(last=False)

    def of(self, call_id: str) -> Sequence[Decision] | None:
        """None if the call is not known, or no longer."""
        told = self._told.get(call_id)
        return None if told is None else told()
