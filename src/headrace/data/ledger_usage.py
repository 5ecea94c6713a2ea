"""Reads the ledger: what was used, by any dimension and period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from headrace.data.database import Database
from headrace.data.ledger_sums import Adding, Kind, OfRows, Question
from headrace.data.ledger_tables import EACH, MODELS, SUMS

_OF_ROW: Final = {
    "calls": "1",
    "failed": "CASE WHEN finish <> 'complete' THEN 1 ELSE 0 END",
    "cost_microusd": "COALESCE(cost_microusd, 0)",
    "unpriced": "CASE WHEN cost_microusd IS NULL THEN 1 ELSE 0 END",
    "estimated": "CASE WHEN usage_source = 'estimated' THEN 1 ELSE 0 END",
    "orphans": "orphan",
    "ttft_us": "COALESCE(ttft_us, 0)",
    "ttft_calls": "CASE WHEN ttft_us IS NOT NULL THEN 1 ELSE 0 END",
    "cache_write_tokens": "COALESCE(cache_write_tokens, 0)",
}
OF_ROW: Final = OfRows(tuple(_OF_ROW.get(name, name) for name in SUMS))
USED: Final = Kind(rollups=(MODELS, EACH), rows=(OF_ROW,), tags="ledger_tags")


class Used(Struct, frozen=True):
    """What counts against a budget."""

    cost_microusd: int
    """Of calls whose price is known."""
    tokens: int
    """Input and output."""


class Line(Struct, frozen=True):
    """What was used by one group."""

    group: tuple[str, ...]
    sums: dict[str, int]


L = TypeVar("L")


class Reader(Protocol[L]):
    """Answers out of the ledger by group."""

    def lines(
        self,
        by: Sequence[str],
        where: Mapping[str, str],
        since_s: float,
        until_s: float | None,
        step_s: int = 0,
    ) -> list[L]: ...


class Usage:
    """The ledger's reader. Raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._adding = Adding(database, USED)

    def used(self, where: Mapping[str, str], since_s: float) -> Used:
        """What calls used that were settled since then (Unix seconds) and match all of `where`,
        such as `{"team": "search"}` or `{"tag:env": "prod"}`. Raises UnknownDimension."""
        lines = self.lines((), where, since_s, None)
        if not lines:
            return Used(0, 0)
        sums = lines[0].sums
        return Used(sums["cost_microusd"], sums["input_tokens"] + sums["output_tokens"])

    def lines(
        self,
        by: Sequence[str],
        where: Mapping[str, str],
        since_s: float,
        until_s: float | None,
        step_s: int = 0,
    ) -> list[Line]:
        """Sums of calls, as `Question` says. Raises UnknownDimension."""
        found = self._adding.groups(Question(by, where, since_s, until_s, step_s))
        return [
            Line(group, dict(zip(SUMS, sums, strict=True)))
            for group, sums in sorted(found.items())
            if sums[0]
        ]
