"""Goes on with a broken stream on another backend, where the operator allows it.

The client gets one stream: a comment marks the place, then come the events of the answer that goes
on, under the first one's identity. What it says may repeat or contradict what was said: two samples
are spliced, which is why it is off by default.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from headrace.errors import Reason, Refused
from headrace.gateway import continuation
from headrace.gateway.attempt import Attempt
from headrace.gateway.continuation import Transcript
from headrace.gateway.failure import Failure
from headrace.gateway.metering import Metering
from headrace.gateway.models import Chosen
from headrace.gateway.plan import CallPlan
from headrace.gateway.reply import InFront, Reply
from headrace.gateway.steps import Go
from headrace.nouns import Call, Usage

Run = Callable[[Attempt, CallPlan, Chosen, Reply], Awaitable[Failure | None]]
"""Makes one attempt. Raises Refused if it broke off after its first content."""
MARK = b": x-headrace-resumed: 1\n"
_MARKED = (b"x-headrace-backend:", b"x-headrace-attempts:", b"x-headrace-explain:")


class Resumable(InFront):
    """A `Reply` in front of the client's, which knows what the client got. `committed` is of the
    attempt that runs: the client's own reply remains begun."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.transcript = Transcript()
        self._goes_on = False

    def goes_on(self, beside: Usage) -> None:
        """The next events are another answer's."""
        self.committed = False
        self._goes_on = True
        self.transcript.continued(beside)

    def whole(self, body: bytes, about: bytes) -> None:
        self.committed = True
        self._reply.whole(body, about)

    def begin(self, about: bytes) -> None:
        self.committed = True
        if self._goes_on:
            self._reply.send(_mark(about))
        else:
            self._reply.begin(about)

    def send(self, events: bytes) -> None:
        events = self._passed(events)
        if events:
            self._reply.send(events)

    def end(self, events: bytes = b"") -> None:
        self._reply.end(self._passed(events))

    def _passed(self, events: bytes) -> bytes:
        if self._goes_on:
            return self.transcript.rewritten(events)
        self.transcript.read(events)
        return events


def listening(call: Call, reply: Reply) -> Reply:
    """The reply to give the attempts of a call: one that can be resumed, if the call can be."""
    return Resumable(reply) if call.stream and continuation.is_plain(call.body) else reply


async def attempt(
    one: Attempt, plan: CallPlan, chosen: Chosen, reply: Reply, metering: Metering, run: Run
) -> Failure | None:
    """Makes an attempt by `run`; if its stream breaks off, more that go on with it. None if the
    answer is complete. Raises Refused if nobody goes on: for what broke off last."""
    try:
        return await run(one, plan, chosen, reply)
    except Refused as broken:
        text = _text_of(reply, broken)
        if text is None or not isinstance(reply, Resumable):
            raise
        await _Resumption(one, plan, chosen, reply, metering, run).go_on(broken, text)
        return None


class _Resumption:
    """The attempts that follow on one that broke off."""

    def __init__(
        self,
        one: Attempt,
        plan: CallPlan,
        chosen: Chosen,
        reply: Resumable,
        metering: Metering,
        run: Run,
    ) -> None:
        self._first = one
        self._plan = plan
        self._chosen = chosen
        self._reply = reply
        self._metering = metering
        self._run = run
        self._tokens = 0
        """Of the text so far, about."""
        longest_s = max(t.patience.stream_s for t in chosen.targets.values())
        self._until = one.call.received_at + longest_s
        """As long as a stream may take at all."""

    async def go_on(self, broken: Refused, text: str | None) -> None:
        one, progress, failure = self._first, self._first.progress, None
        while True:
            if failure is None:
                self._tokens += progress.content_events
                self._set_aside(one)
            progress.begin_again()
            if text is None:
                raise broken
            go = self._plan.resume(time.monotonic(), self._until, failure)
            if go is None:
                progress.troubles.append("no other backend went on")
                raise broken
            if failure is None:
                progress.troubles.append(f"{one.target.name} broke off: {broken.cause}")
            one = self._next(go, text)
            try:
                failure = await self._run(one, self._plan, self._chosen, self._reply)
                if failure is None:
                    return
            except Refused as again:
                broken, failure = again, None
                text = _text_of(self._reply, broken)
            except asyncio.CancelledError:
                self._set_aside(one)
                progress.begin_again()
                raise

    def _next(self, go: Go, text: str) -> Attempt:
        """What the next backend is asked."""
        first, target = self._first, self._chosen.targets[go.backend.name]
        progress = first.progress
        progress.resumes += 1
        progress.troubles.append(f"{target.name} was asked to go on after {len(text)} characters")
        assert progress.beside is not None
        self._reply.goes_on(progress.beside.usage)
        provider = target.service.provider
        body = continuation.request(first.call.body, text, provider, self._tokens)
        call = replace(first.call, body=body)
        load, unfinished = go.backend.load, first.unfinished
        return Attempt(target, call, progress, first.wire, self._until, load, unfinished)

    def _set_aside(self, one: Attempt) -> None:
        """Accounts for what the attempt used, by the figures there are."""
        progress = one.progress
        if progress.sent_upstream:
            usage = progress.usage_or_estimate(len(one.call.body))
            self._metering.set_aside(one.call, one.target, usage, progress)


def _text_of(reply: Reply, broken: Refused) -> str | None:
    """What another backend can go on with."""
    if broken.reason is not Reason.UPSTREAM_INTERRUPTED or not isinstance(reply, Resumable):
        return None
    return reply.transcript.text()


def _mark(about: bytes) -> bytes:
    """A comment, which clients pass over: where the answer goes on."""
    lines = [line for line in about.split(b"\r\n") if line.startswith(_MARKED)]
    return MARK + b"".join(b": %b\n" % line for line in lines) + b"\n"
