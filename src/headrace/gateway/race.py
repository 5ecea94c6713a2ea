"""Asks a second backend for a whole answer that is late, and takes the first good one.

Whoever loses is cancelled, which closes its connection, and is accounted for: it may have worked to
the end for nothing.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct
from msgspec.structs import replace

from headrace.errors import Refused
from headrace.gateway import attempt
from headrace.gateway.attempt import Attempt
from headrace.gateway.failure import AttemptFailed, Failure, Kind
from headrace.gateway.hedging import Hedging
from headrace.gateway.metering import Metering
from headrace.gateway.models import Chosen, Target
from headrace.gateway.plan import CallPlan
from headrace.gateway.progress import Progress
from headrace.gateway.steps import Go
from headrace.nouns import Usage


async def whole(first: Attempt, plan: CallPlan, chosen: Chosen, metering: Metering) -> bytes:
    """The body of a whole answer, from `first` or another backend. Raises AttemptFailed of the one
    that failed last, Refused."""
    hedging = chosen.hedging
    assert hedging is not None
    if first.progress.attempts == 1:
        hedging.called()
    late_s = hedging.after_s(first.target.name)
    if late_s is None or not hedging.affords():
        began = time.monotonic()
        body = await attempt.whole(first)
        hedging.took(first.target.name, time.monotonic() - began)
        return body
    race = _Race(first, plan, hedging, metering)
    try:
        await race.wait(late_s)
        if race.is_on and hedging.affords():
            race.ask_another(chosen)
        return await race.won()
    finally:
        await race.end()


class _Runner(Struct, eq=False):
    """One of the two. Its attempt has a progress of its own. `place` is the second's in the queue
    of its service; the first's is the pipeline's to give back."""

    target: Target
    go: Go
    task: asyncio.Task[bytes]
    progress: Progress
    place: int | None

    @property
    def has_answered(self) -> bool:
        task = self.task
        return task.done() and not task.cancelled() and task.exception() is None

    def failure(self) -> Failure | None:
        """How it failed by itself; None if it runs, was cancelled or answered. Raises what is no
        failure of the second backend."""
        if not self.task.done() or self.task.cancelled():
            return None
        error = self.task.exception()
        if error is None or isinstance(error, AttemptFailed):
            return None if error is None else error.failure
        if isinstance(error, Refused) and self.place is not None:
            return Failure(Kind.BUSY_HERE, error)  # this backend cannot do what the first may
        raise error


class _Race:
    """One or two attempts of a call."""

    def __init__(
        self, first: Attempt, plan: CallPlan, hedging: Hedging, metering: Metering
    ) -> None:
        self._first = first
        self._plan = plan
        self._hedging = hedging
        self._metering = metering
        self._leader = plan.running
        """The one that the plan and the call's own progress tell of."""
        first.progress.sent_upstream = True
        self._running: list[_Runner] = []
        self._start(first.target, self._leader, None)

    @property
    def is_on(self) -> bool:
        """Nobody is there yet."""
        return not any(runner.task.done() for runner in self._running)

    async def wait(self, seconds: float | None = None) -> None:
        """Until one of them is there, or for so long."""
        tasks = [runner.task for runner in self._running]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def ask_another(self, chosen: Chosen) -> None:
        """Starts the second, if the plan has one."""
        now = time.monotonic()
        go = self._plan.hedge(now)
        if go is None:
            return
        self._hedging.sent()
        progress, target = self._first.progress, chosen.targets[go.backend.name]
        progress.attempts += 1
        try:
            place = target.service.enter(now)
        except Refused as busy:
            self._plan.failed(go, Failure(Kind.BUSY_HERE, busy, busy.retry_after_s), now)
            return
        try:
            self._metering.intend(self._first.call, target, progress)
        except Refused:  # what cannot be accounted is not done
            target.service.leave(place, now)
            self._plan.lost(go, now)
            return
        self._start(target, go, place)

    async def won(self) -> bytes:
        """The first good answer. Raises AttemptFailed, Refused."""
        while True:
            await self.wait()
            for runner in self._running:
                if runner.has_answered:
                    self._take(runner)
                    return runner.task.result()
            for runner in tuple(self._running):
                failure = runner.failure()
                if failure is not None:
                    self._drop(runner, failure)

    async def end(self) -> None:
        """Cancels who still runs and accounts for it."""
        for runner in self._running:
            runner.task.cancel()
        if not self._running:
            return
        try:
            await asyncio.wait([runner.task for runner in self._running])
        finally:
            for runner in self._running:
                self._lose(runner)

    def _start(self, target: Target, go: Go, place: int | None) -> None:
        progress, load = Progress(target=target, trace=self._first.progress.trace), go.backend.load
        one = replace(self._first, target=target, progress=progress, load=load)
        task = asyncio.get_running_loop().create_task(attempt.whole(one))
        self._running.append(_Runner(target, go, task, progress, place))

    def _take(self, runner: _Runner) -> None:
        """It has won: from here on the call is its."""
        progress, now = self._first.progress, time.monotonic()
        self._leave(runner, now)
        self._lead(runner)
        progress.usage = runner.progress.usage
        progress.troubles += runner.progress.troubles
        progress.note = runner.progress.note
        progress.first_content_at = runner.progress.first_content_at
        self._hedging.took(runner.target.name, now - runner.go.began)

    def _drop(self, runner: _Runner, failure: Failure) -> None:
        """It has failed. Raises AttemptFailed if it was the last."""
        progress, now = self._first.progress, time.monotonic()
        self._leave(runner, now)
        if not self._running:
            self._lead(runner)
            raise AttemptFailed(failure)
        cause = failure.refused.cause
        progress.troubles.append(f"{runner.target.name} {failure.kind.value}: {cause}")
        self._plan.failed(runner.go, failure, now)
        self._lead(self._running[0])

    def _lose(self, runner: _Runner) -> None:
        """The other has won, or the client has left."""
        task, now = runner.task, time.monotonic()
        error = task.exception() if task.done() and not task.cancelled() else None
        if runner.place is not None:
            runner.target.service.leave(runner.place, now)
        if runner.go is self._leader:
            return
        if isinstance(error, AttemptFailed):
            self._plan.failed(runner.go, error.failure, now)
            return
        self._plan.lost(runner.go, now)
        self._hedging.took(runner.target.name, now - runner.go.began)
        if runner.progress.sent_upstream:
            call, progress = self._first.call, self._first.progress
            self._metering.set_aside(call, runner.target, self._usage_of_loser(runner), progress)

    def _usage_of_loser(self, runner: _Runner) -> Usage:
        """It was asked the same and may have worked to the end: as much as the winner's."""
        winners = self._first.progress.usage
        if runner.progress.usage is None and winners is not None:
            return replace(winners, source="estimated")
        return runner.progress.usage_or_estimate(len(self._first.call.body))

    def _lead(self, runner: _Runner) -> None:
        self._leader = runner.go
        self._first.progress.target = runner.target
        self._plan.leads(runner.go)

    def _leave(self, runner: _Runner, now: float) -> None:
        self._running.remove(runner)
        if runner.place is not None:
            runner.target.service.leave(runner.place, now)
