"""Answers that outlive the process: one SQLite file, one row an answer, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.database import DatabaseAway
from headrace.data.sqlite import Sqlite

log = logging.getLogger("headrace.cache")

NAME = "answers.db"
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    partition TEXT NOT NULL,
    exact BLOB NOT NULL,
    ends_at REAL NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (partition, exact)
)"""


class AnswerRow(Struct, frozen=True, array_like=True):
    """An answer and what finds it. Times are Unix seconds. New fields go to the end."""

    partition: str
    exact: bytes
    around: bytes
    question: str
    call: str
    kept_at: float
    until: float
    made_s: float
    vector: bytes | None
    """Float32, little-endian."""
    vector_of: str
    """The embeddings model and version: vectors of others are of no use."""
    body: bytes | None
    events: tuple[bytes, ...]
    about: bytes
    usage: bytes
    """JSON; empty if it is not known."""
    cost_microusd: int | None
    tags: tuple[str, ...] = ()
    """By which it can be purged."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(AnswerRow).decode
"""Of one row. Raises MsgspecError for what is none."""


class AnswerFile:
    """Blocks: call it in a thread. What the disk refuses is logged and left: a cache may lose
    what it keeps, never hold up calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._base = Sqlite(folder / NAME)
        self._made = False

    def good(self, now: float, most: int) -> list[int]:
        """The numbers of the answers that are still good, at most `most` of them, those that stay
        longest first. Ended ones are deleted."""
        try:
            self._make()
            with self._base.transaction() as change:
                change.run("DELETE FROM answers WHERE ends_at <= ?", (now,))
            query = "SELECT rowid FROM answers ORDER BY ends_at DESC LIMIT ?"
            return [number for (number,) in self._base.read(query, (most,))
                    if isinstance(number, int)]  # fmt: skip
        except DatabaseAway as error:
            log.warning("kept answers cannot be read", extra={"cause": str(error)})
            return []

    def read(self, numbers: Sequence[int]) -> list[AnswerRow]:
        """Those of them that are still there."""
        places = ",".join("?" * len(numbers))
        query = f"SELECT row FROM answers WHERE rowid IN ({places})"  # noqa: S608 - only places
        found: list[AnswerRow] = []
        try:
            for (row,) in self._base.read(query, numbers):
                assert isinstance(row, bytes)
                found.append(decode(row))
        except (DatabaseAway, msgspec.MsgspecError) as error:
            log.warning("kept answers cannot be read", extra={"cause": str(error)})
        return found

    def change(self, kept: Iterable[AnswerRow], dropped: Iterable[tuple[str, bytes]]) -> None:
        """All of it in one transaction."""
        try:
            self._make()
            with self._base.transaction() as change:
                change.run_each(
                    "DELETE FROM answers WHERE partition = ? AND exact = ?", list(dropped)
                )
                change.run_each(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
                    [(row.partition, row.exact, row.until, encode(row)) for row in kept],
                )
        except DatabaseAway as error:
            log.warning("answers are not kept on disk", extra={"cause": str(error)})

    def purge(self, partition: str | None) -> None:
        """Deletes a partition's answers, or all."""
        try:
            self._make()
            with self._base.transaction() as change:
                if partition is None:
                    change.run("DELETE FROM answers")
                else:
                    change.run("DELETE FROM answers WHERE partition = ?", (partition,))
        except DatabaseAway as error:
            log.warning("answers on disk are not purged", extra={"cause": str(error)})

    def close(self) -> None:
        """Idempotent."""
        self._base.close()

    def _make(self) -> None:
        if not self._made:
            with self._base.transaction() as change:
                change.run(_TABLE)
            self._made = True
