"""A repeated call gets the answer of the first one.

By the client's word: `Idempotency-Key`, honoured for 10 minutes per caller
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/). The same key with
another payload is refused (422), and while the first call is in flight a second is too (409), but
for the SDK's own retry of it, which joins it. Such a call runs on to its end if its client leaves:
the client has promised to come back.

By the SDK's word: OpenAI's SDKs send no key but count their tries in `x-stainless-retry-count`. A
retry that equals a call whose answer was made in the last minute gets that answer; one that equals
a running call joins it. So an answer lost on its way is not paid for twice. The gateway cannot know
whether an answer arrived, so it keeps each for a minute, as far as there is room. A client that
leaves before its answer is made still cancels the upstream at once.

Kept are complete answers and, for keys, refusals that would come again for the same payload. A
call that failed in another way leaves nothing behind, so a retry is a new try.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

from headrace.config.sharing import IdempotencyPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.canonical import features
from headrace.gateway.flight import Flight, Work
from headrace.gateway.follower import Abandoned
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded
from headrace.gateway.recording import Recorder, replay
from headrace.gateway.repeats import Mismatch, Repeats
from headrace.gateway.reply import Reply
from headrace.nouns import Call

ReplyTo = Callable[[Reply], Awaitable[None]]

REPLAY = "replay"
"""In `x-headrace-answered-by`."""
KEY_LIMIT = 255
LASTING = frozenset({Reason.UPSTREAM_REJECTED, Reason.CONTEXT_TOO_LONG, Reason.CONTENT_FILTERED})
"""Refusals that the same payload would meet again."""


class Idempotency:
    """Repeated calls of one worker."""

    def __init__(
        self, policy: IdempotencyPolicy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._keyed: Repeats[Flight] = Repeats()
        self._unkeyed: Repeats[Recorder] = Repeats()
        self.configure(policy)

    def configure(self, policy: IdempotencyPolicy) -> None:
        """Takes another policy; what is known stays."""
        self._policy = policy
        self._keyed.bound(policy.keep_s, policy.most_answers, policy.most_bytes)
        self._unkeyed.bound(policy.sdk_retry_s, policy.most_answers, policy.most_bytes)

    def heeds_key(self, call: Call) -> bool:
        return call.idempotency_key is not None and self._policy.keep_s > 0

    def heeds_sdk(self, call: Call) -> bool:
        policy = self._policy
        return (
            call.sdk_attempt is not None
            and policy.sdk_retry_s > 0
            and len(call.body) <= policy.answer_bytes
        )

    async def answer_keyed(self, call: Call, work: Work, reply: Reply, progress: Progress) -> None:
        """Answers a call that has a key. Raises Refused(BAD_REQUEST, IDEMPOTENCY_IN_FLIGHT,
        IDEMPOTENCY_MISMATCH)."""
        name = _checked(call.idempotency_key or "")
        key = (*_owner(call), name)
        fingerprint = fingerprint_of(call)
        try:
            found = self._keyed.find(key, fingerprint, self._clock())
        except Mismatch:
            raise _mismatch() from None
        if isinstance(found, Recorded):
            await replay(found, reply, progress, REPLAY)
            return
        if isinstance(found, Flight):
            recorder = found.recorder
            if not recorder.joinable or not (recorder.answered or call.sdk_attempt):
                raise self._in_flight()
            try:
                await found.follow(reply, progress, REPLAY)
            except Abandoned:
                raise self._in_flight() from None
            return

        def on_end(flight: Flight) -> None:
            recorded = flight.recorder.recorded()
            if recorded is not None and not _lasting(recorded):
                recorded = None
            self._keyed.end(key, flight, recorded, len(name), self._clock())

        policy = self._policy
        flight = Flight(work, policy.answer_bytes, on_end, policy.keep_running_s)
        self._keyed.begin(key, fingerprint, flight)
        try:
            await flight.follow(reply, progress)
        except Abandoned:
            raise _ended() from None
        await flight.done()

    async def join_sdk(self, call: Call, reply: Reply, progress: Progress) -> bool:
        """Answers an SDK's retry as its first try is answered; False if nothing is known of it."""
        if not call.sdk_attempt:
            return False
        payload = _sdk_payload(call)
        found = None
        with suppress(Mismatch):
            found = self._unkeyed.find(hash(payload), payload, self._clock())
        if isinstance(found, Recorded):
            await replay(found, reply, progress, REPLAY)
            return True
        if found is not None and found.joinable and (found.answered or not found.over):
            with suppress(Abandoned):
                await found.follow(reply, progress, REPLAY)
                return True
        return False

    async def keep_for_sdk(self, call: Call, work: ReplyTo, reply: Reply) -> None:
        """Has a call answered and keeps the answer for its SDK's retry. The work runs in the
        client's own task, and its reply is written to directly."""
        payload = _sdk_payload(call)
        key = hash(payload)  # once: the hash of a tuple is not remembered
        recorder = Recorder(self._policy.answer_bytes, direct=reply)
        self._unkeyed.begin(key, payload, recorder)
        try:
            await work(recorder)
        finally:
            recorded = recorder.recorded() if recorder.answered else None
            if recorded is not None and recorded.is_message:
                recorded = None
            self._unkeyed.end(key, recorder, recorded, len(call.body), self._clock())
            recorder.abandon()

    async def drain(self) -> None:
        """Ends what runs on without its client, because the gateway stops."""
        for flight in self._keyed.running():
            await flight.drain()

    def _in_flight(self) -> Refused:
        return Refused(
            Reason.IDEMPOTENCY_IN_FLIGHT,
            "A call with this Idempotency-Key is still being answered. Ask again shortly to get "
            "its answer.",
            retry_after_s=self._policy.in_flight_retry_after_s,
        )


def fingerprint_of(call: Call) -> bytes:
    """SHA-256 of all that a repeated call must have in common with the first."""
    total = hashlib.sha256()
    for part in (call.operation.value.encode(), call.model.encode("utf-8", "surrogatepass")):
        total.update(b"%d:%b" % (len(part), part))
    total.update(features(call))
    total.update(call.body)
    return total.digest()


def _sdk_payload(call: Call) -> Hashable:
    """All that a retry must have in common with the first try, compared as it is."""
    caller = call.caller
    what = (call.body, call.model, call.operation.value, features(call))
    return (caller.key_id, caller.tenant, caller.user, *what)


def _owner(call: Call) -> tuple[str, str, str | None]:
    caller = call.caller
    return caller.tenant, caller.key_id, caller.user


def _checked(key: str) -> str:
    if 0 < len(key) <= KEY_LIMIT and key.isascii() and key.isprintable():
        return key
    raise Refused(
        Reason.BAD_REQUEST,
        f"Idempotency-Key must be 1 to {KEY_LIMIT} printable ASCII characters, such as a UUID.",
    )


def _lasting(recorded: Recorded) -> bool:
    if recorded.refused is None:
        return not recorded.is_message
    return recorded.refused.reason in LASTING


def _mismatch() -> Refused:
    return Refused(
        Reason.IDEMPOTENCY_MISMATCH,
        "This Idempotency-Key was used for another request. Use a new key for each request.",
    )


def _ended() -> Refused:
    return Refused(
        Reason.INTERNAL,
        "The work on your request ended without an answer. Please try again.",
        retry_after_s=1.0,
    )
