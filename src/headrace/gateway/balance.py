"""Which backend of a tier gets a call. Pure: chance comes from the caller.

`p2c` is Mitzenmacher's power of two choices on Finagle's load (peak EWMA times calls running).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Protocol, TypeVar

from headrace.config.policies import BalancePolicy
from headrace.gateway.load import Load


class Candidate(Protocol):
    """A backend that may be asked."""

    @property
    def name(self) -> str: ...
    @property
    def load(self) -> Load: ...
    def share(self, now: float) -> float:
        """The part of its traffic that it may take, below 1 after an outage."""
        ...

    def failing(self, now: float) -> float:
        """Failures by attempts, lately; held low while there were few attempts."""
        ...


C = TypeVar("C", bound=Candidate)

FEW_CALLS = 20
"""Good attempts that are taken for granted before a share of failures is believed: one failure
among few calls says little."""
_FAILING = 10.0
"""Of two backends the one that fails 10 % more of its attempts loses half of its calls to the
other, the one that fails 50 % more five of six: failing fast must not attract calls."""


class Balancer:
    """Chooses among the backends of one tier. `now` is monotonic seconds."""

    __slots__ = ("_policy", "_turn", "by_load")

    def __init__(self, policy: BalancePolicy) -> None:
        self._policy = policy
        self._turn = -1
        self.by_load = policy.method == "p2c"

    def choose(
        self,
        candidates: Sequence[C],
        now: float,
        rng: Random,
        *,
        stream: bool,
        session: bytes | None = None,
    ) -> C:
        """One of the candidates, of which there must be at least one. One that comes back from an
        outage is passed over by chance while others can take its place."""
        chosen = self._pick(candidates, now, rng, stream, session)
        while len(candidates) > 1:
            share = chosen.share(now)
            if share >= 1.0 or rng.random() < share:
                break
            candidates = [c for c in candidates if c is not chosen]
            chosen = self._pick(candidates, now, rng, stream, session)
        return chosen

    def _pick(
        self, candidates: Sequence[C], now: float, rng: Random, stream: bool, session: bytes | None
    ) -> C:
        if len(candidates) == 1:
            return candidates[0]
        if session is not None:
            return of_session(candidates, session)
        method = self._policy.method
        if method == "p2c":
            return better_of_two(candidates, now, rng, stream)
        if method == "weighted":
            return by_weight(candidates, self._policy.weights, rng)
        if method == "least_busy":
            return least_busy(candidates, rng)
        self._turn += 1
        return candidates[self._turn % len(candidates)]


def better_of_two(candidates: Sequence[C], now: float, rng: Random, stream: bool) -> C:
    """Two by chance, of these the one with the lower cost."""
    count = len(candidates)
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    if second >= first:
        second += 1
    return better(candidates[first], candidates[second], now, rng, stream)


def better(one: C, other: C, now: float, rng: Random, stream: bool) -> C:
    """The one with the lower load. The one that fails more is passed over by chance, the likelier
    the more it fails: so it is drained of calls, but a single failure only slows them."""
    more = one.failing(now) - other.failing(now)
    if more:
        weight = _FAILING * abs(more)
        if rng.random() * (1.0 + weight) < weight:
            return other if more > 0.0 else one
    return other if other.load.score(now, stream) < one.load.score(now, stream) else one


def least_busy(candidates: Sequence[C], rng: Random) -> C:
    """The one with the fewest calls running; among equals by chance."""
    least = min(c.load.running for c in candidates)
    equals = [c for c in candidates if c.load.running == least]
    return equals[int(rng.random() * len(equals))]


def by_weight(candidates: Sequence[C], weights: Mapping[str, float], rng: Random) -> C:
    """By chance, in proportion to the weights; 1 for a backend without one."""
    rest = rng.random() * sum(weights.get(c.name, 1.0) for c in candidates)
    for candidate in candidates:
        rest -= weights.get(candidate.name, 1.0)
        if rest < 0.0:
            return candidate
    return candidates[-1]


def of_session(candidates: Sequence[C], session: bytes) -> C:
    """Rendezvous hashing (Thaler, Ravishankar 1998): the same backend for the same session; when
    one leaves, only its own sessions move, and they come back with it."""
    return max(
        candidates, key=lambda c: blake2b(c.name.encode() + b"\0" + session, digest_size=8).digest()
    )
