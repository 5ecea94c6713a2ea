"""Counts calls of tools as they end, by key and tool. Names are the operator's own, and few; past
a bound the rest is `other`."""

from __future__ import annotations

from headrace.gateway.telemetry.snapshot import ToolUse

OTHER = "other"
MOST_SERIES = 5_000


class ToolMeters:
    """One process's. Used by its event loop alone."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], ToolUse] = {}

    def ended(self, key: str, tool: str, outcome: str, took_s: float) -> None:
        """A call of an existing tool. `outcome` is ok, error, timeout, away or refused."""
        name = (key, tool)
        if name not in self._uses and len(self._uses) >= MOST_SERIES:
            name = (OTHER, OTHER)
        use = self._uses.setdefault(name, ToolUse(*name))
        use.outcomes[outcome] = use.outcomes.get(outcome, 0) + 1
        use.seconds += took_s

    def uses(self) -> list[ToolUse]:
        """Not a copy."""
        return list(self._uses.values())
