"""What the cache decided for the latest calls, and among which candidates. In memory, bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from headrace.gateway.cache.bound import Sighting

MOST = 2_000
"""Decisions that are remembered; the oldest goes first."""
Tier = Literal["exact", "semantic", "missed", "refreshed"]


class Counts(Struct):
    """What came of the calls that asked."""

    exact: int = 0
    semantic: int = 0
    missed: int = 0
    guarded: int = 0
    """Near questions that the guard told apart."""
    saved_microusd: int = 0
    """What the answers had cost that were given again."""


class Candidate(NamedTuple):
    """A kept question near to the one asked, and what was said of it."""

    call: str
    """That paid for its answer."""
    question: str
    cosine: float
    score: float
    """The guard's, from 0 to 1."""
    reason: str
    """Why it was not given; empty if it may be."""


class Decision(Struct, gc=False):
    """Of one call. `at` is Unix seconds."""

    call: str
    at: float
    partition: str
    question: str
    """Empty where there was none to compare."""
    tier: Tier
    paid_by: str | None = None
    """The call whose answer was given."""
    least_score: float | None = None
    """Asked of a candidate; None where none was looked at."""
    candidates: tuple[Candidate, ...] = ()
    tenant: str = ""
    """Of the caller."""
    exact: bytes = b""
    """Digest of the request."""
    pair: Sighting | None = None
    """That something can be learned of, where wrong answers are bounded."""
    vector: Any = None
    """Of the question, if there is such a pair."""
    flagged: bool | None = None
    """What was said of the answer: right, wrong, or nothing yet."""
    doubtful: tuple[str, bytes] | None = None
    """The entry that might have been given, had more been known."""


class Decisions:
    """By the calls' ids."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._by_call: OrderedDict[str, Decision] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_call)

    def __iter__(self) -> Iterator[Decision]:
        """Oldest first."""
        return iter(self._by_call.values())

    def add(self, decision: Decision) -> None:
        self._by_call[decision.call] = decision
        if len(self._by_call) > self._most:
            self._by_call.popitem(last=False)

    def of(self, call: str) -> Decision | None:
        return self._by_call.get(call)
