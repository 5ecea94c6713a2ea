"""The ledger's store, for the one process that writes it: each batch of the journal once.

A batch is one transaction: rows, their chain, their sums, how far the journal was read, and which
calls are open. It names the place from which it was read, and is refused if the store is elsewhere:
so a batch whose commit may or may not have come through can be tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from headrace.data.database import Database, Row, Transaction, migrate
from headrace.data.ledger_rows import chained, first_hash
from headrace.data.ledger_tables import COLUMNS, EACH, ROLLUPS, STEPS, SUMS, Rollup
from headrace.data.ledger_totals import Key, Sums, Totals
from headrace.data.records import Opening
from headrace.data.segments import Place

DAY_S = 86_400


class Outrun(Exception):  # noqa: N818 - says what happened
    """The store is not where this writer left it: another has written, or an earlier commit came
    through after all. Read it anew."""


class Run(Struct):
    """What the store knows of a run."""

    id: int
    name: str
    place: Place
    ended: bool


class Batch(Struct):
    """What is to be stored together, after the chain's `position` and `hash` as they were last."""

    chain: int
    position: int
    hash: bytes
    rows: list[Row] = field(default_factory=list)
    """The values of `COLUMNS`."""
    totals: Totals = field(default_factory=Totals)
    moves: list[tuple[Run, Place, bool]] = field(default_factory=list)
    """Runs, where they are read up to now, and whether that is their end."""
    opened: list[tuple[int, Opening]] = field(default_factory=list)
    """Intents without settlement, with the id of their run."""
    closed: list[tuple[int, int]] = field(default_factory=list)
    """Run and number of calls that were open in the store and no longer are."""

    def add(self, rows: Sequence[Row]) -> None:
        """Rows as `row_of` makes them. Few at once, soon after they were made, cost less than all
        at the end: they are still in the processor's caches."""
        stored, self.position, self.hash = chained(self.chain, self.position, self.hash, rows)
        self.rows += stored
        self.totals.add(rows)


