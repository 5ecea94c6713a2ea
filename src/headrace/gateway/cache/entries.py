"""An answer that is kept, and its row in the file."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.data.answer_file import AnswerRow
from headrace.gateway.cache.embeddings import VERSION
from headrace.gateway.cache.reading import Reading, read
from headrace.gateway.recorded import Recorded
from headrace.nouns import Usage

Key = tuple[str, bytes]
"""Partition and digest."""


class Entry(Struct, eq=False):
    """An answer that is kept. Times are Unix seconds."""

    key: Key
    recorded: Recorded
    call: str
    """Request id of the call that paid."""
    kept_at: float
    until: float
    made_s: float
    """How long it took to make."""
    around: Key
    question: str = ""
    label: int = 0
    """Of its question's vector in the index; 0 if there is none."""
    hits: int = 0
    reading: Reading | None = None
    tags: tuple[str, ...] = ()
    """By which it can be purged: see `asking.tags_of`."""

    @property
    def worth(self) -> float:
        """Micro-dollars that it has saved or may save, by byte."""
        return (self.recorded.cost_microusd or 1) * (1 + self.hits) / self.recorded.size_bytes

    @property
    def life_s(self) -> float:
        return self.until - self.kept_at

    def read(self) -> Reading:
        """What its question asks; read when it is first compared."""
        if self.reading is None:
            self.reading = read(self.question)
        return self.reading


def row_of(entry: Entry, vector: Any) -> AnswerRow:
    """For the file. `vector` is its question's, an array of float32, or None."""
    recorded = entry.recorded
    return AnswerRow(
        partition=entry.key[0],
        exact=entry.key[1],
        around=entry.around[1],
        question=entry.question,
        call=entry.call,
        kept_at=entry.kept_at,
        until=entry.until,
        made_s=entry.made_s,
        vector=None if vector is None else vector.tobytes(),
        vector_of="" if vector is None else VERSION,
        body=recorded.body,
        events=recorded.events,
        about=recorded.about,
        usage=b"" if recorded.usage is None else msgspec.json.encode(recorded.usage),
        cost_microusd=recorded.cost_microusd,
        tags=entry.tags,
    )


def entry_of(row: AnswerRow) -> Entry:
    """From the file, without its vector."""
    usage = msgspec.json.decode(row.usage, type=Usage) if row.usage else None
    recorded = Recorded(row.about, row.body, row.events, None, usage, row.cost_microusd)
    return Entry(
        key=(row.partition, row.exact),
        recorded=recorded,
        call=row.call,
        kept_at=row.kept_at,
        until=row.until,
        made_s=row.made_s,
        around=(row.partition, row.around),
        question=row.question,
        tags=row.tags,
    )
