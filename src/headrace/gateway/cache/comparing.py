"""Whether two answers of a model say the same: what is learned from a second call, or from a call
that was in doubt."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headrace.gateway import answer_forms
from headrace.gateway.cache.bound import Sighting
from headrace.gateway.cache.decisions import Decision
from headrace.gateway.cache.entries import Entry, Key
from headrace.gateway.cache.learning import Learning
from headrace.gateway.cache.reading import read
from headrace.gateway.recorded import Recorded

log = logging.getLogger("headrace.cache")

SAME_COSINE, OTHER_COSINE = 0.9, 0.6
"""Answers nearer than the first say the same, if rules see no difference; those farther apart than
the second do not. Between them nobody can tell."""
CHARACTERS = 1_000
"""Of an answer that are compared: embeddings see no more."""
MOST_AT_ONCE = 8
"""Comparisons that wait; more are left out."""

Embed = Callable[[str], Awaitable[Any]]


def say_the_same(one: str, other: str, cosine: float | None) -> bool | None:
    """None if it cannot be told. `cosine` is that of their embeddings, None if there is none."""
    if one.split() == other.split():
        return True
    if cosine is None:
        return None
    if cosine <= OTHER_COSINE:
        return False
    first, second = read(one[:CHARACTERS]), read(other[:CHARACTERS])
    if first.numbers != second.numbers or first.negations != second.negations:
        return False if cosine < SAME_COSINE else None
    return True if cosine >= SAME_COSINE else None


class Comparing:
    """Compares beside the calls, for one event loop."""

    def __init__(self, learning: Learning, embed: Embed, rng: random.Random) -> None:
        self._learning = learning
        self._embed = embed
        self._rng = rng
        self._running: set[asyncio.Task[None]] = set()
        self.undecided = 0
        """Pairs of answers of which it could not be told."""

    def picks(self, decision: Decision | None, share: float) -> bool:
        """Whether it is one of the hits that are checked."""
        if decision is None or decision.tier != "semantic" or decision.pair is None:
            return False
        return self._rng.random() < share

    def doubtful(self, decision: Decision | None, kept: Mapping[Key, Entry], made: Entry) -> None:
        """Learns whether the answer that was in doubt would have been right: the model has made
        one now."""
        if decision is None or decision.pair is None or decision.doubtful is None:
            return
        other = kept.get(decision.doubtful)
        if other is not None:
            answers = (other.recorded, made.recorded)
            self.begin(self.compare(decision.pair, decision.vector, answers, "compared"))

    def begin(self, work: Awaitable[None]) -> bool:
        """Takes work for beside the calls; False if there is too much of it."""
        if len(self._running) >= MOST_AT_ONCE:
            if asyncio.iscoroutine(work):
                work.close()
            return False
        task = asyncio.ensure_future(self._done(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def compare(
        self,
        pair: Sighting,
        vector: Any,
        answers: tuple[Recorded, Recorded],
        source: str,
    ) -> None:
        """Learns of a pair of questions by the answers of a model to both."""
        one, other = map(answer_forms.plain_text, answers)
        if not one or not other:
            return
        cosine = None
        if one.split() != other.split():
            first = await self._embed(one[:CHARACTERS])
            second = await self._embed(other[:CHARACTERS])
            if first is not None and second is not None:
                cosine = float(first @ second)
        same = say_the_same(one, other, cosine)
        if same is None:
            self.undecided += 1
        else:
            await self._learning.find_out(pair, vector, same, source)

    async def close(self) -> None:
        """Ends what runs. Idempotent."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _done(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            log.exception("two answers could not be compared")
