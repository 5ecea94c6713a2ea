"""The registry in a file of its own: SQLite, shared by the workers, the admin API and the
commands.

A rollback journal, not a write-ahead log: writes are rare, several processes have the file open,
and Python's own SQLite may be older than the release that mended the log for that case.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.data.registry.rows import Position, Row, Stale, Wanted, page_sql

FILE_NAME = "registry.db"
BUSY_TIMEOUT_S = 5.0
SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS state "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO state VALUES (1, 0)",
    "CREATE TABLE IF NOT EXISTS rows ("
    "kind TEXT NOT NULL, tenant TEXT NOT NULL, id TEXT NOT NULL, label TEXT NOT NULL, "
    "team TEXT, user TEXT, body BLOB NOT NULL, revision INTEGER NOT NULL, "
    "PRIMARY KEY (kind, tenant, id)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS rows_by_id ON rows (kind, id)",
    "CREATE INDEX IF NOT EXISTS rows_by_label ON rows (kind, label)",
    "CREATE INDEX IF NOT EXISTS rows_by_revision ON rows (revision)",
)
_COLUMNS = "kind, tenant, id, label, team, user, body, revision"
_NAMES = {"id": "id", "label": "label", "team": "team", "user": "user"}


class NewerSchema(OSError):  # noqa: N818
    """The file was made by a later Headrace."""


class SqliteRows:
    """`Rows` in a SQLite file, which is made at the first change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def revision(self) -> int:
        with self._reading() as connection:
            if connection is None:
                return 0
            found = connection.execute("SELECT revision FROM state").fetchone()
            return int(found[0])

    def since(self, revision: int) -> list[Row]:
        sql = f"SELECT {_COLUMNS} FROM rows WHERE revision > ? ORDER BY revision"  # noqa: S608
        with self._reading() as connection:
            if connection is None:
                return []
            return [Row(*found) for found in connection.execute(sql, (revision,))]

    def page(self, wanted: Wanted, after: Position | None, limit: int) -> list[Row]:
        sql, values = page_sql("rows", _COLUMNS, _NAMES, wanted, after)
        with self._reading() as connection:
            if connection is None:
                return []
            return [Row(*found) for found in connection.execute(sql, (*values, limit))]

    def put(self, rows: Sequence[Row]) -> int:
        with self._writing() as connection:
            found = connection.execute(
                "UPDATE state SET revision = revision + 1 RETURNING revision"
            ).fetchone()
            revision = int(found[0])
            for row in rows:
                self._put_one(connection, row, revision)
            return revision

    def _put_one(self, connection: sqlite3.Connection, row: Row, revision: int) -> None:
        values = (row.label, row.team, row.user, row.body, revision, row.kind, row.tenant, row.id)
        if row.revision:
            done = connection.execute(
                "UPDATE rows SET label = ?, team = ?, user = ?, body = ?, revision = ? "
                "WHERE kind = ? AND tenant = ? AND id = ? AND revision = ?",
                (*values, row.revision),
            ).rowcount
        else:
            done = connection.execute(
                "INSERT OR IGNORE INTO rows "
                "(label, team, user, body, revision, kind, tenant, id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ).rowcount
        if done != 1:
            raise Stale(f"{row.kind} {row.id}")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._opened = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """None while there is no file."""
        with self._lock, _as_os_error(self.path):
            at = _identity(self.path)
            if at is None:
                self._close()
                yield None
                return
            if self._opened != at:  # another file has its place: a restored copy
                self._close()
            yield self._connection or self._open()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _as_os_error(self.path):
            if self._opened is None or self._opened != _identity(self.path):
                self._close()
                self._make()
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _make(self) -> None:
        """An empty file that only this user may open."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise NewerSchema(f"{self.path} was made by a later version of Headrace")
            if version < SCHEMA_VERSION:
                _make_schema(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened = connection, _identity(self.path)
        return connection


def _make_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"the registry {path} cannot be used: {error}") from error
