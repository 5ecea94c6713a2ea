"""What was done to the ledger is found, and where; both databases."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from data.conftest import Databases
from data.test_draining import drain_of, drained, small
from headrace.data.database import Database, migrate
from headrace.data.draining import chain_name
from headrace.data.ledger_rows import encode, first_hash, row_of
from headrace.data.ledger_tables import COLUMNS, STEPS
from headrace.data.ledger_verify import Report, verify
from headrace.data.segments import DRAINED, segments
from support.ledger_records import Scribe, settlement

CALLS = 60
ROWS = 61


def checked(database: Database, folder: Path) -> Report:
    return verify(database, folder, lambda _: None)


@pytest.fixture
def kept(databases: Databases, tmp_path: Path) -> Database:
    """A ledger of whole calls and one that was cut off, its journal's files put away."""
    scribe = Scribe(small(tmp_path))
    for n in range(CALLS):
        scribe.whole(f"call-{n:04}", input_tokens=n, cost_microusd=n or None, user=f"u{n % 3}")
    scribe.intend("call-cut1")
    scribe.journal.close()
    database = databases()
    assert drained(drain_of(tmp_path, database)) == ROWS
    return database


def test_an_untouched_one_fits(kept: Database, tmp_path: Path) -> None:
    report = checked(kept, tmp_path)
    assert report.findings == []
    assert (report.rows, report.journal_calls, report.lost) == (ROWS, ROWS, 0)
    (end,) = report.ends
    assert (end.chain, end.position, len(end.hash)) == (chain_name(tmp_path), ROWS, 64)


def test_one_that_is_being_written_fits(databases: Databases, tmp_path: Path) -> None:
    scribe = Scribe(small(tmp_path))
    for _ in range(20):
        scribe.whole()
    database = databases()
    drain_of(tmp_path, database).turn()
    scribe.intend("call-open")
    scribe.whole("call-late")  # not yet read
    report = checked(database, tmp_path)
    assert report.findings == []
    assert 0 < report.rows <= 20


TAMPERINGS = {
    "a cost": ("UPDATE ledger SET cost_microusd = 1 WHERE position = 30", "row 30 was changed"),
    "an owner": ("UPDATE ledger SET team = 'x' WHERE position = 1", "row 1 was changed"),
    "a flag": ("UPDATE ledger SET orphan = 0 WHERE position = 61", "row 61 was changed"),
    "a row less": ("DELETE FROM ledger WHERE position = 30", "row 30 is missing, 31 follows"),
    "the last row less": ("DELETE FROM ledger WHERE position = 61", "it ends at 60, not 61"),
    "the end": ("UPDATE ledger_chains SET position = 60", "it ends at 61, not 60"),
    "a sum": ("UPDATE ledger_hours SET cost_microusd = cost_microusd + 1", "sums: cost_microusd"),
    "a model's sum": ("UPDATE ledger_model_hours SET calls = 1", "sums of models: calls by hour"),
    "a model's day": (
        "UPDATE ledger_marks SET value = 20000 WHERE name = 'days'",
        "sums of models: calls by day",
    ),
    "a saving": (
        "INSERT INTO ledger_saved_hours VALUES (0, 't', '', '', 'k', 'm', 'b', 'exact', 1, 5, 0)",
        "savings: microusd by hour is 5, the rows have 0",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_changed_is_told(kept: Database, tmp_path: Path, name: str) -> None:
    statement, told = TAMPERINGS[name]
    with kept.transaction() as transaction:
        transaction.run(statement)
    findings = checked(kept, tmp_path).findings
    assert any(told in finding for finding in findings), findings


def test_a_forger_who_mends_the_chain_is_told_by_the_journal(
    kept: Database, tmp_path: Path
) -> None:
    """As far as its files are still there."""
    with kept.transaction() as transaction:
        transaction.run("DELETE FROM ledger WHERE position = 61")
        (last,) = transaction.read("SELECT hash FROM ledger WHERE position = 60")
        transaction.run("UPDATE ledger_chains SET position = 60, hash = ?", last)
    findings = checked(kept, tmp_path).findings
    assert any("was cut off and has no row" in finding for finding in findings)
    for file in segments(tmp_path / DRAINED):
        file.path.unlink()
    assert not any("chain" in finding for finding in checked(kept, tmp_path).findings)


def test_records_that_the_journal_lost_are_told(databases: Databases, tmp_path: Path) -> None:
    scribe = Scribe(small(tmp_path))
    for _ in range(60):
        scribe.whole()
    files = segments(tmp_path)
    files[1].path.unlink()
    scribe.journal.close()
    database = databases()
    drained(drain_of(tmp_path, database))
    report = checked(database, tmp_path)
    assert report.lost > 0
    assert any("were lost before they were read" in finding for finding in report.findings)


def _store_as_before(database: Database, folder: Path) -> None:
    """One call, as it was stored before tokens written to a cache had a column."""
    migrate(database, "ledger", STEPS[:1])
    name, columns = chain_name(folder), (*COLUMNS[:-6], "hash")
    values = row_of(1, settlement(1), ())[:-5]
    digest = hashlib.sha256(first_hash(name) + encode((1, *values))).digest()
    with database.transaction() as transaction:
        transaction.run("INSERT INTO ledger_chains VALUES (1, ?, 1, ?)", (name, digest))
        transaction.run("INSERT INTO ledger_runs VALUES (1, ?, 1, 0, 0, 2, 0, 1)", ("0" * 24,))
        transaction.insert("ledger", columns, [(1, 1, *values, digest)])
        transaction.run(
            "INSERT INTO ledger_hours VALUES "
            "(0, 't', '', '', 'k', 'm', 'b', 1, 0, 1, 2, 0, 0, 3, 0, 0, 0, 0, 4500, 0, 0)"
        )


def test_a_ledger_of_an_older_version_goes_on(databases: Databases, tmp_path: Path) -> None:
    """Its rows keep their hashes, though they have columns more."""
    database = databases()
    _store_as_before(database, tmp_path)
    scribe = Scribe(small(tmp_path))
    scribe.whole(cache_write_tokens=9)
    assert drain_of(tmp_path, database).turn().rows == 1
    select = "SELECT cache_write_tokens FROM ledger ORDER BY position"
    assert database.read(select) == [(None,), (9,)]
    assert checked(database, tmp_path).findings == []
    with database.transaction() as transaction:
        transaction.run("UPDATE ledger SET cache_write_tokens = 0 WHERE position = 1")
    assert "row 1 was changed" in checked(database, tmp_path).findings[0]
