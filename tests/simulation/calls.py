"""One call of a simulated hour: carries out its plan's steps in virtual time, as the pipeline does
in real time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from headrace.errors import Refused
from headrace.gateway.failure import Failure
from headrace.gateway.fleet import BackendState
from headrace.gateway.models import attempt_until
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go, Wait
from headrace.nouns import Priority
from simulation.promises import Darkness, End
from simulation.provider import RESET, TOO_SLOW, Answer

if TYPE_CHECKING:
    from simulation.hour import Hour

FIRST_TOKEN_S = 15.0
WHOLE_S = 60.0
IDLE_S = 30.0
ATTEMPTS_WORTH = 2
"""The defaults of `Timeouts`, and how the gateway makes a deadline for a first token of them."""


class OneCall:
    """Chosen by chance: whether it streams, how long its answer is, how patient its client."""

    __slots__ = ("_answer", "_go", "_hour", "_serial", "asked", "backends", "bad", "began",
                 "darkness", "deadline", "ended", "first_s", "number", "plan", "priority", "rest_s",
                 "stream", "tries", "waits")  # fmt: skip

    def __init__(self, hour: Hour, number: int) -> None:
        rng, now = hour.rng, hour.clock.now
        dice = rng.random()
        self._hour = hour
        self._serial = 0  # of what is awaited: what comes late is not heeded
        self._go: Go | None = None
        self._answer: Answer | None = None
        self.number = number
        self.began = now
        self.stream = dice < 0.5
        self.bad = 0.49 < dice < 0.5
        self.first_s = 0.2 + rng.random()
        self.rest_s = 0.2 + 6.0 * rng.random() ** 2
        self.priority = (
            Priority.NORMAL if dice < 0.7 else Priority.BATCH if dice < 0.9 else Priority.CRITICAL
        )
        patience_s = ATTEMPTS_WORTH * FIRST_TOKEN_S if self.stream else WHOLE_S
        self.deadline = now + patience_s
        self.plan: CallPlan | None = None
        self.asked: list[Go] = []
        self.backends: tuple[BackendState, ...] = ()
        self.tries = self.waits = 0
        self.ended: End | None = None
        self.darkness: Darkness | None = None

    def arrive(self) -> None:
        hour, now = self._hour, self._hour.clock.now
        if hour.witness.darkness is not None:
            hour.witness.arrives_in_darkness(self, hour.witness.darkness)
        gateway = hour.gateway
        if gateway is None:
            self._end(End.UNREACHED)
            return
        try:
            gateway.shedder.admit(self.priority, len(gateway.running))
        except Refused:
            hour.witness.shed(self, now, hour.lag_s)
            self._end(End.SHED)
            return
        gateway.running[self] = None
        self.backends = gateway.backends
        self.tries = min(len(self.backends), gateway.route.retry.attempts)
        deadline = self.deadline + hour.late_s
        self.plan = CallPlan(gateway.fleet, gateway.route, now, deadline, stream=self.stream)
        if hour.rng.random() < 0.02:
            hour.clock.after(10.0 * hour.rng.random(), self._leave)
        self._go_on(None)

    # --- what others do to it

    def reset(self) -> None:
        """The region that it runs on died."""
        if self._go is not None and self._go.began == self._hour.clock.now:
            return  # its answer will say so
        if self._committed:
            self._break_off()
        else:
            self._fail(Answer(RESET, 0.0))

    def fall_silent(self) -> None:
        """No byte comes any more from the region that it runs on."""
        go, clock = self._go, self._hour.clock
        assert go is not None
        self._serial += 1
        if self._committed:
            clock.after(IDLE_S, partial(self._broken, self._serial))
        else:
            answer = Answer(TOO_SLOW, 0.0)
            left_s = max(0.0, go.began + self._patience_s(go.began) - clock.now)
            clock.after(left_s, partial(self._told, self._serial, answer))

    def cut_short(self, end: End) -> None:
        """The gateway ends, or the client leaves."""
        self._serial += 1
        assert self.plan is not None
        self.plan.cancelled(self._hour.clock.now)
        self._end(end)

    def _leave(self) -> None:
        if self.ended is None:
            self.cut_short(End.LEFT)

    # --- the plan's steps

    def _go_on(self, failure: Failure | None) -> None:
        assert self.plan is not None
        hour = self._hour
        step = self.plan.next(hour.clock.now, failure)
        if isinstance(step, Go):
            self._ask(step)
        elif isinstance(step, Wait):
            self.waits += 1
            self._serial += 1
            hour.clock.after(step.seconds, partial(self._waited, self._serial))
        else:
            rejected = failure is not None and self.bad and failure.refused.status == 400
            self._end(End.REJECTED if rejected else End.MESSAGE, step.why)

    def _waited(self, serial: int) -> None:
        if serial == self._serial:
            self._go_on(None)

    def _ask(self, go: Go) -> None:
        hour, now = self._hour, self._hour.clock.now
        self._go = go
        if hour.disk_full:
            assert self.plan is not None
            self.plan.broke(now)
            self._serial += 1
            self._end(End.NO_LEDGER)
            return
        hour.witness.intents += 1
        hour.witness.asks(self, go, now)
        hour.note(2, self.number, go.backend.name)
        region = hour.regions[go.backend.name]
        hour.running[region.name][self] = None
        rest_s = self.rest_s
        if self.stream:
            answer = region.ask(now, self.first_s, rest_s, self.bad)
        else:
            answer = region.ask(now, self.first_s + rest_s, 0.0, self.bad)
        if answer.after_s > FIRST_TOKEN_S or now + answer.after_s > self.deadline:
            left_s = self._patience_s(now)
            if answer.after_s > left_s:
                answer = Answer(TOO_SLOW, left_s)
        self._answer = answer
        self._serial += 1
        hour.clock.after(answer.after_s, partial(self._told, self._serial, answer))

    def _told(self, serial: int, answer: Answer) -> None:
        if serial != self._serial:
            return
        if answer.failure is not None:
            self._fail(answer)
            return
        go, plan, hour = self._go, self.plan, self._hour
        assert go is not None
        assert plan is not None
        now = hour.clock.now
        if not self.stream:
            plan.ended(now)
            hour.witness.answers(go, now)
            self._end(End.ANSWERED)
            return
        plan.first_token(now)
        hour.witness.answers(go, now)
        self._serial += 1
        if answer.breaks:
            hour.clock.after(answer.rest_s / 2, partial(self._broken, self._serial))
        else:
            hour.clock.after(answer.rest_s, partial(self._complete, self._serial))

    def _complete(self, serial: int) -> None:
        if serial == self._serial:
            assert self.plan is not None
            self.plan.ended(self._hour.clock.now)
            self._end(End.ANSWERED)

    def _broken(self, serial: int) -> None:
        if serial == self._serial:
            self._break_off()

    def _break_off(self) -> None:
        assert self.plan is not None
        self._serial += 1
        self.plan.broke(self._hour.clock.now)
        self._end(End.INCOMPLETE)

    def _fail(self, answer: Answer) -> None:
        go, failure, hour = self._go, answer.failure, self._hour
        assert go is not None
        assert failure is not None
        self._serial += 1
        hour.running[go.backend.name].pop(self, None)
        self._go_on_after(go, failure, answer)

    def _go_on_after(self, go: Go, failure: Failure, answer: Answer) -> None:
        """The witness learns of the failure when the plan has, and before the next attempt."""
        hour = self._hour
        go.result = failure.kind.value
        hour.witness.fails(go, answer, hour.clock.now)
        self._go_on(failure)

    @property
    def _committed(self) -> bool:
        return self._go is not None and self.stream and self._go.result == "ok"

    def _patience_s(self, now: float) -> float:
        """How long an attempt that begins now may take to its first token or its end."""
        if self.stream:
            return max(0.001, min(FIRST_TOKEN_S, self.deadline - now))
        until = attempt_until(len(self.asked) - 1, self.tries, now, self.deadline)
        return max(0.001, until - now)

    def _end(self, end: End, why: str = "") -> None:
        hour = self._hour
        if self._go is not None:
            hour.running[self._go.backend.name].pop(self, None)
        if hour.gateway is not None:
            hour.gateway.running.pop(self, None)
        hour.witness.ends_call(self, end, hour.clock.now, hour.regions, why)
        hour.note(3, self.number, end)
