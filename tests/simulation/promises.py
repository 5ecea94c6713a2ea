"""What must hold in every simulated hour, whatever happens. Checked all along, from outside: by
what the world saw of the attempts, not by what the gateway believes."""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from headrace.config.policies import RetryBudgetPolicy, RetryPolicy
from headrace.gateway.fleet import BackendState
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go, Move
from headrace.nouns import Priority
from simulation.provider import Answer, Ill, Region

if TYPE_CHECKING:
    from simulation.calls import OneCall

IN_A_ROW = 5
"""Failures after which a backend is left alone, by every configuration of the simulation."""
LEAST_OPEN_S = 5.0 * 0.8
"""The shortest time out: `open_s` less its jitter."""
LEASE_S = 30.0
RECOVERY_S = 60.0
"""After a cause has ended, the region may be asked again and answers calls."""
RARE_PROBES_S = 360.0
"""The same where probes took long: they are rarer (`longest_open_s` and its jitter)."""
LITTLE_TIME_S = 10.0
"""A call that gives up so late had no time left."""
LITTLE_QUEUE_S = 1.0
LEAST_LIMIT, LIMIT_DOUBLES_S = 4, 60.0
"""Calls that may run on a region that was ill; more for each minute since, and by successes."""
STORM = 1.2
"""Attempts by calls, while no region answers."""
MANY_CALLS = 200
"""From so many calls on, and 5 calls a second, the factor alone must hold."""
ROUNDING_S = 1e-6


SILENT = frozenset({Ill.CUT_OFF, Ill.STALLING})


class End(enum.StrEnum):
    """How a call ended, for its client."""

    ANSWERED = "answered"
    MESSAGE = "message"
    """The plan gave up: the friendly message."""
    REJECTED = "rejected"
    """The request itself is at fault."""
    INCOMPLETE = "incomplete"
    """An error inside a stream that had begun."""
    SHED = "shed"
    NO_LEDGER = "no ledger"
    """The journal's disk is full."""
    LEFT = "left"
    """The client did."""
    DRAINED = "drained"
    KILLED = "killed"
    """The connection broke with the gateway."""
    UNREACHED = "unreached"
    """No gateway was there to call."""


class Breach(NamedTuple):
    """One promise that was not kept."""

    at_s: float
    promise: str
    what: str


class Book:
    """What the world knows of a backend of one gateway's life."""

    __slots__ = ("failures", "leave_until", "out_since", "probe_failed_at", "probed_at", "probes")

    def __init__(self) -> None:
        self.leave_until = 0.0
        self.failures = 0
        """In a row, by what came last."""
        self.out_since = -1e9
        """When there were enough of them."""
        self.probe_failed_at = -1e9
        """When an attempt failed that had begun after that."""
        self.probes: list[Go] = []
        self.probed_at = -1e9
        """When the last one ended."""


class Darkness:
    """A time in which no region answers any call. Of regions that are silent nothing is known
    until calls have run out of time, and all that came meanwhile go on to the next region."""

    def __init__(self, began: float, silent: bool) -> None:
        self.began = began
        self.silent = silent
        self.calls = 0
        self.attempts: Counter[str] = Counter()
        self.spoiled = False
        """The gateway began anew in it, with full budgets."""


