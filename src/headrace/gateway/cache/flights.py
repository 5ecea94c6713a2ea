"""Calls that are being answered just now: one that asks the same waits for that answer instead of
asking the model, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.config.caching import CachePolicy
from headrace.gateway.cache import guard
from headrace.gateway.cache.asking import Asked
from headrace.gateway.cache.bound import KINDS, Sighting
from headrace.gateway.cache.learning import Learning
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call

if TYPE_CHECKING:
    from headrace.gateway.cache.given_again import GivenAgain

Key = tuple[str, bytes]
MOST_LOOKED_AT = 64
"""Of the calls with the same history; the latest."""


class Flight:
    """A call that is being answered."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.over = asyncio.Event()
        """Its answer is kept now, or there is none."""
        self.abandoned = False
        """Its client left, which says nothing of the next one's chances."""


class Flights:
    """For one event loop."""

    def __init__(self, embed: Callable[[Asked], Awaitable[None]]) -> None:
        """`embed` fills in the vector of what is asked, where it can."""
        self._embed = embed
        self._by_place: dict[Key, list[Flight]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_place.values()))

    @contextmanager
    def answering(self, asked: Asked) -> Iterator[None]:
        """While the call is answered and its answer kept."""
        place, flight = _place(asked), Flight(asked)
        self._by_place.setdefault(place, []).append(flight)
        try:
            yield
        except asyncio.CancelledError:
            flight.abandoned = True
            raise
        finally:
            flights = self._by_place[place]
            flights.remove(flight)
            if not flights:
                del self._by_place[place]
            flight.over.set()

    async def same(
        self, asked: Asked, policy: CachePolicy, learning: Learning | None
    ) -> Flight | None:
        """The call in flight that asks the same, in the same words or, where the guard agrees, in
        others: the nearest."""
        flights = self._by_place.get(_place(asked), [])[-MOST_LOOKED_AT:]
        for flight in flights:
            if flight.asked.exact == asked.exact:
                return flight
        if not flights or not asked.question:
            return None
        await self._embed(asked)
        best: tuple[float, Flight] | None = None
        for flight in flights:
            if asked.vector is None or flight.over.is_set():
                continue
            await self._embed(flight.asked)
            if flight.asked.vector is None:
                continue
            cosine = float(flight.asked.vector @ asked.vector)
            if (best is None or cosine > best[0]) and _agreed(
                asked, flight.asked, cosine, policy, learning
            ):
                best = cosine, flight
        return None if best is None else best[1]


async def waited_for(
    cache: GivenAgain, asked: Asked, call: Call, policy: CachePolicy
) -> Recorded | None:
    """The answer of a call that asks the same and is being answered; None if there is none in
    time, or it is not one to give."""
    until = asyncio.get_running_loop().time() + policy.wait_s
    while True:
        flight = await cache.flights.same(asked, policy, cache.learning)
        if flight is None:
            return None
        try:
            async with asyncio.timeout_at(until):
                await flight.over.wait()
        except TimeoutError:
            return None
        cache.counts.missed -= 1  # it is looked for once more
        found = await cache.find(asked, call, policy, time.time())
        if found is not None or not flight.abandoned:
            return found
        # Of those that waited for it one goes next, and the others wait for that one.


def _place(asked: Asked) -> Key:
    """Where those are that might ask the same; without a question only the very same does."""
    return (asked.partition, asked.around or asked.exact)


def _agreed(
    asked: Asked, other: Asked, cosine: float, policy: CachePolicy, learning: Learning | None
) -> bool:
    verdict = guard.judge(asked.question, other.question, cosine, threshold=policy.least_score)
    if learning is None or policy.max_wrong_rate is None or not verdict.allowed:
        return verdict.allowed
    pair = Sighting(asked.partition, -1, asked.exact, other.exact, KINDS[""], cosine)
    return learning.bound.opinion(pair, policy.max_wrong_rate).allowed