class Ledger:
    """Writes one chain. Raises DatabaseAway."""

    def __init__(self, database: Database, chain_name: str) -> None:
        self._database = database
        self._chain_name = chain_name
        self._chain = 0
        self._position = 0
        self._hash = b""
        self.begun = False
        """The store knew nothing of this chain."""
        self._open_day = 2**40
        """Days since 1970, as of the last look: days before this may have been added up."""
        self.runs: dict[str, Run] = {}
        """By name. Those of this chain."""

    def open(self) -> None:
        """Makes or brings up to date the tables and reads where they are. To be called again after
        DatabaseAway or Outrun."""
        migrate(self._database, "ledger", STEPS)
        with self._database.transaction() as transaction:
            self._database.exclusively(transaction)
            self._find_chain(transaction)
            self.runs = {
                str(name): Run(int(id or 0), str(name), Place(*map(_int, place)), bool(ended))
                for id, name, ended, *place in transaction.read(
                    "SELECT run, name, ended, segment, place, next_seq, lost FROM ledger_runs "
                    "WHERE chain = ?",
                    (self._chain,),
                )
            }

    def open_calls(self) -> dict[tuple[int, int], list[Opening]]:
        """Intents that were stored without settlement, by run and number, in order."""
        found: dict[tuple[int, int], list[Opening]] = {}
        for run, number, attempt, text in self._database.read(
            "SELECT o.run, o.number, o.attempt, o.intent FROM ledger_open o JOIN ledger_runs r "
            "ON r.run = o.run WHERE r.chain = ? ORDER BY o.run, o.number, o.attempt",
            (self._chain,),
        ):
            call = (_int(run), _int(number))
            opening = Opening(0, call[1], _int(attempt), bytes(text))  # type: ignore[arg-type]
            found.setdefault(call, []).append(opening)
        return found

    def begin_run(self, name: str) -> Run:
        """Makes a run known that has not been seen before."""
        place = Place()
        with self._database.transaction() as transaction:
            self._database.exclusively(transaction)
            (last,) = transaction.read("SELECT COALESCE(MAX(run), 0) FROM ledger_runs")[0]
            run = Run(_int(last) + 1, name, place, False)
            transaction.run(
                "INSERT INTO ledger_runs "
                "(run, name, chain, segment, place, next_seq, lost, ended) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (run.id, name, self._chain, *_values(place)),
            )
        self.runs[name] = run
        return run

    def batch(self) -> Batch:
        """An empty one that goes on where the chain ends."""
        return Batch(self._chain, self._position, self._hash)

    def commit(self, batch: Batch) -> None:
        """Raises Outrun, DatabaseAway. The batch is stored if this returns, and is not if it
        raises Outrun."""
        with self._database.transaction() as transaction:
            for run, place, ended in batch.moves:
                self._move(transaction, run, place, ended)
            if batch.rows:
                moved = transaction.run(
                    "UPDATE ledger_chains SET position = ?, hash = ? "
                    "WHERE chain = ? AND position = ?",
                    (batch.position, batch.hash, self._chain, self._position),
                )
                if moved != 1:
                    raise Outrun(f"the chain is no longer at {self._position}")
                transaction.insert("ledger", COLUMNS, batch.rows)
                self._add_up(transaction, batch.totals)
            if batch.closed:
                transaction.run_each(
                    "DELETE FROM ledger_open WHERE run = ? AND number = ?", batch.closed
                )
            if batch.opened:
                transaction.insert(
                    "ledger_open",
                    ("run", "number", "attempt", "intent"),
                    [(r, i.number, i.attempt, i.line) for r, i in batch.opened],
                )
        self._position, self._hash = batch.position, batch.hash
        for run, place, ended in batch.moves:
            run.place, run.ended = place, ended

    def close_days(self, now_s: float) -> None:
        """Adds up the days that are over, as of `now_s` in Unix seconds, but for yesterday: calls
        of it may still come, and clocks differ."""
        today = int(now_s // DAY_S)
        with self._database.transaction() as transaction:
            self._database.exclusively(transaction)
            closed, end = _closed(transaction), today - 1
            self._open_day = max(closed, end)
            if closed >= end:
                return
            for rollup in ROLLUPS:
                dimensions, names = ", ".join(rollup.dimensions), ", ".join(rollup.sums)
                sums = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in rollup.sums)
                transaction.run(
                    f"INSERT INTO {rollup.days} (day, {dimensions}, {names}) "  # noqa: S608
                    f"SELECT hour / 24, {dimensions}, {sums} FROM {rollup.hours} "
                    f"WHERE hour >= ? AND hour < ? GROUP BY hour / 24, {dimensions}",
                    (closed * 24, end * 24),
                )
            transaction.run("UPDATE ledger_marks SET value = ? WHERE name = 'days'", (end,))

    def _add_up(self, transaction: Transaction, totals: Totals) -> None:
        found = totals.by_rollup()
        for rollup, sums in found.items():
            _add_sums(transaction, rollup.hours, ("hour", *rollup.dimensions), rollup.sums, sums)
        self._add_to_days(transaction, found)
        key = ("hour", "tenant", "tag", "value")
        _add_sums(transaction, "ledger_tags", key, SUMS, totals.by_tag())

    def _add_to_days(
        self, transaction: Transaction, found: Mapping[Rollup, Mapping[Key, Sums]]
    ) -> None:
        """For calls of days that were added up before they came."""
        if min(_int(key[0]) for key in found[EACH]) // 24 >= self._open_day:
            return
        self._database.exclusively(transaction)
        closed = _closed(transaction)
        for rollup, hours in found.items():
            days = _days(hours, closed)
            _add_sums(transaction, rollup.days, ("day", *rollup.dimensions), rollup.sums, days)

    def _move(self, transaction: Transaction, run: Run, place: Place, ended: bool) -> None:
        before = run.place
        moved = transaction.run(
            "UPDATE ledger_runs SET segment = ?, place = ?, next_seq = ?, lost = ?, ended = ? "
            "WHERE run = ? AND segment = ? AND place = ? AND ended = 0",
            (*_values(place), int(ended), run.id, before.segment, before.offset),
        )
        if moved != 1:
            raise Outrun(f"the run {run.name} was read further by another")

    def _find_chain(self, transaction: Transaction) -> None:
        select = "SELECT chain, position, hash FROM ledger_chains WHERE name = ?"
        found = transaction.read(select, (self._chain_name,))
        if not found:
            self.begun = True
            (last,) = transaction.read("SELECT COALESCE(MAX(chain), 0) FROM ledger_chains")[0]
            transaction.run(
                "INSERT INTO ledger_chains (chain, name, position, hash) VALUES (?, ?, 0, ?)",
                (_int(last) + 1, self._chain_name, first_hash(self._chain_name)),
            )
            found = transaction.read(select, (self._chain_name,))
        chain, position, last_hash = found[0]
        self._chain, self._position = _int(chain), _int(position)
        self._hash = bytes(last_hash)  # type: ignore[arg-type]


def _days(hours: Mapping[Key, Sums], closed: int) -> dict[Key, Sums]:
    """Of days before `closed`."""
    days: dict[Key, Sums] = {}
    for (hour, *rest), sums in hours.items():
        day = _int(hour) // 24
        if day < closed:
            key = (day, *rest)
            before = days.get(key)
            days[key] = (
                sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
            )
    return days


def _add_sums(
    transaction: Transaction,
    table: str,
    key: Sequence[str],
    names: Sequence[str],
    sums: Mapping[Key, Sums],
) -> None:
    """In the order of their keys, so that gateways which share a database and its rows take them
    in one order."""
    if not sums:
        return
    columns = (*key, *names)
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in names)
    transaction.run_each(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}",
        [(*name, *sums[name]) for name in sorted(sums)],
    )


def _closed(transaction: Transaction) -> int:
    """The first day that is not added up."""
    return _int(transaction.read("SELECT value FROM ledger_marks WHERE name = 'days'")[0][0])


def _values(place: Place) -> tuple[int, int, int, int]:
    return place.segment, place.offset, place.next_seq, place.lost


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
