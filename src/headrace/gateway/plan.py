"""The plan of one call: which backend to ask now, whether to wait, when to give up.

Pure: `now` is monotonic seconds, chance comes from the fleet's `Random`; no I/O, no clock. The
caller carries out each step and tells how it ended:

    plan = CallPlan(fleet, route, now, deadline, stream=True)
    step = plan.next(now)
    Go        -> ask step.backend; then first_token and ended, or next(now, failure), or cancelled
    Wait      -> sleep, then next(now)
    GiveUp    -> tell the client

Two policies that are off by default ask for one attempt more: `resume` after a stream broke off,
`hedge` beside one that takes long.

Bounded by construction: every attempt is counted, and so is every wait. Going on to another
backend is a retry too: it is free only where it cannot feed a storm (see docs/reliability.md).
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.gateway.attempts import Attempts
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import BackendState, Tier
from headrace.gateway.health import State
from headrace.gateway.steps import GiveUp, Go, Move, Step, Wait

_FINAL = frozenset({Kind.REJECTED, Kind.FILTERED})
"""Another backend would say the same."""
_OF_THE_REQUEST = frozenset({Kind.CONTEXT, Kind.UNSUPPORTED})
"""Another backend may be able to; waiting does not help."""
_REPEATABLE = frozenset(
    kind.value
    for kind in (Kind.SERVER, Kind.UNREACHABLE, Kind.STALE, Kind.SLOW, Kind.CUT, Kind.THROTTLED)
)
"""The same backend may say something else the next time."""
_UNHEARD = frozenset({Kind.UNREACHABLE.value, Kind.STALE.value})
_MOST_WAITS = 3
_MOST_RESUMES = 2
_WAKE_LATE_S = 0.001
"""Added to a wait, so that a timer that fires early is no early call."""


class CallPlan(Attempts):
    """The state machine of one call."""

    __slots__ = ()

    def next(self, now: float, last: Failure | None = None) -> Step:
        """What to do now. `last` is how the running attempt failed, None at first and after a
        wait. Raises ValueError if an attempt runs and `last` is None, or the other way round."""
        if (last is None) is not (self._go is None):
            raise ValueError("tell how the running attempt ended, and only that")
        if last is not None:
            self._fail(self.running, last, now)
        elif not self._story.past and now < self._deadline:
            tier = self._route.tiers[0]
            backend = None if self._session else tier.glance(now, self._fleet.rng, self._stream)
            if backend is not None:
                go = self._start(backend, Move.FIRST, now)
                if go is not None:
                    return go
        return self._consider(now)

    # --- one attempt more

    def resume(self, now: float, deadline: float, last: Failure | None = None) -> Go | None:
        """Another backend to go on with the text of the stream that broke off, None if there is
        none. `last` is how the one that was asked before to go on failed without giving any.
        `deadline` is the instant by which the next must give some."""
        go = self.running
        if last is not None:
            self._fail(go, last, now)
        else:
            self.broke(now)
            self._past(go)
        self._deadline = deadline
        past = self._story.past
        if len(past) >= self._route.retry.attempts:
            self._story.note("gives up", None, "no attempts left", now)
        elif sum(one.move is Move.RESUME for one in past) >= _MOST_RESUMES:
            self._story.note("gives up", None, "it was resumed often enough", now)
        else:
            return self._resumed(now)
        return None

    def _resumed(self, now: float) -> Go | None:
        for tier in self._tiers():
            able = [b for b in tier.backends if self._is_untried(b, now)]
            if able and not self._fleet.budget.take(now):
                self._story.note("gives up", None, "the gateway's retry budget is spent", now)
                return None
            if able:
                return self._start(self._choose(tier, able, now), Move.RESUME, now)
        self._story.note("gives up", None, "no other backend can go on", now)
        return None

    def hedge(self, now: float) -> Go | None:
        """A second backend, as good as the one that is asked, to be asked beside it; None if there
        is none. Takes from the retry budgets. One of the two ends by `lost` or `failed`, the other
        by `leads`."""
        first = self.running
        most = self._route.retry.attempts
        tier = next((t for t in self._tiers() if first.backend in t.backends), None)
        if tier is None or self.attempts >= most:
            return None
        below = self._route.retry.free_failover_below
        able = [
            b
            for b in tier.backends
            if b is not first.backend
            and self._is_untried(b, now)
            and b.failure_share(now) < below
            and self._deadline - now > self._usual_s(b)
        ]
        if not able:
            return None
        backend = self._choose(tier, able, now)
        second = self._start(backend, Move.HEDGE, now) if self._pays(backend, now) else None
        self._go = first
        return second

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
        step = self._as_promised(now) or self._over_a_new_connection(now)
        for tier in self._tiers():
            step = step or self._fresh(tier, now) or self._again_before_next(tier, now)
        step = step or self._again(self._backends(), now) or self._wait_for_throttled(now)
        return step or self._give_up("no backend can be asked", now)

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

    # --- the same backend again

    def _may_repeat(self, backend: BackendState) -> bool:
        results = self._story.results(backend)
        few = len(results) < self._route.retry.attempts_per_backend
        return few and self._is_wide_enough(backend) and all(r in _REPEATABLE for r in results)

    def _over_a_new_connection(self, now: float) -> Step | None:
        """Where a kept connection had ended, which says nothing of its health, the backend is asked
        again at once: once for each call, and counted as any retry, for it may have got the
        request."""
        last, past = self._last, self._story.past
        if last is None or last.kind is not Kind.STALE:
            return None
        backend = past[-1].backend
        first = sum(one.result == Kind.STALE.value for one in past) == 1
        if not (first and self._may_repeat(backend) and self._can_ask(backend, now)):
            return None
        tier = next((tier for tier in self._tiers() if backend in tier.backends), None)
        if tier is None or not self._has_one_to_spare(tier, now):
            return None
        return self._start(backend, Move.RETRY, now) if self._pays(backend, now) else None

    def _again_before_next(self, tier: Tier, now: float) -> Step | None:
        """A server's passing error is repeated before a tier is given up: the next may be a
        smaller or dearer model."""
        last, policy = self._last, self._route.retry
        if last is None or last.kind is not Kind.SERVER or not policy.retry_before_next_tier:
            return None
        backend = self._story.past[-1].backend
        if backend not in tier.backends or not self._has_one_to_spare(tier, now):
            return None
        return self._again((backend,), now)

    def _has_one_to_spare(self, tier: Tier, now: float) -> bool:
        """An attempt is kept for each later tier that can be asked."""
        tiers = self._tiers()
        later = tiers[tiers.index(tier) + 1 :]
        kept = sum(any(self._is_new_and_able(b, now) for b in t.backends) for t in later)
        return self._route.retry.attempts - len(self._story.past) > kept

    def _is_new_and_able(self, backend: BackendState, now: float) -> bool:
        return not self._story.results(backend) and not self._why_not(backend, now)

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
                if not seconds:
                    return self._start(backend, Move.RETRY, now)
                return self._wait(backend, seconds, "backs off", now)
        return None

    def _backoff_s(self, backend: BackendState) -> float:
        """Full jitter: U(0, min(cap, base * 2^n)), so that calls that failed together do not come
        back together. None for a backend that asked for a pause, since that is over."""
        policy = self._route.retry
        last = self._story.results(backend)[-1]
        if last == Kind.THROTTLED.value:
            return 0.0
        unheard = last in _UNHEARD
        base = policy.connect_backoff_s if unheard else policy.backoff_s
        ceiling = min(policy.backoff_cap_s, base * 2.0 ** (len(self._story.past) - 1))
        return self._fleet.rng.random() * ceiling

    # --- waiting

    def _wait_for_throttled(self, now: float) -> Step | None:
        """The backend that asked to be left alone for the shortest time, if that is short. Who has
        waited as long as was asked and is refused again does not wait a second time: others use up
        what there is."""
        if self._obeyed and self._last is not None and self._last.kind is Kind.THROTTLED:
            return None
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
        self._obeyed = True
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
        if last is not None and (last.kind in _FINAL or last.kind in _OF_THE_REQUEST):
            return GiveUp(why, refused, None)
        return GiveUp(why, refused, self._route.free_in_s(now))
