"""Reads the ledger: what was used, by any dimension and period, out of the sums where they do.

Sums by hour answer for whole hours of `DIMENSIONS`; what lies in part of an hour, or asks for a
dimension that has no sums, is added up from the rows themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from headrace.data.database import Database, Value
from headrace.data.ledger_tables import DIMENSIONS, SUMS

HOUR_S = 3600

COLUMN_OF: Final = {
    "tenant": "tenant",
    "team": "team",
    "user": "user_id",
    "key": "key_id",
    "model": "model",
    "backend": "backend",
    "region": "region",
    "used_model": "used_model",
    "dialect": "dialect",
    "operation": "operation",
    "status": "status",
    "finish": "finish",
    "answered_by": "answered_by",
    "reason": "reason",
    "price_version": "price_version",
}
"""What people say, and the column that holds it. Beside these there is `tag:NAME`."""
TAG = "tag:"

OF_ROW: Final = {
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


class UnknownDimension(Exception):  # noqa: N818 - says what was asked
    """There is no such dimension."""


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
        self._database = database

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
        """Sums of calls from `since_s` to before `until_s`, by the dimensions `by`; with `step_s`,
        a multiple of an hour, also by the time (Unix seconds, first of the group) at which each
        step begins. Raises UnknownDimension."""
        for name in (*by, *where):
            if name not in COLUMN_OF and not name.startswith(TAG):
                raise UnknownDimension(name)
        first_hour = -int(-since_s // HOUR_S)
        last_hour = 2**40 if until_s is None else int(until_s // HOUR_S)
        found: dict[tuple[str, ...], list[int]] = {}
        if _has_sums(by, where) and first_hour <= last_hour:
            self._add_sums(found, by, where, first_hour, last_hour, step_s)
            if since_s < first_hour * HOUR_S:
                end_s = first_hour * HOUR_S if until_s is None else min(
                    first_hour * HOUR_S, until_s)  # fmt: skip
                self._add(found, self._from_rows(by, where, since_s, end_s, step_s))
            if until_s is not None and last_hour * HOUR_S < until_s:
                start_s = max(last_hour * HOUR_S, since_s)
                self._add(found, self._from_rows(by, where, start_s, until_s, step_s))
        else:
            self._add(found, self._from_rows(by, where, since_s, until_s, step_s))
        return [
            Line(group, dict(zip(SUMS, sums, strict=True)))
            for group, sums in sorted(found.items())
            if sums[0]
        ]

    def _add_sums(
        self,
        found: dict[tuple[str, ...], list[int]],
        by: Sequence[str],
        where: Mapping[str, str],
        first: int,
        end: int,
        step_s: int,
    ) -> None:
        """From the sums of whole days where they are added up and fit, and of hours."""
        day, last = -(-first // 24), 0
        if step_s % (24 * HOUR_S) == 0 and not any(n.startswith(TAG) for n in (*by, *where)):
            (mark,) = self._database.read("SELECT value FROM ledger_marks WHERE name = 'days'")[0]
            last = min(int(mark or 0), end // 24)
        if day < last:
            self._add(found, self._from_sums(by, where, ("day", day, last), step_s))
            self._add(found, self._from_sums(by, where, ("hour", first, day * 24), step_s))
            first = last * 24
        self._add(found, self._from_sums(by, where, ("hour", first, end), step_s))

    def _from_sums(
        self,
        by: Sequence[str],
        where: Mapping[str, str],
        span: tuple[str, int, int],
        step_s: int,
    ) -> list[tuple[Value, ...]]:
        """`span` is `hour` or `day`, the first and the one after the last."""
        unit, first, end = span
        table, columns = f"ledger_{unit}s", [COLUMN_OF.get(name, "value") for name in by]
        conditions, values = [f"{unit} >= ?", f"{unit} < ?"], [first, end]
        tags = {name for name in (*by, *where) if name.startswith(TAG)}
        texts: list[Value] = []
        if tags:
            table = "ledger_tags"
            conditions.append("tag = ?")
            texts.append(tags.pop().removeprefix(TAG))
        for name, value in where.items():
            conditions.append(f"{COLUMN_OF.get(name, 'value')} = ?")
            texts.append(value)
        if step_s:
            per_step = step_s // (HOUR_S if unit == "hour" else 24 * HOUR_S)
            columns.insert(0, f"{unit} / {per_step} * {step_s}")
        return self._grouped(table, columns, {}, conditions, [*values, *texts])

    def _from_rows(
        self,
        by: Sequence[str],
        where: Mapping[str, str],
        since_s: float,
        until_s: float | None,
        step_s: int,
    ) -> list[tuple[Value, ...]]:
        conditions, values = row_conditions(where, since_s, until_s)
        rows = self._grouped("ledger", row_groups(by, step_s), OF_ROW, conditions, values)
        return [with_tags(row, by, bool(step_s)) for row in rows]

    def _grouped(
        self,
        table: str,
        columns: Sequence[str],
        expressions: Mapping[str, str],
        conditions: Sequence[str],
        values: Sequence[Value],
    ) -> list[tuple[Value, ...]]:
        """All names in the statement are this module's; what users say is bound."""
        sums = ", ".join(f"CAST(COALESCE(SUM({expressions.get(n, n)}), 0) AS BIGINT)" for n in SUMS)
        groups = ", ".join(columns)
        grouping = f"GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}"
        return self._database.read(
            f"SELECT {groups + ', ' if columns else ''}{sums} FROM {table} "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} {grouping if columns else ''}",
            values,
        )

    @staticmethod
    def _add(found: dict[tuple[str, ...], list[int]], rows: Sequence[tuple[Value, ...]]) -> None:
        for row in rows:
            group = tuple("" if value is None else str(value) for value in row[: -len(SUMS)])
            sums = [value for value in row[-len(SUMS) :] if isinstance(value, int)]
            before = found.get(group)
            found[group] = (
                sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
            )


