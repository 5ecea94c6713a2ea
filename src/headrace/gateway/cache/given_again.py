"""Answers of earlier calls, given again: the very same request first, then the same question in
other words.

In memory, one for a worker's life. An entry is found within its partition alone: the partition is
part of both digests and of the key of each table.
"""

from __future__ import annotations

import logging
import random
from typing import Any, NamedTuple

import msgspec

from headrace.config.caching import CachePolicy
from headrace.config.sharing import AnswerCachePolicy
from headrace.gateway import answer_forms
from headrace.gateway.cache import guard
from headrace.gateway.cache.asking import Asked
from headrace.gateway.cache.embeddings import Questions
from headrace.gateway.cache.reading import Reading, read
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call

log = logging.getLogger("headrace.cache")

CANDIDATES = 5
"""Nearest questions that the guard looks at."""
NEIGHBOURHOOD = 4_096
"""Questions with one history, prompt and parameters: more would hold up the loop."""
EVICTION_SAMPLE = 16
Key = tuple[str, bytes]


class Entry:
    """An answer that is kept."""

    __slots__ = (
        "around",
        "call",
        "hits",
        "kept_at",
        "key",
        "question",
        "reading",
        "recorded",
        "until",
        "vector",
    )

    def __init__(
        self,
        key: Key,
        recorded: Recorded,
        call: str,
        kept_at: float,
        until: float,
    ) -> None:
        self.key = key
        self.recorded = recorded
        self.call = call
        self.kept_at = kept_at
        self.until = until
        self.hits = 0
        self.around: Key | None = None
        self.question = ""
        self.reading: Reading | None = None
        self.vector: Any = None

    @property
    def worth(self) -> float:
        """Micro-dollars that it has saved or may save, by byte."""
        return (self.recorded.cost_microusd or 1) * (1 + self.hits) / self.recorded.size_bytes


class Counts(msgspec.Struct):
    """What came of the calls that asked."""

    exact: int = 0
    semantic: int = 0
    missed: int = 0
    guarded: int = 0
    """Near questions that the guard told apart."""


class Near(NamedTuple):
    """An entry whose question is the same in other words."""

    entry: Entry
    cosine: float
    score: float


