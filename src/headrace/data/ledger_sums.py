"""Adds up the ledger by any dimensions and period, out of its sums where they do.

Sums by hour and day answer for whole hours of a rollup's dimensions; what lies in part of an hour,
or asks for a dimension that has no sums, is added up from the rows themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from headrace.data.database import Database, Value
from headrace.data.ledger_tables import Rollup

HOUR_S: Final = 3600
DAY_HOURS: Final = 24

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
TAG: Final = "tag:"

Groups = dict[tuple[str, ...], list[int]]
"""Sums by what their calls have in common."""


class UnknownDimension(Exception):  # noqa: N818 - says what was asked
    """There is no such dimension."""


class Question(Struct, frozen=True):
    """Calls from `since_s` to before `until_s` (Unix seconds) that match all of `where`, by the
    dimensions `by`; with `step_s`, a multiple of an hour, also by the time (Unix seconds, first of
    the group) at which each step begins."""

    by: Sequence[str]
    where: Mapping[str, str]
    since_s: float
    until_s: float | None
    step_s: int = 0

    @property
    def names(self) -> set[str]:
        """Dimensions that it is about."""
        return {*self.by, *self.where}

    @property
    def tags(self) -> set[str]:
        return {name for name in self.names if name.startswith(TAG)}


class OfRows(Struct, frozen=True):
    """How rows count. All text is the program's own."""

    sums: tuple[str, ...]
    """Expressions of a row's columns, in the order of the rollups' sums."""
    conditions: tuple[str, ...] = ()
    """Which rows count."""
    groups: tuple[str, ...] = ()
    """What they are put together by beside what is asked for, in the order of `Kind.groups`."""


class Kind(Struct, frozen=True):
    """What is added up, and where that was done before."""

    rollups: tuple[Rollup, ...]
    """Those of fewer rows first."""
    rows: tuple[OfRows, ...]
    groups: tuple[str, ...] = ()
    """Dimensions of the rollups by which sums are always apart."""
    tags: str | None = None
    """The table with sums by hour, tenant and one tag."""


