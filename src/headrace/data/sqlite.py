"""SQLite, by the wheel `apsw`: it carries a current SQLite, whatever Python's own is.

Older than 3.51.3 it could lose a committed write-ahead log with two connections
(https://sqlite.org/wal.html#walresetbug). Commits are synced: they outlive the loss of power.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from headrace.data.database import DatabaseAway, DatabaseDamaged, NotMade, Row, Value, Words
from headrace.errors import Setup

LEAST_VERSION = 3_051_003
BUSY_MS = 10_000
MOST_FAULTS = 10
DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)
"""What is told of a file that was overwritten or cut; texts of a ledger are UTF-8."""


class Sqlite:
    """One file. Read-only it makes no file and takes no lock that a writer waits for."""

    words = Words(blob="BLOB", by_key="WITHOUT ROWID")

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if apsw.SQLITE_VERSION_NUMBER < LEAST_VERSION:
            raise Setup(
                f"SQLite {apsw.sqlite_lib_version()} is too old: it may lose what was written.",
                "Install a newer one: pip install --upgrade apsw.",
            )
        self._path = path
        self._read_only = read_only
        self._connection: apsw.Connection | None = None

    def __repr__(self) -> str:
        return f"Sqlite({self._path})"

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        try:
            return list(self._connected().execute(statement, values))
        except (apsw.Error, UnicodeDecodeError) as error:
            raise self._away(error) from error

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (apsw.Error, UnicodeDecodeError) as error:
            raise self._away(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        try:
            connection = self._connected()
            connection.execute("BEGIN")
            try:
                yield
            finally:  # a fault within it closed the connection
                if connection is self._connection and connection.in_transaction:
                    connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise self._away(error) from error

    def faults(self) -> list[str]:
        told = [str(row[0]) for row in self.read(f"PRAGMA integrity_check({MOST_FAULTS})")]
        return [] if told == ["ok"] else told

    def exclusively(self, transaction: object) -> None:
        """Transactions are, of one file."""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            if self._read_only:
                flags = apsw.SQLITE_OPEN_READWRITE  # of its shared memory; nothing is created
            else:
                flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            connection = apsw.Connection(str(self._path), flags=flags)
            if not self._read_only:
                self._path.chmod(0o600)
            connection.set_busy_timeout(BUSY_MS)
            connection.execute("PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY")
            if self._read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            self._connection = connection
        return self._connection

    def _away(self, error: Exception) -> DatabaseAway:
        """A file that was moved or replaced needs a new connection; one costs little."""
        try:
            self.close()
        except apsw.Error:
            self._connection = None
        if isinstance(error, DAMAGE):
            kind: type[DatabaseAway] = DatabaseDamaged
        else:
            kind = NotMade if str(error).startswith("no such table") else DatabaseAway
        return kind(f"{self._path}: {type(error).__name__}: {error}")


class _Transaction:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def read(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        return list(self._connection.execute(statement, values))

    def run(self, statement: str, values: Sequence[Value] = ()) -> int:
        for _ in self._connection.execute(statement, values):
            pass
        return self._connection.changes()

    def run_each(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(statement, rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        places = ",".join("?" * len(columns))
        self.run_each(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({places})", rows)  # noqa: S608
