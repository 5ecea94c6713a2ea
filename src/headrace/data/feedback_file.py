"""What was found out about kept answers, over a restart and for all workers: one SQLite file, one
row each, in order. A row is there whole or not at all, whatever is killed."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.sqlite import Sqlite

NAME = "feedback.db"
KEPT_S = 90 * 86_400.0
"""After which a row is deleted: it counts for an eighth of a new one by then."""
READ_AT_ONCE = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS feedback (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    row BLOB NOT NULL
)"""


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
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class FeedbackFile:
    """Blocks: call it in a thread. Raises DatabaseAway."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._base = Sqlite(folder / NAME)

    def open(self, now: float) -> None:
        """Makes what is not there, and deletes what is too old."""
        with self._base.transaction() as change:
            change.run(_TABLE)
            change.run("DELETE FROM feedback WHERE at < ?", (now - KEPT_S,))

    def add(self, row: Row) -> None:
        with self._base.transaction() as change:
            change.run("INSERT INTO feedback (at, row) VALUES (?, ?)", (row.at, _encode(row)))

    def since(self, number: int) -> list[tuple[int, Row]]:
        """Some of those behind a number, with their own numbers."""
        query = "SELECT number, row FROM feedback WHERE number > ? ORDER BY number LIMIT ?"
        found: list[tuple[int, Row]] = []
        for at, data in self._base.read(query, (number, READ_AT_ONCE)):
            assert isinstance(at, int)
            assert isinstance(data, bytes)
            found.append((at, _decode(data)))
        return found

    def close(self) -> None:
        """Idempotent."""
        self._base.close()