def _has_sums(by: Sequence[str], where: Mapping[str, str]) -> bool:
    names = {*by, *where}
    tags = {name for name in names if name.startswith(TAG)}
    if tags:
        return len(tags) == 1 and names - tags <= {"tenant"}
    return {COLUMN_OF[name] for name in names} <= {*DIMENSIONS}


def row_conditions(
    where: Mapping[str, str], since_s: float, until_s: float | None
) -> tuple[list[str], list[Value]]:
    """Which rows: conditions of a statement, and the values that are bound to them."""
    conditions, values = ["settled_us >= ?"], [int(since_s * 1e6)]
    if until_s is not None:
        conditions.append("settled_us < ?")
        values.append(int(until_s * 1e6))
    texts: list[Value] = []
    for name, value in where.items():
        if name.startswith(TAG):
            conditions.append("tags LIKE ? ESCAPE '!'")
            texts.append(_like(name.removeprefix(TAG), value))
        else:
            conditions.append(f"COALESCE(CAST({COLUMN_OF[name]} AS TEXT), '') = ?")
            texts.append(value)
    return conditions, [*values, *texts]


def row_groups(by: Sequence[str], step_s: int) -> list[str]:
    """The columns by which rows are put together, the step's first."""
    columns = ["tags" if name.startswith(TAG) else COLUMN_OF[name] for name in by]
    if step_s:
        columns.insert(0, f"settled_us / {step_s * 1_000_000} * {step_s}")
    return columns


def _like(tag: str, value: str) -> str:
    """A pattern for the JSON text of tags that holds this one."""
    text = msgspec.json.encode((tag, value)).decode()
    for special in "!%_":
        text = text.replace(special, "!" + special)
    return f"%{text}%"


def with_tags(row: tuple[Value, ...], by: Sequence[str], stepped: bool) -> tuple[Value, ...]:
    """The value of the tag that is asked for, in place of all tags."""
    if not any(name.startswith(TAG) for name in by):
        return row
    groups = list(row)
    for at, name in enumerate(by, start=int(stepped)):
        if name.startswith(TAG):
            text = row[at]
            tags = dict(msgspec.json.decode(text)) if isinstance(text, str) else {}
            groups[at] = tags.get(name.removeprefix(TAG), "")
    return tuple(groups)