class GivenAgain:
    """Answers of earlier calls. `now` is Unix seconds."""

    def __init__(self, bounds: AnswerCachePolicy, rng: random.Random | None = None) -> None:
        self._bounds = bounds
        self._rng = rng or random.Random()
        self._entries: dict[Key, Entry] = {}
        self._keys: list[Key] = []
        """Of all entries, to draw from; those that are gone are dropped when drawn."""
        self._near: dict[Key, dict[Key, Entry]] = {}
        self._questions: Questions | None = None
        self.counts = Counts()
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take_embeddings(self) -> None:
        """Loads the embeddings model, once. Raises Setup."""
        if self._questions is None:
            self._questions = Questions.load()

    async def find(
        self, asked: Asked, call: Call, policy: CachePolicy, now: float
    ) -> Recorded | None:
        """An answer in the form that the call wants, with header lines that say whence."""
        if asked.refresh:
            return None
        entry = self._entries.get((asked.partition, asked.exact))
        if entry is not None and _fresh(entry, now):
            given = _given(entry, call, b"exact", 1.0, now)
            if given is not None:
                entry.hits += 1
                self.counts.exact += 1
                return given
        if asked.question and self._near.get((asked.partition, asked.around)):
            near = await self._nearest(asked, policy, now)
            given = near and _given(near.entry, call, b"semantic", near.cosine, now)
            if near is not None and given is not None:
                near.entry.hits += 1
                self.counts.semantic += 1
                return given
        self.counts.missed += 1
        return None

    async def keep(
        self, asked: Asked, recorded: Recorded, call: Call, until: float, now: float
    ) -> bool:
        """False if the answer is not one to keep. `until` is when it ends."""
        size = recorded.size_bytes
        if size > min(self._bounds.answer_bytes, self._bounds.most_bytes):
            return False
        if recorded.stands_in or not answer_forms.stopped(recorded, call.operation):
            return False
        key = (asked.partition, asked.exact)
        entry = Entry(key, recorded, call.id, now, until)
        if asked.question:
            await self._place(entry, asked)
        if key in self._entries:
            self._drop(self._entries[key])
        self._entries[key] = entry
        self._keys.append(key)
        self.kept_bytes += size
        if entry.vector is not None and entry.around is not None:
            self._near.setdefault(entry.around, {})[key] = entry
            if len(self._near[entry.around]) > NEIGHBOURHOOD:
                self._drop(next(iter(self._near[entry.around].values())))
        self._make_room()
        return True

    def purge(self, partition: str | None = None) -> int:
        """Drops a partition's answers, or all; returns how many they were."""
        gone = [e for e in self._entries.values() if partition in (None, e.key[0])]
        for entry in gone:
            self._drop(entry)
        return len(gone)

    async def _embed(self, asked: Asked) -> None:
        """Leaves the vector out where embeddings are overloaded or failed."""
        if self._questions is not None and asked.vector is None:
            try:
                asked.vector = await self._questions.embed(asked.question)
            except Exception:
                log.exception("a question could not be embedded")

    async def _place(self, entry: Entry, asked: Asked) -> None:
        await self._embed(asked)
        entry.vector = asked.vector
        entry.question = asked.question
        entry.reading = read(asked.question)
        entry.around = (asked.partition, asked.around)

    async def _nearest(self, asked: Asked, policy: CachePolicy, now: float) -> Near | None:
        await self._embed(asked)
        around = self._near.get((asked.partition, asked.around))
        if asked.vector is None or not around or self._questions is None:
            return None
        entries = [entry for entry in around.values() if _fresh(entry, now)]
        if not entries:
            return None
        vectors = [entry.vector for entry in entries]
        best: Near | None = None
        reading = read(asked.question)
        for place, cosine in self._questions.nearest(vectors, asked.vector, CANDIDATES):
            entry = entries[place]
            if cosine < guard.LEAST_COSINE or entry.reading is None:
                break
            verdict = guard.judge(reading, entry.reading, cosine, threshold=policy.least_score)
            if not verdict.allowed:
                self.counts.guarded += 1
            elif best is None or verdict.score > best.score:
                best = Near(entry, cosine, verdict.score)
        return best

    def _make_room(self) -> None:
        """Of a few drawn by chance the one that saves least by byte goes."""
        bounds = self._bounds
        while len(self._entries) > bounds.most_answers or self.kept_bytes > bounds.most_bytes:
            drawn: list[Entry] = []
            while len(drawn) < min(EVICTION_SAMPLE, len(self._entries)):
                place = self._rng.randrange(len(self._keys))
                entry = self._entries.get(self._keys[place])
                if entry is None:
                    self._keys[place] = self._keys[-1]
                    self._keys.pop()
                else:
                    drawn.append(entry)
            self._drop(min(drawn, key=lambda entry: entry.worth))

    def _drop(self, entry: Entry) -> None:
        if self._entries.pop(entry.key, None) is None:
            return
        self.kept_bytes -= entry.recorded.size_bytes
        if entry.around is not None and (around := self._near.get(entry.around)) is not None:
            around.pop(entry.key, None)
            if not around:
                del self._near[entry.around]
        if len(self._keys) > 2 * len(self._entries) + 64:
            self._keys = list(self._entries)


def _given(entry: Entry, call: Call, tier: bytes, similarity: float, now: float) -> Recorded | None:
    """In the form that the call wants; None if it cannot be had in it."""
    given = answer_forms.as_asked(entry.recorded, call)
    if given is None:
        return None
    origin = next(
        (
            line
            for line in entry.recorded.about.splitlines(keepends=True)
            if line.startswith(b"x-headrace-backend:")
        ),
        b"",
    )
    about = (
        b"%bx-headrace-cache: %b\r\nx-headrace-cache-similarity: %.4f\r\n"
        b"x-headrace-cache-age-s: %d\r\nx-headrace-cache-call: %b\r\n"
        % (origin, tier, similarity, max(0, int(now - entry.kept_at)), entry.call.encode())
    )
    return msgspec.structs.replace(given, about=about, cost_microusd=entry.recorded.cost_microusd)


def _fresh(entry: Entry, now: float) -> bool:
    return entry.kept_at <= now < entry.until
