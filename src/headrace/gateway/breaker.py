"""A backend's circuit breaker: closed, open, half-open, isolated. Pure: no I/O, no clock.

After Envoy's outlier detection (times ejected double the time out, health forgives them), Polly
(one probe, a manual `isolated`) and resilience4j (slow calls; but its half-open may wait for ever
for a lost probe, so here a probe has a lease).
"""

from __future__ import annotations

from random import Random

from headrace.config.policies import BreakerPolicy
from headrace.gateway.health import Availability, Outcome, Permit, Snapshot, State, Transition
from headrace.gateway.window import Window

_YES = Availability(True)
_LONG_AGO = -1e9


class Breaker:
    """`now` is monotonic seconds. If it steps back, no time out gets longer than it was."""

    __slots__ = (
        "_doublings",
        "_epoch",
        "_hand",
        "_in_a_row",
        "_isolated",
        "_lease_until",
        "_lost",
        "_open_s",
        "_open_until",
        "_paused_s",
        "_paused_until",
        "_paused_why",
        "_probe",
        "_ramping",
        "_rng",
        "_since",
        "_state",
        "_successes",
        "_why",
        "_window",
        "plain",
        "policy",
    )

    def __init__(self, policy: BreakerPolicy, rng: Random) -> None:
        self.policy = policy
        self._rng = rng
        self._window = Window(policy.window_s, policy.buckets)
        self._state = State.CLOSED
        self._why = ""
        self._epoch = 0  # permits of an earlier one are out of date
        self._in_a_row = 0
        self._doublings = 0
        self._open_until = self._open_s = 0.0
        self._paused_until = self._paused_s = 0.0
        self._paused_why = ""
        self._isolated = False
        self._hand = 0
        self._probe: Permit | None = None
        self._lost: Permit | None = None
        self._lease_until = 0.0
        self._successes = 0
        self._since = _LONG_AGO
        self._ramping = False
        self.plain = True
        """Closed, at its full share, neither paused nor isolated: nothing else needs a look."""

    def use(self, policy: BreakerPolicy) -> None:
        """New settings; what is known stays."""
        if (policy.window_s, policy.buckets) != (self.policy.window_s, self.policy.buckets):
            self._window = Window(policy.window_s, policy.buckets)
        self.policy = policy

    def state(self, now: float) -> State:
        self._advance(now)
        return State.ISOLATED if self._isolated else self._state

    def available(self, now: float) -> Availability:
        """Whether `begin` would give a permit, and why not."""
        if self.plain:
            return _YES
        self._advance(now)
        if self._isolated:
            return Availability(False, "isolated")
        until, why = self._paused_until, self._paused_why
        if self._state is State.OPEN and self._open_until > until:
            until, why = self._open_until, self._why
        elif self._probe is not None and self._lease_until > until:
            until, why = self._lease_until, "probing"
        return Availability(False, why, until) if why else _YES

    def begin(self, now: float) -> Permit | None:
        """Leave for one attempt, or None if the backend must not be asked."""
        if not self.plain and not self.available(now).ok:
            return None
        if self._state is State.CLOSED:
            return Permit(now, self._epoch, self._window.start(now), False)
        self._lease_until = now + self.policy.probe_lease_s
        self._probe = Permit(now, self._epoch, 0, True)
        self._lost = None  # its outcome would end the new probe, and begin a third beside it
        return self._probe

    def record(
        self, permit: Permit, outcome: Outcome, now: float, ttft_s: float | None = None
    ) -> Transition | None:
        """The attempt's outcome, at its first token or its failure. `ttft_s` is the time to the
        first token of a stream. A permit counts once."""
        if permit.used:
            return None
        permit.used = True
        if not self.plain:
            self._advance(now)
        if permit.epoch != self._epoch:
            return self._late(permit, outcome, now)
        slow = ttft_s is not None and ttft_s > self.policy.slow_first_token_s
        if permit.probe:
            return self._probed(permit, outcome, now, slow)
        if outcome is Outcome.OK:
            self._in_a_row = 0
            self._window.succeed(now)
            if not slow:
                return None
            self._window.be_slow(now)
            return self._trip_if_bad(now)
        if outcome is Outcome.FAILED:
            return self._failed(now)
        self._window.withdraw(permit.serial, now)
        if outcome is Outcome.DENIED:
            return self._open(now, self.policy.denied_s, "denied")
        return None

    def broke(self, permit: Permit, now: float) -> Transition | None:
        """A stream broke off after its first token was recorded: a failure more."""
        self._advance(now)
        if self._state is State.CLOSED:
            return self._failed(now)
        if self._state is State.HALF_OPEN and permit.probe and permit.epoch == self._epoch:
            return self._trip(now, "probe failed", permit)
        return None

    def cancel(self, permit: Permit, now: float) -> None:
        """The attempt ended without an outcome: the client left. A probe's place must not be lost
        by it, nor filled at once by the next."""
        if permit.used:
            return
        permit.used = True
        self._advance(now)
        if permit.epoch != self._epoch:
            return
        if permit.probe:
            self._reopen(now)
        else:
            self._window.withdraw(permit.serial, now)

    def pause(self, seconds: float, now: float, why: str = "throttled") -> None:
        """Leave the backend alone for that long: no fault of its health. The longest pause counts.
        The backend's own word is believed up to `longest_throttle_s`."""
        seconds = min(seconds, self.policy.longest_throttle_s)
        if now + seconds > self._paused_until:
            self._paused_until, self._paused_s = now + seconds, seconds
            self._paused_why = why
            self.plain = False

    def isolate(self) -> None:
        """A person takes it out, until `restore`."""
        self._isolated = True
        self._hand += 1
        self.plain = False

    def restore(self, now: float) -> None:
        """A person vouches for it: closed, with a slow start, nothing held against it."""
        self._isolated = False
        self._hand += 1
        self._paused_until, self._paused_why = 0.0, ""
        self._doublings = 0
        self._close(now)

    def share(self, now: float) -> float:
        """The part of its traffic that it may take, from 0 to 1; below 1 after an outage."""
        if self.plain:
            return 1.0
        self._advance(now)
        if self._state is not State.CLOSED:
            return 0.0
        if not self._ramping:
            return 1.0
        policy = self.policy
        grown = (now - self._since) / policy.slow_start_s
        return min(1.0, policy.slow_start_from + (1.0 - policy.slow_start_from) * grown)

    def failure_share(self, now: float, granted: int = 0) -> float:
        """Failures by attempts of the window; 0 if there were none. `granted` good attempts are
        counted besides."""
        window = self._window
        if not window.failed:
            return 0.0
        window.turn(now)
        return window.failed / (window.total + granted) if window.failed else 0.0

    def export(self, now: float) -> Snapshot:
        """What others need to know."""
        state = self.state(now)
        is_open = self._state is State.OPEN
        return Snapshot(
            state=state,
            hand=self._hand,
            why=self._why,
            since_s=max(0.0, now - self._since),
            open_s=self._open_until - now if is_open else 0.0,
            doublings=self._doublings_left(now),
            paused_s=max(0.0, self._paused_until - now) if self._paused_why else 0.0,
            paused_why=self._paused_why,
        )

    def adopt(self, remote: Snapshot, now: float, *, believed: bool = True) -> None:
        """Takes over a change that another worker or replica made: it opened, its probes
        succeeded, it was throttled, a person isolated or restored it. What the other saw of the
        backend's health counts only if it is `believed`."""
        self._advance(now)
        self._obey(remote, now)
        newer = believed and remote.since_s < now - self._since
        if newer and remote.open_s > 0.0:
            # Longer by chance, so that the first probe's outcome comes before the next one's try.
            later = self._rng.uniform(1.0, 1.0 + self.policy.open_jitter)
            self._open(now, min(remote.open_s * later, 86_400.0), remote.why or "open")
            self._doublings = min(remote.doublings, 64)
        elif newer and remote.state is State.CLOSED and self._state is not State.CLOSED:
            self._doublings = min(remote.doublings, 64)
            self._close(now)
        if remote.paused_s > 0.0:
            self.pause(remote.paused_s, now, remote.paused_why or "throttled")
        self._set_plain()

    def _obey(self, remote: Snapshot, now: float) -> None:
        """The last word of a person counts; of two at the same time, that to isolate."""
        isolated = remote.state is State.ISOLATED
        if remote.hand == self._hand:
            self._isolated = self._isolated or (isolated and remote.hand > 0)
            return
        if remote.hand < self._hand:
            return
        self._hand = remote.hand
        was, self._isolated = self._isolated, isolated
        if isolated:
            return
        if was:
            self._close(now)
        if self._paused_why and remote.since_s < now - (self._paused_until - self._paused_s):
            self._paused_until, self._paused_why = 0.0, ""

    def _advance(self, now: float) -> None:
        """Moves on what time alone moves on."""
        if self.plain:
            return
        if self._paused_why:
            self._paused_until = min(self._paused_until, now + self._paused_s)
            if now >= self._paused_until:
                self._paused_until, self._paused_why = 0.0, ""
        if self._probe is not None:
            self._lease_until = min(self._lease_until, now + self.policy.probe_lease_s)
            if now >= self._lease_until:
                lost = self._probe
                self._reopen(self._lease_until)
                self._lost = lost
        if self._state is State.OPEN:
            self._open_until = min(self._open_until, now + self._open_s)
            if now >= self._open_until:
                self._state = State.HALF_OPEN
        elif self._state is State.CLOSED and self._ramping:
            self._since = min(self._since, now)
            self._ramping = now - self._since < self.policy.slow_start_s
        self._set_plain()

    def _set_plain(self) -> None:
        self.plain = not (
            self._state is not State.CLOSED or self._ramping or self._paused_why or self._isolated
        )

    def _failed(self, now: float) -> Transition | None:
        self._in_a_row += 1
        self._window.fail(now)
        if self._in_a_row >= self.policy.failures_in_a_row:
            return self._trip(now, "failures in a row")
        return self._trip_if_bad(now)

    def _trip_if_bad(self, now: float) -> Transition | None:
        window, policy = self._window, self.policy
        total = window.total
        if total < policy.min_calls:
            return None
        if window.failed >= policy.failure_share * total:
            return self._trip(now, "failing")
        if window.slow >= policy.slow_share * total:
            return self._trip(now, "slow")
        return None

    def _probed(
        self, permit: Permit, outcome: Outcome, now: float, slow: bool
    ) -> Transition | None:
        self._probe = None
        if outcome is Outcome.OK and not slow:
            return self._succeeded(now)
        if outcome is Outcome.DENIED:
            return self._open(now, self.policy.denied_s, "denied")
        if outcome is Outcome.NEUTRAL:
            return None
        return self._trip(now, "probe slow" if slow else "probe failed", permit)

    def _late(self, permit: Permit, outcome: Outcome, now: float) -> Transition | None:
        """The outcome of a permit that is out of date: it counts if it was the probe that was
        given up last, for whole answers may take longer than its lease."""
        if permit is not self._lost:
            return None
        self._lost = None
        if outcome is Outcome.OK:
            self._state = State.HALF_OPEN
            return self._succeeded(now)
        if outcome is Outcome.FAILED:
            return self._trip(now, "probe failed", permit)
        return None

    def _succeeded(self, now: float) -> Transition | None:
        self._successes += 1
        return self._close(now) if self._successes >= self.policy.probe_successes else None

    def _doublings_left(self, now: float) -> int:
        if self._state is not State.CLOSED:
            return self._doublings
        healthy_s = max(0.0, now - self._since)
        return max(0, self._doublings - int(healthy_s / self.policy.forgive_s))

    def _trip(self, now: float, why: str, probe: Permit | None = None) -> Transition:
        policy = self.policy
        cap_s = policy.open_cap_s
        if probe is not None:
            by_cost = min((now - probe.began) / policy.probing_share, policy.longest_open_s)
            cap_s = max(cap_s, by_cost)
        doublings = self._doublings_left(now)
        seconds = policy.open_s * 2.0**doublings
        self._doublings = doublings + 1 if seconds < cap_s else doublings
        return self._open(now, self._jittered(min(seconds, cap_s)), why)

    def _reopen(self, at: float) -> None:
        """A probe told nothing: open for the shortest time, and nothing is held against it."""
        self._open(at, self._jittered(self.policy.open_s), self._why)

    def _jittered(self, seconds: float) -> float:
        jitter = self.policy.open_jitter
        return seconds * self._rng.uniform(1.0 - jitter, 1.0 + jitter)

    def _open(self, now: float, seconds: float, why: str) -> Transition:
        before, self._state = self._state, State.OPEN
        self._since = now
        self._open_until, self._open_s, self._why = now + seconds, seconds, why
        self._start_over()
        self.plain = False
        return Transition(before, State.OPEN, why)

    def _close(self, now: float) -> Transition:
        before, self._state = self._state, State.CLOSED
        self._since, self._ramping, self._why = now, True, ""
        self._start_over()
        self._set_plain()
        return Transition(before, State.CLOSED, "probes succeeded")

    def _start_over(self) -> None:
        self._epoch += 1
        self._window.clear()
        self._in_a_row = self._successes = 0
        self._probe = self._lost = None
