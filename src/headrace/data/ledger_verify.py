"""Compares the ledger with itself and with the journal: its hash chains, its sums, and that all
that the journal still holds is in it.

A chain shows a row that was changed, taken out or put in. Of the last rows it does not show that
they were cut off along with the chain's end, unless the journal still has them or another copy of
the end is kept: `headrace ledger verify --json` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from headrace.data.database import Database, DatabaseDamaged, Row
from headrace.data.ledger_rows import first_hash, next_hash, row_of
from headrace.data.ledger_savings import CUT_OFF, GIVEN_AGAIN
from headrace.data.ledger_sums import OfRows
from headrace.data.ledger_tables import COLUMNS, EACH, MODELS, SAVED, Rollup
from headrace.data.ledger_usage import OF_ROW
from headrace.data.records import Opening, Settlement
from headrace.data.segments import DRAINED, Place, RunReader, Segment, by_run, segments

PAGE_ROWS = 5_000
MOST_FINDINGS = 100
_ROW = ", ".join(COLUMNS)
_TRIED = COLUMNS.index("tried") - 2
_WRITES = COLUMNS.index("cache_write_tokens") - 2

OnRows = Callable[[int], None]


class ChainEnd(Struct, frozen=True):
    """The end of a chain, to be kept elsewhere."""

    chain: str
    position: int
    hash: str
    """In hex."""


class Report(Struct):
    """What was looked at, and what is wrong with it."""

    rows: int = 0
    journal_calls: int = 0
    """Settlements and orphans of the journal that were compared."""
    lost: int = 0
    """Records that never came out of the journal: files taken away, or a loss of power."""
    ends: list[ChainEnd] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    damaged: bool = False
    """The database is not whole, so that some of it could not be read."""

    def found(self, text: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(text)


def verify(database: Database, folder: Path, on_rows: OnRows) -> Report:
    """`on_rows` is told of progress. Raises DatabaseAway."""
    report = Report()
    try:
        with database.snapshot():
            _verify(database, folder, report, on_rows)
    except DatabaseDamaged as damage:
        report.damaged = True
        report.findings.append(f"what comes after could not be read: {damage}")
    return report


def _verify(database: Database, folder: Path, report: Report, on_rows: OnRows) -> None:
    for chain, name, position, last in database.read(
        "SELECT chain, name, position, hash FROM ledger_chains ORDER BY chain"
    ):
        end = ChainEnd(str(name), int(position or 0), bytes(last).hex())  # type: ignore[arg-type]
        report.ends.append(end)
        _chain(database, int(chain or 0), end, report, on_rows)
    _sums(database, report)
    for name, lost in database.read("SELECT name, lost FROM ledger_runs WHERE lost > 0"):
        report.lost += int(lost or 0)
        report.found(f"run {name!r}: {lost!r} records were lost before they were read")
    _journal(database, folder, report)
    for fault in database.faults():
        report.damaged = True
        report.found(f"the database's file: {fault}")


def _chain(database: Database, chain: int, end: ChainEnd, report: Report, on_rows: OnRows) -> None:
    before, position = first_hash(end.chain), 0
    for row in _rows(database, chain):
        position += 1
        report.rows += 1
        if row[1] != position:
            report.found(f"chain {end.chain}: row {position} is missing, {row[1]!r} follows")
            position = int(row[1] or 0)
        elif next_hash(before, position, row[2:-1]) != row[-1]:
            report.found(f"chain {end.chain}: row {position} was changed: call {row[5]!r}")
        before = bytes(row[-1])  # type: ignore[arg-type]
        if position % PAGE_ROWS == 0:
            on_rows(report.rows)
    if position != end.position:
        report.found(f"chain {end.chain}: it ends at {position}, not {end.position}")
    elif before.hex() != end.hash:
        report.found(f"chain {end.chain}: its end was changed")


def _rows(database: Database, chain: int) -> Iterator[Row]:
    after = 0
    while True:
        page = database.read(
            f"SELECT {_ROW} FROM ledger WHERE chain = ? AND position > ? "  # noqa: S608
            "ORDER BY position LIMIT ?",
            (chain, after, PAGE_ROWS),
        )
        yield from ((*row[:-1], bytes(row[-1])) for row in page)  # type: ignore[arg-type]
        if len(page) < PAGE_ROWS:
            return
        after = int(page[-1][1] or 0)


def _sums(database: Database, report: Report) -> None:
    """The sums by hour against the rows, and those by day against those by hour."""
    (closed,) = database.read("SELECT value FROM ledger_marks WHERE name = 'days'")[0]
    of_rows = _of_rows(database, (OF_ROW,))
    _rollup(database, "sums", EACH, int(closed or 0), of_rows, report)
    _rollup(database, "sums of models", MODELS, int(closed or 0), of_rows, report)
    of_rows = _of_rows(database, (GIVEN_AGAIN, CUT_OFF))
    _rollup(database, "savings", SAVED, int(closed or 0), of_rows, report)


def _rollup(
    database: Database, what: str, rollup: Rollup, closed: int, of_rows: list[int], report: Report
) -> None:
    days = _total(database, rollup.days, rollup.sums)
    past = _total(database, f"{rollup.hours} WHERE hour < {closed * 24}", rollup.sums)
    hours = _total(database, rollup.hours, rollup.sums)
    for at, name in enumerate(rollup.sums):
        if days[at] != past[at]:
            report.found(f"{what}: {name} by day is {days[at]}, by hour {past[at]}")
        if hours[at] != of_rows[at]:
            report.found(f"{what}: {name} by hour is {hours[at]}, the rows have {of_rows[at]}")


def _of_rows(database: Database, kinds: Sequence[OfRows]) -> list[int]:
    totals = []
    for kind in kinds:
        where = f" WHERE {' AND '.join(kind.conditions)}" if kind.conditions else ""
        totals.append(_total(database, f"ledger{where}", kind.sums))
    return list(map(sum, zip(*totals, strict=True)))


def _total(database: Database, table: str, sums: Sequence[str]) -> list[int]:
    columns = ", ".join(f"CAST(COALESCE(SUM({one}), 0) AS BIGINT)" for one in sums)
    return [int(value or 0) for value in database.read(f"SELECT {columns} FROM {table}")[0]]  # noqa: S608


def _journal(database: Database, folder: Path, report: Report) -> None:
    runs = {
        str(name): (int(id or 0), Place(int(segment or 0), int(place or 0)), bool(ended))
        for id, name, segment, place, ended in database.read(
            "SELECT run, name, segment, place, ended FROM ledger_runs"
        )
    }
    for name, files in by_run([*segments(folder), *segments(folder / DRAINED)]):
        if name in runs:
            _run(database, name, runs[name], files, report)


def _run(
    database: Database,
    name: str,
    known: tuple[int, Place, bool],
    files: list[Segment],
    report: Report,
) -> None:
    """All that the journal holds of a run and the store says it has read."""
    id, place, ended = known
    reader = RunReader(name, files[0].path.parent, Place(files[0].number))
    intents: dict[int, list[Opening]] = {}
    more = True
    while more:
        part = reader.read(files)
        beyond = not ended and part.place.segment >= place.segment
        settled = [r for r in part.records if type(r) is Settlement]
        stored = _stored(database, id, [r.number for r in settled])
        for record in part.records:
            if type(record) is Opening:
                intents.setdefault(record.number, []).append(record)
                continue
            assert type(record) is Settlement
            intents.pop(record.number, None)
            row = stored.get(record.number)
            if row is None:
                if not beyond:
                    report.found(f"run {name}: call {record.call} ({record.number}) has no row")
                continue
            report.journal_calls += 1
            if _comparable(row) != _comparable(row_of(id, record, ())):
                report.found(f"run {name}: call {record.call} ({record.number}) has another row")
        reader.place, more = part.place, part.more
    if ended:
        _orphans(database, name, id, sorted(intents), report)


def _orphans(database: Database, name: str, id: int, numbers: list[int], report: Report) -> None:
    stored = _stored(database, id, numbers)
    orphan = COLUMNS.index("orphan") - 2
    for number in numbers:
        if number not in stored:
            report.found(f"run {name}: call {number} was cut off and has no row")
        elif stored[number][orphan] != 1:
            report.found(f"run {name}: call {number} was cut off and is not flagged")
        else:
            report.journal_calls += 1


def _comparable(row: Row) -> Row:
    """Without `tried`, since the intents that it comes from may lie in a file that is no longer
    there, and with tokens written to a cache also where the row is older than their column."""
    return (*row[:_TRIED], *row[_TRIED + 1 : _WRITES], row[_WRITES] or 0, *row[_WRITES + 1 :])


def _stored(database: Database, run: int, numbers: list[int]) -> dict[int, Row]:
    """Rows by number, as `row_of` gives them."""
    found: dict[int, Row] = {}
    columns = ", ".join(COLUMNS[2:-1])
    for at in range(0, len(numbers), 500):
        some = numbers[at : at + 500]
        places = ", ".join("?" * len(some))
        for row in database.read(
            f"SELECT {columns} FROM ledger WHERE run = ? AND number IN ({places})",  # noqa: S608
            (run, *some),
        ):
            found[int(row[1] or 0)] = row
    return found
