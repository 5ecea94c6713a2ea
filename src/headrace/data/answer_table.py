"""Answers in PostgreSQL, found by their key or, with pgvector, by their question's nearest.

https://github.com/pgvector/pgvector#hnsw: searches are filtered, so the index is scanned on until
there are enough.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from headrace.data.answer_file import AnswerRow, decode, encode
from headrace.data.database import Database

log = logging.getLogger("headrace.cache")

Key = tuple[str, bytes]
DIMENSIONS = 384
DROPS_KEPT_S = 600
"""A worker that has not read them for longer forgets what it knew."""
_LOCK = 0x414E5357  # "ANSW": tables are made by one at a time
_TABLES = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    f"""CREATE TABLE IF NOT EXISTS headrace_answers (
    partition TEXT NOT NULL,
    exact BYTEA NOT NULL,
    around BYTEA NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL,
    vector_of TEXT NOT NULL,
    vector vector({DIMENSIONS}),
    row BYTEA NOT NULL,
    PRIMARY KEY (partition, exact)
)""",
    """CREATE TABLE IF NOT EXISTS headrace_answer_drops (
    number BIGSERIAL PRIMARY KEY,
    partition TEXT NOT NULL,
    exact BYTEA NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now()
)""",
    """CREATE INDEX IF NOT EXISTS headrace_answers_near ON headrace_answers
    USING hnsw (vector vector_cosine_ops)""",
    "CREATE INDEX IF NOT EXISTS headrace_answers_around ON headrace_answers (partition, around)",
    "CREATE INDEX IF NOT EXISTS headrace_answers_ends ON headrace_answers (ends_at)",
)
_DROPPED = "INSERT INTO headrace_answer_drops (partition, exact) VALUES (?, ?)"


class AnswerTable:
    """One connection, for one thread at a time. Blocks. Raises DatabaseAway."""

    def __init__(self, base: Database) -> None:
        self._base = base
        self._made = False

    def get(self, key: Key, now: float) -> AnswerRow | None:
        self._make()
        query = "SELECT row FROM headrace_answers WHERE partition = ? AND exact = ? AND ends_at > ?"
        rows = self._base.read(query, (*key, now))
        return _row(rows[0][0]) if rows else None

    def nearest(
        self, around: Key, vector: Sequence[float], vector_of: str, count: int, now: float
    ) -> list[tuple[AnswerRow, float]]:
        """With their cosines, nearest first."""
        self._make()
        asked = _text(vector)
        with self._base.transaction() as reading:
            reading.run("SET LOCAL hnsw.iterative_scan = strict_order")
            rows = reading.read(
                "SELECT row, 1 - (vector <=> ?::vector) FROM headrace_answers"
                " WHERE partition = ? AND around = ? AND vector_of = ? AND ends_at > ?"
                " ORDER BY vector <=> ?::vector LIMIT ?",
                (asked, *around, vector_of, now, asked, count),
            )
        found = [(_row(row), cosine) for row, cosine in rows]
        return [(row, float(cosine)) for row, cosine in found if row is not None and cosine]

    def change(
        self,
        kept: Sequence[tuple[AnswerRow, Sequence[float] | None]],
        dropped: Sequence[Key],
        now: float,
    ) -> None:
        """All of it in one transaction. `kept` have their vectors as numbers."""
        self._make()
        delete = "DELETE FROM headrace_answers WHERE partition = ? AND exact = ?"
        with self._base.transaction() as change:
            change.run("DELETE FROM headrace_answers WHERE ends_at <= ?", (now,))
            if dropped:
                change.run_each(delete, dropped)
                change.run_each(_DROPPED, dropped)
            if kept:
                change.run_each(
                    "INSERT INTO headrace_answers VALUES (?, ?, ?, ?, ?, ?::vector, ?)"
                    " ON CONFLICT (partition, exact) DO UPDATE SET around = excluded.around,"
                    " ends_at = excluded.ends_at, vector_of = excluded.vector_of,"
                    " vector = excluded.vector, row = excluded.row",
                    [
                        (
                            row.partition,
                            row.exact,
                            row.around,
                            row.until,
                            row.vector_of,
                            None if vector is None else _text(vector),
                            encode(row),
                        )
                        for row, vector in kept
                    ],
                )

    def purge(self, partition: str | None) -> None:
        """Deletes a partition's answers, or all, and says so to the other workers."""
        self._make()
        with self._base.transaction() as change:
            if partition is None:
                change.run("DELETE FROM headrace_answers")
            else:
                change.run("DELETE FROM headrace_answers WHERE partition = ?", (partition,))
            change.run(_DROPPED, (partition or "", b""))

    def drops(self) -> list[tuple[int, Key]]:
        """What was dropped lately, by numbers that tell one from the other; an empty digest stands
        for the whole partition, an empty partition for all. Old ones are deleted."""
        self._make()
        with self._base.transaction() as change:
            old = (
                f"DELETE FROM headrace_answer_drops WHERE at < now() - interval '{DROPS_KEPT_S} s'"  # noqa: S608
            )
            change.run(old)
            rows = change.read("SELECT number, partition, exact FROM headrace_answer_drops")
        return [
            (number, (partition, bytes(exact)))
            for number, partition, exact in rows
            if isinstance(number, int) and isinstance(partition, str) and isinstance(exact, bytes)
        ]

    def close(self) -> None:
        """Idempotent."""
        self._base.close()

    def _make(self) -> None:
        if self._made:
            return
        with self._base.transaction() as change:
            change.read(f"SELECT pg_advisory_xact_lock({_LOCK})::text")
            for statement in _TABLES:
                change.run(statement)
        self._made = True


def _text(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{number:.7g}" for number in vector) + "]"


def _row(data: object) -> AnswerRow | None:
    try:
        return decode(bytes(data)) if isinstance(data, (bytes, memoryview)) else None
    except msgspec.MsgspecError as error:
        log.warning("a kept answer cannot be read", extra={"cause": str(error)})
        return None
