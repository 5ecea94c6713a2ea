"""Reads single calls out of the ledger, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from headrace.data.database import Database, Value
from headrace.data.ledger_sums import COLUMN_OF
from headrace.data.ledger_tables import HOUR_OF_ROW, HOUR_US

_COLUMNS: Final = (
    "tenant", "team", "user", "key", "model", "backend", "status", "finish", "reason",
)  # fmt: skip
FILTERS: Final = {"call": "call"} | {name: COLUMN_OF[name] for name in _COLUMNS}
"""What calls are searched by, and the column that holds it."""
READ: Final = (
    "settled_us", "chain", "position", "call", "dialect", "operation", "model", "used_model",
    "backend", "region", "tenant", "team", "user_id", "key_id", "status", "finish", "reason",
    "answered_by", "attempts", "tried", "stream", "latency_us", "ttft_us", "input_tokens",
    "output_tokens", "cached_tokens", "reasoning_tokens", "usage_source", "cost_microusd",
    "saved_microusd", "price_version", "tags", "orphan",
)  # fmt: skip

_HOURS: Final = (
    "WITH RECURSIVE hours(hour) AS (SELECT {0} WHERE {0} <= {1} "
    "UNION ALL SELECT hour + 1 FROM hours WHERE hour < {1})"
)
"""Ids of calls are random, so that an index of them all would be written all over the place. The
index has them by hour: an hour's part of it stays in memory while it is written, and to find an id
each hour is looked at."""

Place = tuple[int, int, int]
"""When it was settled (Unix microseconds), and where it is: chain and position."""


class CallRow(Struct, frozen=True, kw_only=True):
    """One call, as the ledger has it. Times are in microseconds, money in micro-dollars."""

    settled_us: int
    chain: int
    position: int
    call: str
    dialect: str
    operation: str
    model: str
    used_model: str | None
    backend: str | None
    region: str | None
    tenant: str
    team: str | None
    user_id: str | None
    key_id: str
    status: int
    finish: str
    reason: str | None
    answered_by: str
    attempts: int
    tried: str | None
    """Backends of all attempts, where there was more than one."""
    stream: int
    latency_us: int
    ttft_us: int | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    usage_source: str
    cost_microusd: int | None
    """None if the price is not known."""
    saved_microusd: int
    price_version: str
    tags: str | None
    orphan: int
    """1 if the gateway died before it could settle the call, which stands at its bound."""

    @property
    def place(self) -> Place:
        return self.settled_us, self.chain, self.position


class Calls:
    """The ledger's reader of calls. Raises DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        where: Mapping[str, str | int],
        tenants: Sequence[str] | None,
        since_us: int,
        until_us: int | None,
        before: Place | None,
        limit: int,
    ) -> list[CallRow]:
        """Calls that match all of `where` (names of `FILTERS`) and were settled from `since_us` to
        before `until_us`, the newest first; only those of `tenants`, if these are named. `before`
        is the place of the last one of the page before."""
        conditions, values = ["settled_us >= ?"], [since_us]
        bound: list[Value] = []
        if until_us is not None:
            conditions.append("settled_us < ?")
            values.append(until_us)
        if before is not None:
            # The first bound is the index's, the second tells apart what came at one instant.
            conditions.append("settled_us <= ?")
            conditions.append("(settled_us < ? OR chain < ? OR (chain = ? AND position < ?))")
            at_us, chain, position = before
            values += [at_us, at_us, chain, chain, position]
        for name, value in where.items():
            conditions.append(f"{FILTERS[name]} = ?")
            bound.append(value)
        if tenants is not None:
            conditions.append(f"tenant IN ({', '.join('?' for _ in tenants) or 'NULL'})")
            bound += tenants
        hours, tables = "", "ledger"
        if "call" in where:
            span = self._hours(since_us, until_us)
            if span is None:
                return []
            hours, tables = _HOURS.format(*span), "hours CROSS JOIN ledger"
            conditions.append(f"{HOUR_OF_ROW} = hours.hour")
        rows = self._database.read(
            f"{hours} SELECT {', '.join(READ)} FROM {tables} WHERE {' AND '.join(conditions)} "  # noqa: S608
            f"ORDER BY settled_us DESC, chain DESC, position DESC LIMIT {int(limit)}",
            [*values, *bound],
        )
        return [CallRow(**dict(zip(READ, row, strict=True))) for row in rows]  # type: ignore[arg-type]

    def _hours(self, since_us: int, until_us: int | None) -> tuple[int, int] | None:
        """The first and the last hour of the span in which there are rows."""
        first, last = self._database.read(
            "SELECT (SELECT MIN(settled_us) FROM ledger), (SELECT MAX(settled_us) FROM ledger)"
        )[0]
        if not isinstance(first, int) or not isinstance(last, int):
            return None
        until_us = last if until_us is None else min(last, until_us)
        return max(first, since_us) // HOUR_US, until_us // HOUR_US
