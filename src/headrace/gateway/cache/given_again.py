"""Answers of earlier calls, given again: the very same request first, then the same question in
other words.

In memory, one for a worker's life. An entry is found within its partition alone: the partition is
part of both digests and of the key of each table.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Any

from headrace.config.caching import CachePolicy
from headrace.config.sharing import AnswerCachePolicy
from headrace.data.answer_file import AnswerRow
from headrace.data.feedback_file import FeedbackRows
from headrace.gateway.answer_cache import worth_keeping
from headrace.gateway.cache import flagging
from headrace.gateway.cache.asking import Asked, tags_of
from headrace.gateway.cache.choosing import Near, chosen
from headrace.gateway.cache.comparing import Comparing
from headrace.gateway.cache.decisions import Counts, Decision, Decisions
from headrace.gateway.cache.embeddings import VERSION, Questions
from headrace.gateway.cache.entries import Entry, Key, entry_of, row_of
from headrace.gateway.cache.flights import Flights
from headrace.gateway.cache.giving import as_hit
from headrace.gateway.cache.learning import Exchange, Learning
from headrace.gateway.cache.neighbourhoods import Neighbourhoods
from headrace.gateway.cache.shelf import Shelf
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call

log = logging.getLogger("headrace.cache")

CANDIDATES = 5
"""Nearest questions that the guard looks at."""
LOOKED_AT = 16
"""Nearest questions that are looked up: some may have ended."""
EVICTION_SAMPLE = 16
EARLY_SHARE = 0.2
"""Of its life, which an answer may be made anew before its end at most."""


class GivenAgain:
    """Answers of earlier calls. `now` is Unix seconds."""

    def __init__(
        self,
        bounds: AnswerCachePolicy,
        shelf: Shelf | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`shelf` keeps answers over a restart."""
        self._bounds = bounds
        self._shelf = shelf
        if shelf is not None:
            shelf.follow(self)
        self._rng = rng or random.Random()
        self._entries: dict[Key, Entry] = {}
        self._keys: list[Key] = []
        """Of all entries, to draw from; those that are gone are dropped when drawn."""
        self._near: Neighbourhoods | None = None
        self._labels: dict[int, Entry] = {}
        self._last_label = 0
        self._coming: Counter[Key] = Counter()
        """Neighbourhoods of answers whose questions are being embedded."""
        self._questions: Questions | None = None
        self._restoring: asyncio.Task[int] | None = None
        self.counts = Counts()
        self.decisions = Decisions()
        self.flights = Flights(self._embed)
        self.learning: Learning | None = None
        """None where no model has its wrong answers bounded."""
        self.comparing: Comparing | None = None
        """Likewise."""
        self.kept_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take_embeddings(self) -> None:
        """Loads the embeddings model, once. Raises Setup."""
        if self._questions is None:
            self._questions = Questions.load()
            self._near = Neighbourhoods()

    def take_bound(self, file: FeedbackRows | None, exchange: Exchange | None = None) -> None:
        """Begins to learn which answers are wrong, once. Needs the embeddings."""
        if self.learning is None:
            self.learning = Learning(file, partial(flagging.hear, self), exchange)
            self.learning.start()
            if self._questions is not None:
                self.comparing = Comparing(self.learning, self._questions.embed, self._rng)

    def begin_restoring(self, now: float) -> None:
        """Starts to take what the shelf holds, beside the calls."""
        self._restoring = asyncio.create_task(self.restore(now), name="cache restore")

    async def restored(self, timeout_s: float) -> bool:
        """Waits for it that long; whether it is done."""
        if self._restoring is None:
            return True
        done, _ = await asyncio.wait([self._restoring], timeout=timeout_s)
        return bool(done)

    async def restore(self, now: float) -> int:
        """Takes what the shelf holds, first the answers, then the vectors of their questions;
        returns how many answers that is. What was kept meanwhile stays."""
        if self._shelf is None:
            return 0
        count, most = 0, self._bounds.most_answers
        async for rows in self._shelf.rows(now, most):
            for row in rows:
                if (row.partition, row.exact) not in self._entries:
                    self._place(entry_of(row))
                    count += 1
            self._make_room()
        if self._questions is None or self._near is None:
            return count
        async for rows in self._shelf.rows(now, most):
            for row in rows:
                entry = self._entries.get((row.partition, row.exact))
                if entry is not None and not entry.label and entry.call == row.call:
                    self._join_by(entry, row)
            await self._near.caught_up()
        return count

    async def close(self) -> None:
        """Writes what is still to be written."""
        if self._restoring is not None:
            self._restoring.cancel()
        if self.comparing is not None:
            await self.comparing.close()
        if self.learning is not None:
            await self.learning.close()
        if self._near is not None:
            await self._near.close()
        if self._shelf is not None:
            await self._shelf.close()

    async def find(
        self, asked: Asked, call: Call, policy: CachePolicy, now: float
    ) -> Recorded | None:
        """An answer in the form that the call wants, with header lines that say whence."""
        decision = Decision(call.id, now, asked.partition, asked.question, "refreshed")
        decision.tenant, decision.exact = call.caller.tenant, asked.exact
        self.decisions.add(decision)
        if asked.wrong is not None:
            await flagging.flag(self, asked.wrong, right=False, tenant=call.caller.tenant)
        if asked.refresh:
            return None
        entry = await self._entry((asked.partition, asked.exact))
        if entry is not None and not self._due(entry, now):
            given = as_hit(entry, call, b"exact", 1.0, now)
            if given is not None:
                self.counts.exact += 1
                decision.tier = "exact"
                self._credit(entry, decision)
                return given
        around = (asked.partition, asked.around)
        decision.tier = "missed"
        if asked.question and self._near and self._may_be_near(around):
            near = await self._nearest(asked, policy, now, decision)
            given = near and as_hit(near.entry, call, b"semantic", near.cosine, now)
            if near is not None and given is not None:
                self.counts.semantic += 1
                decision.tier = "semantic"
                self._credit(near.entry, decision)
                return given
        self.counts.missed += 1
        return None

    def _may_be_near(self, around: Key) -> bool:
        """Whether it is worth a look: an embedding costs milliseconds."""
        if self._shelf is not None and self._shelf.searches:
            return True
        return around in self._coming or (self._near is not None and around in self._near)

    def _credit(self, entry: Entry, decision: Decision) -> None:
        entry.hits += 1
        self.counts.saved_microusd += entry.recorded.cost_microusd or 0
        decision.paid_by = entry.call

    async def _entry(self, key: Key) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None or self._shelf is None:
            return entry
        row = await self._shelf.get(key)
        return None if row is None else self.kept_elsewhere(row)

    def kept_elsewhere(self, row: AnswerRow) -> Entry:
        """Takes an answer that another keeps too, unless there is a newer one; returns the one."""
        before = self._entries.get((row.partition, row.exact))
        if before is not None and before.kept_at >= row.kept_at:
            return before
        entry = entry_of(row)
        self._place(entry)
        self._join_by(entry, row)
        self._make_room()
        return entry

    def dropped_elsewhere(self, key: Key) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            self._forget(entry)

    def purged_elsewhere(self, partition: str | None) -> None:
        for entry in [e for e in self._entries.values() if partition in (None, e.key[0])]:
            self._forget(entry)

    async def caught_up(self) -> None:
        """Waits while the index is far behind."""
        if self._near is not None:
            await self._near.caught_up()

    async def keep(
        self, asked: Asked, recorded: Recorded, call: Call, policy: CachePolicy, now: float
    ) -> bool:
        """False if the answer is not one to keep."""
        if not worth_keeping(recorded, call.operation, self._bounds):
            return False
        made_s = time.monotonic() - call.received_at
        entry = Entry(
            key=(asked.partition, asked.exact),
            recorded=recorded,
            call=call.id,
            kept_at=now,
            until=now + policy.keep_s,
            made_s=max(0.0, made_s),
            around=(asked.partition, asked.around),
            question=asked.question,
            tags=tags_of(call),
        )
        if self.comparing is not None:
            self.comparing.doubtful(self.decisions.of(call.id), self._entries, entry)
        # At once: who has this answer may ask again before the question is embedded.
        self._place(entry)
        self._make_room()
        if asked.question:
            await self._place_near(entry, asked)
        if self._shelf is not None and policy.survive_restarts:
            self._shelf.keep(row_of(entry, asked.vector))
        return True

    def _place(self, entry: Entry) -> None:
        before = self._entries.get(entry.key)
        if before is not None:
            self._forget(before)
        self._entries[entry.key] = entry
        self._keys.append(entry.key)
        self.kept_bytes += entry.recorded.size_bytes

    async def _place_near(self, entry: Entry, asked: Asked) -> None:
        """Where questions like its own are looked for; calls that do wait for it meanwhile."""
        self._coming[entry.around] += 1
        try:
            await self._embed(asked)
        finally:
            self._coming[entry.around] -= 1
            if not self._coming[entry.around]:
                del self._coming[entry.around]
        if asked.vector is not None and self._entries.get(entry.key) is entry:
            self._join(entry, asked.vector)

    def _join(self, entry: Entry, vector: Any) -> None:
        """Makes its question one that is found by others like it."""
        label = self._last_label + 1
        if self._near is not None and self._near.add(entry.around, label, vector):
            self._last_label = entry.label = label
            self._labels[label] = entry

    def _join_by(self, entry: Entry, row: AnswerRow) -> None:
        """The same by its vector on the shelf, if it is of this model."""
        if self._questions is not None and row.vector is not None and row.vector_of == VERSION:
            self._join(entry, self._questions.vector(row.vector))

    def _leave(self, entry: Entry) -> None:
        """Its question is found no more."""
        if entry.label and self._near is not None:
            self._near.remove(entry.around, entry.label)
            del self._labels[entry.label]
            entry.label = 0

    def entries(self) -> Collection[Entry]:
        return self._entries.values()

    def purge(self, partition: str | None = None) -> int:
        """Drops a partition's answers, or all; returns how many they were."""
        gone = self.drop([e for e in self._entries.values() if partition in (None, e.key[0])])
        if self._shelf is not None:
            self._shelf.purge(partition)
        return gone

    def drop(self, entries: Collection[Entry]) -> int:
        """Drops them for good; returns how many they were."""
        for entry in entries:
            self._drop(entry)
        return len(entries)

    async def cosine(self, one: str, other: str) -> float | None:
        """Of two questions; None where there are no embeddings, or they are overloaded."""
        if self._questions is None:
            return None
        first, second = await self._questions.embed(one), await self._questions.embed(other)
        return None if first is None or second is None else float(first @ second)

    @property
    def skipped(self) -> int:
        """Questions that were not looked for, because too many waited."""
        if self._questions is None or self._near is None:
            return 0
        return self._questions.skipped + self._near.skipped

    async def _embed(self, asked: Asked) -> None:
        """Leaves the vector out where embeddings are overloaded or failed."""
        if self._questions is not None and asked.vector is None:
            try:
                asked.vector = await self._questions.embed(asked.question)
            except Exception:
                log.exception("a question could not be embedded")

    async def _nearest(
        self, asked: Asked, policy: CachePolicy, now: float, decision: Decision
    ) -> Near | None:
        await self._embed(asked)
        found = await self._candidates(asked, now)
        best = chosen(asked, found, policy, self.learning, decision)
        self.counts.guarded += sum(c.reason not in ("", "far") for c in decision.candidates)
        return best

    async def _candidates(self, asked: Asked, now: float) -> list[tuple[Entry, float]]:
        """Entries of the nearest questions with their cosines, nearest first."""
        if asked.vector is None or self._near is None:
            return []
        around = (asked.partition, asked.around)
        found: list[tuple[Entry, float]] = []
        for label, cosine in await self._near.nearest(around, asked.vector, LOOKED_AT):
            entry = self._labels.get(label)
            if entry is None:
                continue
            if now >= entry.until:
                self._leave(entry)
            elif entry.kept_at <= now:
                found.append((entry, cosine))
        if self._shelf is not None and self._shelf.searches:
            known = {entry.key for entry, _ in found}
            for row, cosine in await self._shelf.nearest(around, asked.vector, CANDIDATES):
                if (row.partition, row.exact) not in known:
                    found.append((self.kept_elsewhere(row), cosine))
            found.sort(key=lambda one: -one[1])
        return found[:CANDIDATES]

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
            least = min(drawn, key=lambda entry: entry.worth)
            self._forget(least)
            if self._shelf is not None:
                self._shelf.evicted(least.key)

    def _drop(self, entry: Entry) -> None:
        """For good."""
        self._forget(entry)
        if self._shelf is not None:
            self._shelf.drop(entry.key)

    def _forget(self, entry: Entry) -> None:
        if self._entries.pop(entry.key, None) is None:
            return
        self.kept_bytes -= entry.recorded.size_bytes
        self._leave(entry)
        if len(self._keys) > 2 * len(self._entries) + 64:
            self._keys = list(self._entries)

    def _due(self, entry: Entry, now: float) -> bool:
        """Ended, or about to end and made anew by this call alone: XFetch (Vattani, Chierichetti,
        Lowenstein 2015, Optimal Probabilistic Cache Stampede Prevention)."""
        early_s = -entry.made_s * math.log(1.0 - self._rng.random())
        return not entry.kept_at <= now < entry.until - min(early_s, EARLY_SHARE * entry.life_s)
