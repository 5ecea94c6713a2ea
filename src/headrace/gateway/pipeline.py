"""The way of a call, top to bottom."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

from msgspec.structs import replace

from headrace.config.realtime import RealtimePolicy
from headrace.errors import Reason, Refused
from headrace.gateway import (
    answer_cache,
    attempt,
    checking,
    last_resort,
    race,
    resuming,
    structured,
)
from headrace.gateway.about import about, explained
from headrace.gateway.attempt import Attempt
from headrace.gateway.cache import asking
from headrace.gateway.failure import AttemptFailed, Failure, Kind
from headrace.gateway.identity import Identity
from headrace.gateway.limits.gate import Gate
from headrace.gateway.models import Chosen, Models, attempt_until
from headrace.gateway.parts import Parts
from headrace.gateway.plan import CallPlan
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded
from headrace.gateway.recording import Recorder, replay
from headrace.gateway.reply import Reply
from headrace.gateway.session import session_of
from headrace.gateway.steps import GiveUp, Go, Wait
from headrace.nouns import Call
from headrace.platform.cohort import others_first

log = logging.getLogger("headrace.pipeline")


class Pipeline:
    """Answers calls by the policies of one configuration."""

    def __init__(
        self,
        identity: Identity,
        models: Models,
        parts: Parts,
        gate: Gate | None = None,
        realtime: RealtimePolicy = RealtimePolicy(),  # noqa: B008 - frozen
    ) -> None:
        """`gate` is None if no caller has limits or budgets."""
        self.realtime = realtime
        self.identity = identity
        self.models = models
        self.parts = parts
        self.gate = gate

    def answer(self, call: Call, reply: Reply) -> Coroutine[Any, Any, None]:
        """Answers one call of an identified caller, with an answer of its own or an equal
        call's. Every way out of it is settled."""
        sharing = self.parts.sharing
        if sharing.concerns(call):
            return sharing.answer(call, reply, self)
        return self.serve(call, reply)

    async def serve(self, call: Call, reply: Reply, progress: Progress | None = None) -> None:
        """Answers with an upstream's help. Every way out of it is settled."""
        parts, client = self.parts, reply
        if progress is None:
            progress = Progress()
        if parts.observer is not None:
            progress.trace = parts.observer.begin(call)
            if parts.observer.listens:
                reply = parts.observer.listening(call, reply, progress.trace)
        parts.running += 1
        try:
            parts.shedder.admit(call.priority, parts.running - 1)
            chosen = self.models.choose(call)
            if self.gate is not None and (waiting := self.gate.admit(call, chosen)) is not None:
                await waiting
            if chosen.cache is not None:
                await self._given_again(call, chosen, reply, progress)
            elif chosen.fallback.cache:
                await self._kept(call, chosen, reply, progress)
            else:
                await self._answered(call, chosen, None, reply, progress)
        except Refused as refused:
            self.refuse(refused, call, reply, progress)
        except asyncio.CancelledError:
            if not reply.interrupted_by_drain:
                if progress.finish != "complete":
                    progress.finish = "client_gone"  # a begun stream is `incomplete` till then
                raise
            self.refuse(attempt.drained_away(), call, reply, progress)
        except Exception:
            log.exception("a fault of our own", extra={"call": call.id})
            self.refuse(_internal(), call, reply, progress)
        finally:
            parts.running -= 1
            self.settle(call, progress)
            if type(client) is Recorder:
                client.cost_microusd = progress.cost_microusd

    async def admit(self, call: Call) -> None:
        """Takes what a call may use, before it is known whose answer it gets. Raises Refused."""
        if self.gate is not None:
            waiting = self.gate.admit(call, self.models.choose(call))
            if waiting is not None:
                await waiting

    async def _given_again(
        self, call: Call, chosen: Chosen, reply: Reply, progress: Progress
    ) -> None:
        """Answers as an earlier call was answered, or keeps the answer for later ones."""
        cache, policy = self.parts.cache, chosen.cache
        assert cache is not None
        assert policy is not None
        asked = asking.asked(call, policy)
        if asked is None:
            await self._kept(call, chosen, reply, progress)
            return
        hit = await cache.find(asked, call, policy, time.time())
        if hit is None and policy.wait_s and not asked.refresh:
            from headrace.gateway.cache.flights import waited_for  # with what few gateways use

            hit = await waited_for(cache, asked, call, policy)
        if hit is not None:
            progress.cache_tier = hit.cache_tier
            await replay(hit, reply, progress, answer_cache.CACHE)
            if policy.check_share:
                checking.begin(self, cache, call, chosen, hit)
            return
        with cache.flights.answering(asked) if policy.wait_s else nullcontext():
            recorded = await self._kept(call, chosen, reply, progress)
            if recorded is not None:
                await cache.keep(asked, recorded, call, policy, time.time())

    async def ask(self, call: Call, chosen: Chosen, reply: Reply, progress: Progress) -> None:
        """Answers by the model alone, whatever is kept. Raises Refused."""
        await self._answered(call, chosen, None, reply, progress)

    async def _kept(
        self, call: Call, chosen: Chosen, reply: Reply, progress: Progress
    ) -> Recorded | None:
        """Keeps the answer for the day when no backend can give one, and returns it if it is
        complete."""
        answers = self.parts.answers
        key = answer_cache.key_of(call) if chosen.fallback.cache else None
        recorder = Recorder(last_resort.RECORD_LIMIT_BYTES, direct=reply)
        await self._answered(call, chosen, key, recorder, progress)
        self.parts.metering.price(call, progress)
        recorder.cost_microusd = progress.cost_microusd
        recorded = None if progress.resumes else recorder.recorded(progress.usage)
        if recorded is None or progress.finish != "complete":
            return None
        if key is not None:
            await answers.put(key, recorded, time.monotonic())
        return recorded

    async def _answered(
        self,
        call: Call,
        chosen: Chosen,
        key: answer_cache.CacheKey | None,
        reply: Reply,
        progress: Progress,
    ) -> None:
        """Carries out the call's plan: attempts and waits, then the last resort."""
        if chosen.structured is not None and (check := structured.check_of(call)) is not None:
            plain = replace(chosen, structured=None)
            fitting = structured.Structured(check, chosen.structured, self.parts.metering)
            await fitting.answer(
                call, reply, progress, lambda c, r: self._answered(c, plain, key, r, progress)
            )
            return
        parts = self.parts
        patience_s = chosen.first_token_s if call.stream else chosen.whole_s
        deadline = call.received_at + patience_s
        if chosen.resume:
            reply = resuming.listening(call, reply)
        session = None if chosen.affinity == "none" else session_of(call, chosen)
        plan = CallPlan(
            parts.fleet,
            chosen.route,
            time.monotonic(),
            deadline,
            stream=call.stream,
            session=session,
        )
        failure: Failure | None = None
        try:
            while True:
                now = time.monotonic()
                step = plan.next(now, failure)
                if type(step) is Go:
                    target = chosen.targets[step.backend.name]
                    load, until = step.backend.load, deadline
                    if chosen.tries > 1 and not call.stream:
                        until = attempt_until(progress.attempts, chosen.tries, now, deadline)
                    one = Attempt(target, call, progress, parts.wire, until, load, parts.unfinished)
                    if chosen.resume:
                        failure = await resuming.attempt(
                            one, plan, chosen, reply, parts.metering, self._attempt
                        )
                    else:
                        failure = await self._attempt(one, plan, chosen, reply)
                    if failure is None:
                        return
                elif type(step) is Wait:
                    failure = None
                    await asyncio.sleep(step.seconds)
                elif type(step) is GiveUp:
                    progress.explanation = explained(call, plan)
                    kept = (parts.answers, key)
                    await last_resort.fall_back(call, chosen, step, kept, reply, progress)
                    return
        finally:
            plan.cancelled(time.monotonic())
            if progress.trace is not None:
                progress.trace.plan = plan
            if progress.attempts != 1 or progress.troubles:
                parts.stories.keep(call.id, plan.decisions)  # of others there is nothing to tell
                if parts.observer is not None:
                    parts.observer.tried(plan.made())

    async def _attempt(
        self, one: Attempt, plan: CallPlan, chosen: Chosen, reply: Reply
    ) -> Failure | None:
        """One attempt, told to the journal before it is sent and to the plan when it ended."""
        target, call, progress = one.target, one.call, one.progress
        progress.target = target
        progress.attempts += 1
        try:
            place = target.service.enter(time.monotonic())
        except Refused as busy:
            return Failure(Kind.BUSY_HERE, busy, busy.retry_after_s)
        try:
            if call.in_company:
                await others_first()
            self.parts.metering.intend(call, target, progress)
            if call.in_company:
                await others_first()
            if call.stream:
                lines = about(progress) + explained(call, plan)
                await attempt.stream(one, lines, reply, plan.first_token)
                plan.ended(time.monotonic())
            else:
                if chosen.hedging is None:
                    body = await attempt.whole(one)
                else:
                    body = await race.whole(one, plan, chosen, self.parts.metering)
                if call.in_company:
                    await others_first()
                plan.ended(time.monotonic())
                self.parts.metering.price(call, progress)
                progress.status, progress.finish = 200, "complete"
                reply.whole(body, about(progress) + progress.note + explained(call, plan))
        except AttemptFailed as failed:
            kind, cause = failed.failure.kind.value, failed.failure.refused.cause
            progress.troubles.append(f"{progress.target.name} {kind}: {cause}")
            return failed.failure
        except Refused:
            plan.broke(time.monotonic())
            raise
        finally:
            target.service.leave(place, time.monotonic())
        return None

    def refuse(self, refused: Refused, call: Call, reply: Reply, progress: Progress) -> None:
        """Tells the client, the log and `progress`."""
        committed = reply.committed
        progress.status = reply.refuse(refused, about(progress) + progress.explanation)
        progress.reason = refused.reason.value
        progress.finish = "incomplete" if committed else "refused"
        if refused.reason is not Reason.OVERLOADED:  # of these there are many, and all alike
            took_s = time.monotonic() - call.received_at
            self.parts.stories.keep_refusal(call.id, took_s, refused.detail)
        if refused.cause is not None:
            progress.troubles.append(refused.cause)

    def settle(self, call: Call, progress: Progress) -> None:
        """The end of a call, whatever it was."""
        metering, observer = self.parts.metering, self.parts.observer
        if not progress.priced:  # as an answer is before its head leaves
            metering.price(call, progress)
        now, used, hold = time.monotonic(), progress.usage, call.hold
        if used is None or progress.beside is not None:
            used = progress.usage_in_all(len(call.body))
        if hold is not None:  # what was reserved becomes what was used
            tokens = used.input_tokens + used.output_tokens
            hold.settle(tokens, progress.cost_microusd or 0, now)
            call.hold = None
        row = metering.settle(call, progress, used, now)
        if observer is not None:
            observer.settled(call, progress, used, row, now)
        if progress.troubles:
            _log(call, progress)


def _log(call: Call, progress: Progress) -> None:
    """One line for a call that met with trouble, with the words of upstreams that no client saw."""
    level = logging.INFO if progress.finish == "complete" else logging.WARNING
    name = None if progress.target is None else progress.target.name
    extra = {"call": call.id, "backend": name, "cause": "; ".join(progress.troubles)}
    log.log(level, progress.reason or "answered after trouble", extra=extra)


def _internal() -> Refused:
    return Refused(
        Reason.INTERNAL,
        "Something went wrong inside the gateway. It is logged under this request's id.",
        retry_after_s=1.0,
    )
