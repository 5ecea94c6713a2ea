"""The registry on a database server, beside the ledger: shared by all replicas."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from headrace.data.database import Database, DatabaseAway, Transaction, Value
from headrace.data.registry.rows import Position, Row, Stale, Unreachable, Wanted, page_sql

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS registry_state "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, revision BIGINT NOT NULL)",
    "INSERT INTO registry_state VALUES (1, 1, 0) ON CONFLICT (one) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS registry_rows ("
    'kind TEXT NOT NULL, tenant TEXT COLLATE "C" NOT NULL, id TEXT COLLATE "C" NOT NULL, '
    "label TEXT NOT NULL, team TEXT, user_name TEXT, body BYTEA NOT NULL, "
    "revision BIGINT NOT NULL, PRIMARY KEY (kind, tenant, id))",
    "CREATE INDEX IF NOT EXISTS registry_rows_by_id ON registry_rows (kind, id)",
    "CREATE INDEX IF NOT EXISTS registry_rows_by_label ON registry_rows (kind, label)",
    "CREATE INDEX IF NOT EXISTS registry_rows_by_revision ON registry_rows (revision)",
)
SCHEMA_VERSION = 1
_COLUMNS = "kind, tenant, id, label, team, user_name, body, revision"
_NAMES = {"id": "id", "label": "label", "team": "team", "user": "user_name"}


class ServerRows:
    """`Rows` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._made = False

    def revision(self) -> int:
        with self._ready() as database:
            return cast(int, database.read("SELECT revision FROM registry_state")[0][0])

    def since(self, revision: int) -> list[Row]:
        sql = (
            f"SELECT {_COLUMNS} FROM registry_rows "  # noqa: S608 - own words
            "WHERE revision > ? ORDER BY revision, tenant, id"
        )
        with self._ready() as database:
            return _rows(database.read(sql, (revision,)))

    def page(self, wanted: Wanted, after: Position | None, limit: int) -> list[Row]:
        if wanted.tenants is not None and not wanted.tenants:
            return []
        sql, values = page_sql("registry_rows", _COLUMNS, _NAMES, wanted, after)
        with self._ready() as database:
            return _rows(database.read(sql, (*values, limit)))

    def put(self, rows: Sequence[Row]) -> int:
        with self._ready() as database, database.transaction() as transaction:
            # The row's lock lets one writer in at a time: revisions come in the order of commits.
            transaction.run("UPDATE registry_state SET revision = revision + 1")
            found = transaction.read("SELECT revision FROM registry_state")
            revision = cast(int, found[0][0])
            for row in rows:
                _put(transaction, row, revision)
            return revision

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _ready(self) -> Iterator[Database]:
        try:
            with self._lock:
                if not self._made:
                    self._make()
                    self._made = True
                yield self._database
        except DatabaseAway as error:
            raise Unreachable(f"the registry's server cannot be used: {error}") from error

    def _make(self) -> None:
        with self._database.transaction() as transaction:
            self._database.exclusively(transaction)
            for statement in _SCHEMA:
                transaction.run(statement)
            found = transaction.read("SELECT version FROM registry_state")
        if cast(int, found[0][0]) > SCHEMA_VERSION:
            raise OSError("the registry on the server was made by a later version of Headrace")


def _put(transaction: Transaction, row: Row, revision: int) -> None:
    values: tuple[Value, ...] = (
        row.label, row.team, row.user, row.body, revision, row.kind, row.tenant, row.id
    )  # fmt: skip
    if row.revision:
        done = transaction.run(
            "UPDATE registry_rows SET label = ?, team = ?, user_name = ?, body = ?, revision = ? "
            "WHERE kind = ? AND tenant = ? AND id = ? AND revision = ?",
            (*values, row.revision),
        )
    else:
        done = transaction.run(
            "INSERT INTO registry_rows "
            "(label, team, user_name, body, revision, kind, tenant, id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            values,
        )
    if done != 1:
        raise Stale(f"{row.kind} {row.id}")


def _rows(found: Sequence[tuple[Value, ...]]) -> list[Row]:
    return [
        Row(
            *cast(
                tuple[str, str, str, str, str | None, str | None, bytes, int],
                (*values[:6], bytes(cast(bytes, values[6])), values[7]),
            )  # type: ignore[arg-type]
        )
        for values in found
    ]
