"""What an attempt's end means for its backend: breaker, budgets, concurrency limit, load."""

from __future__ import annotations

from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import BackendState, Fleet
from headrace.gateway.health import Outcome, Transition
from headrace.gateway.steps import Go

_FAULTS = frozenset({Kind.SERVER, Kind.UNREACHABLE, Kind.SLOW, Kind.CUT})
"""Failures of the backend itself. The others are the request's, the quota's or the gateway's."""
_OVERLOAD = frozenset({Kind.SERVER, Kind.SLOW})


def answered(fleet: Fleet, go: Go, now: float, stream: bool) -> None:
    """The first token of a stream, or a whole answer, is there."""
    backend = go.backend
    took_s = now - go.began
    if stream:
        change = backend.breaker.record(go.permit, Outcome.OK, now, took_s)
        backend.load.stream.observe(took_s, now)
        if took_s > backend.breaker.policy.slow_first_token_s:
            backend.limit.strained(go.began, backend.load.running, now)
    else:
        change = backend.breaker.record(go.permit, Outcome.OK, now)
        backend.load.whole.observe(took_s, now)
    if change is not None:
        fleet.changed(backend, change)
    backend.budget.succeeded()
    fleet.budget.succeeded()
    if backend.limit.cut_at is not None:
        backend.limit.forget(now)


def failed(fleet: Fleet, go: Go, failure: Failure, now: float) -> None:
    """The attempt failed before anything of it reached the client."""
    backend, kind = go.backend, failure.kind
    breaker, running = backend.breaker, backend.load.running
    outcome = Outcome.NEUTRAL
    if kind in _FAULTS:
        outcome = Outcome.FAILED
    elif kind is Kind.DENIED:
        outcome = Outcome.DENIED
    change = breaker.record(go.permit, outcome, now)
    if change is not None:
        fleet.changed(backend, change)
    if kind is Kind.THROTTLED:
        hint_s = failure.retry_after_s
        seconds = breaker.policy.unhinted_throttle_s if hint_s is None else hint_s
        _pause(fleet, backend, seconds, now, "throttled")
        backend.limit.refused(go.began, running, now)
    elif kind is Kind.SPENT:
        _pause(fleet, backend, breaker.policy.spent_s, now, "spent")
    elif kind is Kind.NO_SUCH_MODEL:
        backend.misconfigured += 1
    elif kind in _FAULTS and failure.retry_after_s is not None:
        _pause(fleet, backend, failure.retry_after_s, now, "throttled")
    if kind in _OVERLOAD:
        backend.limit.strained(go.began, running, now)


def broke(fleet: Fleet, go: Go, now: float) -> None:
    """A stream broke off after its first token."""
    change = go.backend.breaker.broke(go.permit, now)
    if change is not None:
        fleet.changed(go.backend, change)


def _pause(fleet: Fleet, backend: BackendState, seconds: float, now: float, why: str) -> None:
    state = backend.breaker.state(now)
    backend.breaker.pause(seconds, now, why)
    fleet.changed(backend, Transition(state, state, why))
