"""What was found out about kept answers, over a restart and for all workers: one table, one row
each, in order. A row is there whole or not at all, whatever is killed."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.database import Database, Transaction
from headrace.data.sqlite import Sqlite
from headrace.platform.secrets import Secret

NAME = "feedback.db"
KEPT_S = 90 * 86_400.0
"""After which a row is deleted: it counts for an eighth of a new one by then."""
READ_AT_ONCE = 500


class FoundOut(Struct, frozen=True, array_like=True, tag="found"):
    """A pair of questions of which one's kept answer is right for the other, or is not. New fields
    go to the end."""

    by: str
    """The worker that wrote it."""
    at: float
    """Unix seconds."""
    partition: str
    asked: bytes
    kept: bytes
    kind: str
    cosine: float
    vector: bytes | None
    """Of the question asked: float32, little-endian."""
    right: bool
    source: str
    """`flag`, `shadow` or `compared`."""


class Claim(Struct, frozen=True, array_like=True, tag="claim"):
    """What somebody says of a call that another worker may remember."""

    by: str
    at: float
    call: str
    tenant: str | None
    """Of who says so; None for an operator."""
    right: bool


Row = FoundOut | Claim
encode = msgspec.msgpack.Encoder().encode
"""Of a row."""
decode = msgspec.msgpack.Decoder(Row).decode
"""To a row. Raises msgspec.MsgspecError."""


class FeedbackRows:
    """Blocks: call it in a thread. Raises DatabaseAway."""

    def __init__(self, base: Database, table: str, columns: str) -> None:
        """Names are the program's own."""
        self._base = base
        self._create = f"CREATE TABLE IF NOT EXISTS {table} ({columns})"
        self._delete = f"DELETE FROM {table} WHERE at < ?"  # noqa: S608
        self._insert = f"INSERT INTO {table} (at, row) VALUES (?, ?)"  # noqa: S608
        self._select = f"SELECT number, row FROM {table} WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608

    def open(self, now: float) -> None:
        """Makes what is not there, and deletes what is too old."""
        with self._base.transaction() as change:
            self._make(change)
            change.run(self._delete, (now - KEPT_S,))

    def add(self, row: Row) -> None:
        with self._base.transaction() as change:
            self._make(change)
            change.run(self._insert, (row.at, encode(row)))

    def since(self, number: int) -> list[tuple[int, Row]]:
        """Some of those behind a number, with their own numbers."""
        found: list[tuple[int, Row]] = []
        for at, data in self._base.read(self._select, (number, READ_AT_ONCE)):
            assert isinstance(at, int)
            assert isinstance(data, bytes)
            found.append((at, decode(data)))
        return found

    def close(self) -> None:
        """Idempotent."""
        self._base.close()

    def _make(self, change: Transaction) -> None:
        """One writer at a time: who has read a number has read all before it."""
        self._base.exclusively(change)
        change.run(self._create)


class FeedbackFile(FeedbackRows):
    """For the workers of one host."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = "number INTEGER PRIMARY KEY AUTOINCREMENT"
        columns = f"{number}, at REAL NOT NULL, row BLOB NOT NULL"
        super().__init__(Sqlite(folder / NAME), "feedback", columns)


class FeedbackTable(FeedbackRows):
    """For those of all hosts, in PostgreSQL."""

    def __init__(self, url: Secret) -> None:
        """Raises Setup if the extra is not installed."""
        from headrace.data.postgres import Postgres

        number = "number BIGSERIAL PRIMARY KEY"
        columns = f"{number}, at DOUBLE PRECISION NOT NULL, row BYTEA NOT NULL"
        super().__init__(Postgres(url), "headrace_feedback", columns)
