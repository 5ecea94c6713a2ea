"""The attempts of one call: which runs, how it ended, and which backends may be asked for another.

The ground that `plan.CallPlan` chooses on. Pure, as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from headrace.gateway import consequences
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import BackendState, Fleet, Route, Tier
from headrace.gateway.health import Outcome, State
from headrace.gateway.steps import Decision, Go, Move
from headrace.gateway.story import Story

STALE_WITHIN_S = 1.0
"""A peer that had closed a connection says so within a round trip. One that takes longer had the
request, and failed."""


class Attempts:
    """`deadline` is monotonic seconds: the instant by which the first token of a stream, or a whole
    answer, must be there. Backends of one `session` (a hash or name of it) are kept as long as they
    can answer."""

    __slots__ = (
        "_deadline",
        "_fleet",
        "_go",
        "_last",
        "_needs",
        "_obeyed",
        "_promised",
        "_route",
        "_session",
        "_story",
        "_stream",
        "_waits",
    )

    def __init__(
        self,
        fleet: Fleet,
        route: Route,
        now: float,
        deadline: float,
        *,
        stream: bool,
        session: bytes | None = None,
    ) -> None:
        self._fleet = fleet
        self._route = route
        self._deadline = deadline
        self._stream = stream
        self._session = session
        self._story = Story(now)
        self._go: Go | None = None
        self._last: Failure | None = None
        self._promised: BackendState | None = None
        self._needs = 0
        self._obeyed = False
        """It has waited for a backend that asked to be left alone."""
        self._waits = 0

    @property
    def attempts(self) -> int:
        """Attempts made, a running one included."""
        return len(self._story.past) + (self._go is not None)

    @property
    def running(self) -> Go:
        """The attempt that runs, or was the last to end."""
        assert self._go is not None
        return self._go

    def first_token(self, now: float) -> None:
        """The stream's first content is there: the attempt succeeded, and runs on."""
        go = self._go
        if go is not None and not go.permit.used:
            go.result = "ok"
            consequences.answered(self._fleet, go, now, stream=True)

    def ended(self, now: float) -> None:
        """The attempt ended well: a stream at its terminal event, a whole answer."""
        go = self._go
        if go is None or go.ended is not None:
            return
        if not go.permit.used:
            go.result = "ok"
            consequences.answered(self._fleet, go, now, self._stream)
        load = go.backend.load
        go.backend.limit.succeeded(load.running)
        load.running -= 1
        go.ended = now

    def broke(self, now: float) -> None:
        """A stream broke off after its first token: nothing can be tried instead. Before it, the
        fault was the gateway's own, such as a full disk: it says nothing of the backend, and a
        probe's place is free for the next call at once."""
        go = self._go
        if go is None or go.ended is not None:
            return
        if go.permit.used:
            go.result = "broke"
            consequences.broke(self._fleet, go, now)
        else:
            go.result = "cancelled"
            go.backend.breaker.record(go.permit, Outcome.NEUTRAL, now)
        self._release(go, now)

    def cancelled(self, now: float) -> None:
        """The client left, or the call ended otherwise. After `ended` it does nothing, so that it
        may stand in a `finally`."""
        go = self._go
        if go is not None and go.ended is None:
            go.result = "cancelled"
            go.backend.breaker.cancel(go.permit, now)
            self._release(go, now)

    def decisions(self) -> list[Decision]:
        """What was done and why, in order."""
        return self._story.told(self._go)

    def made(self) -> list[Go]:
        """All attempts so far, a running one and the one that answered included."""
        go = self._go
        past = self._story.past
        return [*past] if go is None or go in past else [*past, go]

    # --- two attempts at once

    def leads(self, go: Go) -> None:
        """Of two attempts this is the one that `next`, `ended` and `cancelled` tell of."""
        self._go = go

    def lost(self, go: Go, now: float) -> None:
        """Of two attempts the other gave the answer, or this one could not be made."""
        go.result = "lost"
        go.backend.breaker.cancel(go.permit, now)
        self._release(go, now)
        self._story.past.append(go)

    def failed(self, go: Go, failure: Failure, now: float) -> None:
        """Of two attempts this one failed, and the other runs on."""
        other = self._go
        self._fail(go, failure, now)
        self._go = other

    # --- the attempt that runs

    def _start(self, backend: BackendState, move: Move, now: float) -> Go | None:
        permit = backend.breaker.begin(now)
        if permit is None:
            return None
        backend.load.running += 1
        self._go = go = Go(backend, move, permit, now)
        return go

    def _fail(self, go: Go, failure: Failure, now: float) -> None:
        if failure.kind is Kind.STALE and now - go.began > STALE_WITHIN_S:
            failure = replace(failure, kind=Kind.UNREACHABLE)
        go.result = failure.kind.value
        consequences.failed(self._fleet, go, failure, now)
        self._release(go, now)
        self._past(go)
        self._last = failure
        if failure.kind is Kind.CONTEXT:
            self._needs = max(self._needs, self._route.windows.get(go.backend.name, 0))

    def _past(self, go: Go) -> None:
        self._story.past.append(go)
        self._go = None

    def _release(self, go: Go, now: float) -> None:
        go.backend.load.running -= 1
        go.ended = now

    # --- which backends may be asked

    def _tiers(self) -> tuple[Tier, ...]:
        route = self._route
        return (*route.tiers, route.wider) if self._needs else route.tiers

    def _backends(self) -> Iterator[BackendState]:
        return (backend for tier in self._tiers() for backend in tier.backends)

    def _choose(self, tier: Tier, able: Sequence[BackendState], now: float) -> BackendState:
        return tier.balancer.choose(
            able, now, self._fleet.rng, stream=self._stream, session=self._session
        )

    def _can_ask(self, backend: BackendState, now: float) -> bool:
        why = self._why_not(backend, now)
        if why:
            self._story.skip(backend, why, now)
        return not why

    def _why_not(self, backend: BackendState, now: float) -> str:
        if not self._is_wide_enough(backend):
            return "its context window is not larger"
        availability = backend.breaker.available(now)
        if not availability.ok:
            return availability.why
        if not backend.has_room(now):
            return "at its limit of concurrent calls"
        if self._story.past and self._deadline - now < self._usual_s(backend):
            return "too little time left"
        return ""

    def _is_wide_enough(self, backend: BackendState) -> bool:
        return not self._needs or self._route.windows.get(backend.name, 0) > self._needs

    def _usual_s(self, backend: BackendState) -> float:
        load = backend.load
        return load.stream.median_s if self._stream else load.whole.median_s

    def _is_untried(self, backend: BackendState, now: float) -> bool:
        """Healthy, and not asked by this call: no probe for a call that has no other way."""
        return (
            not self._story.results(backend)
            and backend.breaker.state(now) is State.CLOSED
            and self._can_ask(backend, now)
        )

    def _pays(self, backend: BackendState, now: float) -> bool:
        """A retry on the same backend takes from its budget and from the gateway's."""
        budget, gateway = backend.budget, self._fleet.budget
        if budget.affords(now) and gateway.affords(now):
            return budget.take(now) and gateway.take(now)
        self._story.skip(backend, "the retry budget is spent", now)
        return False
