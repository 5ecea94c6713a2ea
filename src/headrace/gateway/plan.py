"""The plan of one call: which backend to ask now, whether to wait, when to give up.

Pure: `now` is monotonic seconds, chance comes from the fleet's `Random`; no I/O, no clock. The
caller carries out each step and tells how it ended:

    plan = CallPlan(fleet, route, now, deadline, stream=True)
    step = plan.next(now)
    Go        -> ask step.backend; then first_token and ended, or next(now, failure), or cancelled
    Wait      -> sleep, then next(now)
    GiveUp    -> tell the client

Bounded by construction: every attempt is counted, and so is every wait. Going on to another
backend is a retry too: it is free only where it cannot feed a storm (see docs/reliability.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from headrace.gateway import consequences
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import BackendState, Fleet, Route, Tier
from headrace.gateway.health import State
from headrace.gateway.steps import Decision, GiveUp, Go, Move, Step, Wait
from headrace.gateway.story import Story

_FINAL = frozenset({Kind.REJECTED, Kind.FILTERED})
"""Another backend would say the same."""
_REPEATABLE = frozenset(
    k.value for k in (Kind.SERVER, Kind.UNREACHABLE, Kind.SLOW, Kind.CUT, Kind.THROTTLED)
)
"""The same backend may say something else the next time."""
_MOST_WAITS = 3
_WAKE_LATE_S = 0.001
"""Added to a wait, so that a timer that fires early is no early call."""


class CallPlan:
    """The state machine of one call. `deadline` is monotonic too: the instant by which the first
    token of a stream, or a whole answer, must be there. Backends of one `session` (a hash or
    name of it) are kept as long as they can answer."""

    __slots__ = (
        "_deadline",
        "_fleet",
        "_go",
        "_last",
        "_needs",
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
        self._waits = 0

    @property
    def attempts(self) -> int:
        """Attempts made, a running one included."""
        return len(self._story.past) + (self._go is not None)

    def next(self, now: float, last: Failure | None = None) -> Step:
        """What to do now. `last` is how the running attempt failed, None at first and after a
        wait. Raises ValueError if an attempt runs and `last` is None, or the other way round."""
        if (last is None) is not (self._go is None):
            raise ValueError("tell how the running attempt ended, and only that")
        if last is not None:
            self._fail(last, now)
        elif not self._story.past and now < self._deadline:
            tier = self._route.tiers[0]
            backend = None if self._session else tier.glance(now, self._fleet.rng, self._stream)
            if backend is not None:
                go = self._start(backend, Move.FIRST, now)
                if go is not None:
                    return go
        return self._consider(now)

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
        """A stream broke off after its first token: nothing can be tried instead."""
        go = self._go
        if go is not None and go.ended is None:
            go.result = "broke"
            consequences.broke(self._fleet, go, now)
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

    # --- the attempt that runs

    def _start(self, backend: BackendState, move: Move, now: float) -> Go | None:
        permit = backend.breaker.begin(now)
        if permit is None:
            return None
        backend.load.running += 1
        self._go = go = Go(backend, move, permit, now)
        return go

    def _fail(self, failure: Failure, now: float) -> None:
        go = self._go
        assert go is not None
        go.result = failure.kind.value
        consequences.failed(self._fleet, go, failure, now)
        self._release(go, now)
        self._story.past.append(go)
        self._go = None
        self._last = failure
        if failure.kind is Kind.CONTEXT:
            self._needs = max(self._needs, self._route.windows.get(go.backend.name, 0))

    def _release(self, go: Go, now: float) -> None:
        go.backend.load.running -= 1
        go.ended = now

    # --- choosing

    def _consider(self, now: float) -> Step:
        last = self._last
        if last is not None:
            if last.kind in _FINAL:
                return self._give_up("the request itself was refused", now)
            if last.kind is Kind.CONTEXT and not self._needs:
                return self._give_up("no backend is known to have a larger window", now)
            if len(self._story.past) >= self._route.retry.attempts:
                return self._give_up("no attempts left", now)
        if now >= self._deadline:
            return self._give_up("no time left", now)
        step = self._as_promised(now)
        for tier in self._tiers():
            step = step or self._fresh(tier, now) or self._again_before_next(tier, now)
        step = step or self._again(self._backends(), now) or self._wait_for_throttled(now)
        return step or self._give_up("no backend can be asked", now)

    def _tiers(self) -> tuple[Tier, ...]:
        route = self._route
        return (*route.tiers, route.wider) if self._needs else route.tiers

    def _backends(self) -> Iterator[BackendState]:
        return (backend for tier in self._tiers() for backend in tier.backends)

    def _fresh(self, tier: Tier, now: float) -> Step | None:
        """A backend that this call has not asked yet."""
        able = [b for b in tier.backends if not self._story.results(b) and self._can_ask(b, now)]
        if not able:
            return None
        half_open = [b for b in able if b.breaker.state(now) is State.HALF_OPEN]
        closed = [b for b in able if b not in half_open]
        if not self._story.past:
            return (
                self._start(half_open[0], Move.PROBE, now)
                if half_open
                else self._start(self._choose(tier, closed, now), Move.FIRST, now)
            )
        below = self._route.retry.free_failover_below
        free = [b for b in closed if b.failure_share(now) < below]
        if not free and not self._fleet.budget.take(now):
            for backend in able:
                self._story.skip(backend, "the gateway's retry budget is spent", now)
            return None
        move = Move.FAILOVER if closed else Move.PROBE
        if self._last is not None and self._last.kind is Kind.CONTEXT:
            move = Move.CONTEXT_FALLBACK
        return self._start(self._choose(tier, free or closed or half_open, now), move, now)

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
        if not backend.admits():
            return "at its limit of concurrent calls"
        if self._story.past and self._deadline - now < self._usual_s(backend):
            return "too little time left"
        return ""

    def _is_wide_enough(self, backend: BackendState) -> bool:
        return not self._needs or self._route.windows.get(backend.name, 0) > self._needs

    def _usual_s(self, backend: BackendState) -> float:
        load = backend.load
        return load.stream.median_s if self._stream else load.whole.median_s

    # --- the same backend again

    def _may_repeat(self, backend: BackendState) -> bool:
        results = self._story.results(backend)
        few = len(results) < self._route.retry.attempts_per_backend
        return few and self._is_wide_enough(backend) and all(r in _REPEATABLE for r in results)

    def _again_before_next(self, tier: Tier, now: float) -> Step | None:
        """A server's passing error is repeated before a tier is given up: the next may be a
        smaller or dearer model."""
        last = self._last
        if last is None or last.kind is not Kind.SERVER:
            return None
        backend = self._story.past[-1].backend
        wanted = self._route.retry.retry_before_next_tier and backend in tier.backends
        return self._again((backend,), now) if wanted else None

    def _again(self, backends: Iterable[BackendState], now: float) -> Step | None:
        for backend in backends:
            if not self._story.results(backend) or not self._may_repeat(backend):
                continue
            if not self._can_ask(backend, now):
                continue
            seconds = self._backoff_s(backend)
            if now + seconds + self._usual_s(backend) > self._deadline:
                self._story.skip(backend, "too little time left", now)
            elif self._pays(backend, now):
                return self._wait(backend, seconds, "backs off", now)
        return None

    def _backoff_s(self, backend: BackendState) -> float:
        """Full jitter: U(0, min(cap, base * 2^n)), so that calls that failed together do not come
        back together."""
        policy = self._route.retry
        unreachable = self._story.results(backend)[-1] == Kind.UNREACHABLE.value
        base = policy.connect_backoff_s if unreachable else policy.backoff_s
        ceiling = min(policy.backoff_cap_s, base * 2.0 ** (len(self._story.past) - 1))
        return self._fleet.rng.random() * ceiling

    def _pays(self, backend: BackendState, now: float) -> bool:
        """A retry on the same backend takes from its budget and from the gateway's."""
        budget, gateway = backend.budget, self._fleet.budget
        if budget.affords(now) and gateway.affords(now):
            return budget.take(now) and gateway.take(now)
        self._story.skip(backend, "the retry budget is spent", now)
        return False

    # --- waiting

    def _wait_for_throttled(self, now: float) -> Step | None:
        """The backend that asked to be left alone for the shortest time, if that is short."""
        soonest, until = None, now + self._route.retry.longest_wait_s
        for backend in self._backends():
            availability = backend.breaker.available(now)
            free_at = availability.until
            if availability.why != "throttled" or free_at is None or free_at > until:
                continue
            if self._may_repeat(backend):
                soonest, until = backend, free_at
        if soonest is None:
            return None
        longer = 1.0 + self._fleet.rng.random() * self._route.retry.wait_jitter
        seconds = (until - now) * longer + _WAKE_LATE_S
        if now + seconds + self._usual_s(soonest) > self._deadline:
            return None
        if self._story.results(soonest) and not self._pays(soonest, now):
            return None
        return self._wait(soonest, seconds, "throttled", now)

    def _wait(self, backend: BackendState, seconds: float, why: str, now: float) -> Step | None:
        self._waits += 1
        if self._waits > _MOST_WAITS:
            return None
        self._promised = backend
        self._story.note("waits", backend.name, f"{why}, {seconds:.3f} s", now)
        return Wait(seconds, why)

    def _as_promised(self, now: float) -> Step | None:
        """The retry that the wait was for, if it is still possible."""
        backend, self._promised = self._promised, None
        if backend is None or not self._story.results(backend) or not self._can_ask(backend, now):
            return None
        return self._start(backend, Move.RETRY, now)

    # --- giving up and telling why

    def _give_up(self, why: str, now: float) -> GiveUp:
        self._story.note("gives up", None, why, now)
        last = self._last
        refused = None if last is None else last.refused
        if last is not None and (last.kind in _FINAL or last.kind is Kind.CONTEXT):
            return GiveUp(why, refused, None)
        return GiveUp(why, refused, self._route.free_in_s(now))