class Adding:
    """Reads sums of one kind. Raises DatabaseAway."""

    def __init__(self, database: Database, kind: Kind) -> None:
        self._database = database
        self._kind = kind

    def groups(self, question: Question) -> Groups:
        """Raises UnknownDimension."""
        for name in (*question.by, *question.where):
            if name not in COLUMN_OF and not name.startswith(TAG):
                raise UnknownDimension(name)
        since_s, until_s = question.since_s, question.until_s
        first = -int(-since_s // HOUR_S)
        end = 2**40 if until_s is None else int(until_s // HOUR_S)
        found: Groups = {}
        if first > end or not self._has_sums(question):
            self._add_rows(found, question, since_s, until_s)
            return found
        if question.tags:
            assert self._kind.tags is not None
            self._add_sums(found, question, self._kind.tags, ("hour", first, end))
        else:
            self._add_rollup(found, question, first, end)
        if since_s < first * HOUR_S:
            whole_s = first * HOUR_S
            self._add_rows(
                found, question, since_s, whole_s if until_s is None else min(whole_s, until_s)
            )
        if until_s is not None and end * HOUR_S < until_s:
            self._add_rows(found, question, max(end * HOUR_S, since_s), until_s)
        return found

    def _has_sums(self, question: Question) -> bool:
        tags = question.tags
        if tags:
            found = self._kind.tags is not None and len(tags) == 1
            return found and question.names - tags <= {"tenant"}
        return self._rollup(question) is not None

    def _rollup(self, question: Question) -> Rollup | None:
        columns = {COLUMN_OF[name] for name in question.names}
        return next((r for r in self._kind.rollups if columns <= {*r.dimensions}), None)

    def _add_rollup(self, found: Groups, question: Question, first: int, end: int) -> None:
        """From the sums of whole days where they are added up and fit, and of hours."""
        rollup = self._rollup(question)
        assert rollup is not None
        day, last = -(-first // DAY_HOURS), 0
        if question.step_s % (DAY_HOURS * HOUR_S) == 0:
            (mark,) = self._database.read("SELECT value FROM ledger_marks WHERE name = 'days'")[0]
            last = min(int(mark or 0), end // DAY_HOURS)
        if day < last:
            self._add_sums(found, question, rollup.days, ("day", day, last))
            self._add_sums(found, question, rollup.hours, ("hour", first, day * DAY_HOURS))
            first = last * DAY_HOURS
        self._add_sums(found, question, rollup.hours, ("hour", first, end))

    def _add_sums(
        self, found: Groups, question: Question, table: str, span: tuple[str, int, int]
    ) -> None:
        """`span` is `hour` or `day`, the first and the one after the last."""
        unit, first, end = span
        if first >= end:
            return
        columns = [COLUMN_OF.get(name, "value") for name in question.by]
        conditions, values = [f"{unit} >= ?", f"{unit} < ?"], [first, end]
        texts: list[Value] = []
        for tag in question.tags:
            conditions.append("tag = ?")
            texts.append(tag.removeprefix(TAG))
        for name, value in question.where.items():
            conditions.append(f"{COLUMN_OF.get(name, 'value')} = ?")
            texts.append(value)
        if question.step_s:
            per_step = question.step_s // (HOUR_S if unit == "hour" else DAY_HOURS * HOUR_S)
            columns.insert(0, f"{unit} / {per_step} * {question.step_s}")
        columns += self._kind.groups
        sums = self._kind.rollups[0].sums
        self._add(found, self._grouped(table, columns, sums, conditions, [*values, *texts]))

    def _add_rows(
        self, found: Groups, question: Question, since_s: float, until_s: float | None
    ) -> None:
        conditions, values = _conditions(question.where, since_s, until_s)
        columns = ["tags" if n.startswith(TAG) else COLUMN_OF[n] for n in question.by]
        if question.step_s:
            columns.insert(0, f"settled_us / {question.step_s * 1_000_000} * {question.step_s}")
        for of_rows in self._kind.rows:
            rows = self._grouped(
                "ledger",
                [*columns, *of_rows.groups],
                of_rows.sums,
                [*conditions, *of_rows.conditions],
                values,
            )
            self._add(found, [_with_tags(row, question) for row in rows])

    def _grouped(
        self,
        table: str,
        columns: Sequence[str],
        sums: Sequence[str],
        conditions: Sequence[str],
        values: Sequence[Value],
    ) -> list[tuple[Value, ...]]:
        """All names in the statement are the program's own; what users say is bound."""
        added = ", ".join(f"CAST(COALESCE(SUM({one}), 0) AS BIGINT)" for one in sums)
        groups = ", ".join(columns)
        grouping = f"GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}"
        return self._database.read(
            f"SELECT {groups + ', ' if columns else ''}{added} FROM {table} "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} {grouping if columns else ''}",
            values,
        )

    def _add(self, found: Groups, rows: Sequence[tuple[Value, ...]]) -> None:
        count = len(self._kind.rollups[0].sums)
        for row in rows:
            group = tuple("" if value is None else str(value) for value in row[:-count])
            sums = [value for value in row[-count:] if isinstance(value, int)]
            before = found.get(group)
            found[group] = (
                sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
            )


def _conditions(
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


def _like(tag: str, value: str) -> str:
    """A pattern for the JSON text of tags that holds this one."""
    text = msgspec.json.encode((tag, value)).decode()
    for special in "!%_":
        text = text.replace(special, "!" + special)
    return f"%{text}%"


def _with_tags(row: tuple[Value, ...], question: Question) -> tuple[Value, ...]:
    """The value of the tag that is asked for, in place of all tags."""
    if not any(name.startswith(TAG) for name in question.by):
        return row
    groups = list(row)
    for at, name in enumerate(question.by, start=int(bool(question.step_s))):
        if name.startswith(TAG):
            text = row[at]
            tags = dict(msgspec.json.decode(text)) if isinstance(text, str) else {}
            groups[at] = tags.get(name.removeprefix(TAG), "")
    return tuple(groups)