class Witness:
    """Writes down breaches, and what is counted."""

    def __init__(self, budget: RetryBudgetPolicy, retry: RetryPolicy) -> None:
        self.breaches: list[Breach] = []
        self.ends: Counter[End] = Counter()
        self.attempts = 0
        self.recovery_s = 0.0
        """The longest after which a call was refused though a region was well again."""
        self.slow_recovery_s = 0.0
        """The same after illnesses that make probes rare."""
        self.darkness: Darkness | None = None
        self.intents = 0
        """Lines of the journal; more or fewer than the attempts that regions saw is a breach."""
        self._budget = budget
        self._retry = retry
        self.a_gateway_starts(0.0)

    def a_gateway_starts(self, now: float) -> None:
        """Without a memory: with full budgets, and no backend is out."""
        self._books: dict[BackendState, Book] = {}
        self._since = now
        self._successes = self._paid = 0
        if self.darkness is not None:
            self.darkness.spoiled = True

    def book(self, backend: BackendState) -> Book:
        book = self._books.get(backend)
        if book is None:
            self._books[backend] = book = Book()
        return book

    def breach(self, now: float, promise: str, what: str) -> None:
        self.breaches.append(Breach(round(now, 3), promise, what))

    # --- attempts

    def asks(self, call: OneCall, go: Go, now: float) -> None:
        """An attempt goes out."""
        self.attempts += 1
        backend, asked = go.backend, call.asked
        book = self._books.get(backend) or self.book(backend)
        asked.append(go)
        name = backend.name
        if now >= call.deadline:
            self.breach(now, "no attempt past the deadline", f"call {call.number} on {name}")
        if len(asked) > 1:
            if len(asked) > self._retry.attempts:
                self.breach(now, "at most 4 attempts", f"call {call.number}: {len(asked)}")
            if sum(g.backend is backend for g in asked) > self._retry.attempts_per_backend:
                self.breach(now, "at most 2 attempts on a backend", f"call {call.number}, {name}")
            self._pays(go, now)
        if now < book.leave_until - ROUNDING_S:
            early_s = book.leave_until - now
            self.breach(now, "left alone as asked", f"{name}: {early_s:.3f} s too early")
        ago_s = now - book.probe_failed_at
        if book.failures > IN_A_ROW and ago_s < LEAST_OPEN_S - ROUNDING_S:
            self.breach(now, "a failing backend is out", f"{name}: {ago_s:.3f} s after it failed")
        if go.permit.probe:
            book.probes = [p for p in book.probes if p.ended is None and now - p.began < LEASE_S]
            if book.probes:
                self.breach(now, "one probe at a time", name)
            book.probes.append(go)
        if call.darkness is not None and call.darkness is self.darkness:
            call.darkness.attempts[name] += 1

    def _pays(self, go: Go, now: float) -> None:
        """Retries, and going on to backends that fail themselves, are within the budget."""
        below = self._retry.free_failover_below
        if go.move is not Move.RETRY and go.backend.failure_share(now) < below:
            return
        self._paid += 1
        budget = self._budget
        earned = budget.per_s * (now - self._since) + budget.per_success * self._successes
        if self._paid > budget.burst + earned + ROUNDING_S:
            self.breach(now, "retries within the budget", f"{self._paid} of {earned:.1f} + burst")

    def answers(self, go: Go, now: float) -> None:
        """A first token or a whole answer has come."""
        self._successes += 1
        book = self._books.get(go.backend) or self.book(go.backend)
        book.failures = 0
        if book.probes and go in book.probes:
            book.probes.remove(go)
            book.probed_at = now

    def fails(self, go: Go, answer: Answer, now: float) -> None:
        """An attempt failed, and the region may have asked to be left alone."""
        book = self.book(go.backend)
        if answer.leave_s:
            book.leave_until = max(book.leave_until, now + answer.leave_s)
        if go.result in ("server", "unreachable", "slow", "cut"):
            if now - go.began < LEASE_S:  # what took longer tells of a time that is over
                book.failures += 1
                if book.failures == IN_A_ROW:
                    book.out_since = now
                elif book.failures > IN_A_ROW and go.began > book.out_since:
                    book.probe_failed_at = now
        else:
            book.failures = 0
        if go in book.probes:
            book.probes.remove(go)
            book.probed_at = now

    # --- calls

    def arrives_in_darkness(self, call: OneCall, darkness: Darkness) -> None:
        darkness.calls += 1
        call.darkness = darkness

    def shed(self, call: OneCall, now: float, lag_s: float) -> None:
        allowed = {0: (), 1: (Priority.BATCH,), 2: (Priority.BATCH, Priority.NORMAL)}
        level = (lag_s > 0.05) + (lag_s > 0.2)
        if call.priority not in allowed[level]:
            self.breach(now, "the least important first", f"{call.priority} at {lag_s:.3f} s")

    def ends_call(
        self, call: OneCall, end: End, now: float, regions: dict[str, Region], why: str
    ) -> None:
        if call.ended is not None:
            self.breach(now, "one end", f"call {call.number}: {call.ended}, then {end}")
        call.ended = end
        self.ends[end] += 1
        if end is End.MESSAGE:
            self._was_it_right(call, now, regions, why)
        if (end is End.REJECTED) and not call.bad:
            self.breach(now, "good requests are answered", f"call {call.number}")
        if call.plan is not None and (end is End.MESSAGE or len(call.asked) > 1):
            self._is_told(call, call.plan, end, now, why)

    def _was_it_right(
        self, call: OneCall, now: float, regions: dict[str, Region], why: str
    ) -> None:
        """Nobody is told to come back while a region could have answered. While it is probed it
        takes no other call: one probe at a time comes first. So the first calls to a tier that was
        not needed since it was ill may be refused."""
        if call.deadline - now < LITTLE_TIME_S:
            return
        for backend in call.backends:
            region, book = regions[backend.name], self.book(backend)
            probed = book.probes or book.probed_at >= call.began
            if region.ills or book.leave_until > call.began or probed:
                continue
            if region.queue_s(now) > LITTLE_QUEUE_S:
                continue
            lag_s = call.began - region.well_since
            if backend.load.running >= LEAST_LIMIT * 2 ** max(0, int(lag_s / LIMIT_DOUBLES_S) - 1):
                continue
            if call.began >= region.sound_since:
                what = f"call {call.number}: {why!r}, but {backend.name} was well for {lag_s:.0f} s"
                self.breach(now, "a region that is well answers", what)
            elif region.sound_since - region.well_since <= RECOVERY_S:
                self.recovery_s = max(self.recovery_s, lag_s)
            else:
                self.slow_recovery_s = max(self.slow_recovery_s, lag_s)

    def _is_told(self, call: OneCall, plan: CallPlan, end: End, now: float, why: str) -> None:
        """Every decision has a story."""
        told = plan.decisions()
        tried = [(d.backend, d.did) for d in told if d.took_s is not None or d.why == "running"]
        if end is End.NO_LEDGER:
            tried.pop()  # no attempt was made of it
        notes = {d.backend for d in told if d.did == "skipped" and d.why}
        if tried != [(go.backend.name, go.move.value) for go in call.asked]:
            self.breach(now, "every decision has a story", f"call {call.number}: {tried}")
        if sum(d.did == "waits" for d in told) != call.waits:
            self.breach(now, "every decision has a story", f"call {call.number}: its waits")
        if end is not End.MESSAGE:
            return
        last = told[-1] if told else None
        if last is None or last.did != "gives up" or not why or last.why != why:
            self.breach(now, "every decision has a story", f"call {call.number}: its end")
        if why == "no backend can be asked":
            asked = {go.backend.name for go in call.asked}
            for backend in call.backends:
                if backend.name not in asked | notes:
                    self.breach(now, "every decision has a story", f"no word of {backend.name}")

    def grows_dark(self, now: float, regions: dict[str, Region]) -> None:
        self.darkness = Darkness(now, any(region.ill in SILENT for region in regions.values()))

    def grows_light(self, now: float) -> None:
        """A storm was no storm: T07."""
        dark, self.darkness = self.darkness, None
        if dark is None or dark.spoiled:
            return
        length_s, calls = now - dark.began, dark.calls
        most = STORM * calls
        if calls < MANY_CALLS or calls < 5.0 * length_s:
            most += self._budget.burst + self._budget.per_s * length_s
        worst = max(dark.attempts.values(), default=0)
        total = dark.attempts.total()
        if worst > most or (total > most and not dark.silent):
            what = f"{total} attempts for {calls} calls in {length_s:.0f} s, {dict(dark.attempts)}"
            self.breach(now, "an outage is not multiplied", what)
