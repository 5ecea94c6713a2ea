"""Equal calls in flight share one upstream call.

Two calls are equal if one tenant asks one model for the same operation with the same canonical
body and wants the same form of answer. Their dialects may differ as long as the answer's bytes do
not, which is so for OpenAI's and Azure's.

What may be shared, when nothing else is configured: answers that the clients asked to be the same
each time (a `seed`, temperature 0, embeddings). Not with tools, since an agent's next act hangs on
the answer, and two agents should not be made to act as one. Not with `store`, which asks the
provider to keep this very completion. A call whose client wants another sample each time, which
is the default of the API, is never shared unless the operator says `always`.

The work runs in a task of its own. It belongs to all who wait for it: if the client that began it
leaves, it goes on for the others, and it is cancelled when nobody is left.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from headrace.config.sharing import CoalescingPolicy, Mode
from headrace.errors import Reason, Refused
from headrace.gateway import canonical
from headrace.gateway.flight import Flight, Work
from headrace.gateway.follower import Abandoned
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call, Operation, Priority

SHARED = "shared"
"""In `x-headrace-answered-by`, for those who did not begin the work."""


class FlightKey(NamedTuple):
    """What calls must have in common. Each tenant has keys of its own."""

    tenant: str
    digest: bytes
    stream: bool
    shows_usage: bool
    priority: Priority = Priority.NORMAL
    """A refusal under load is shared too: it must not reach those who are more important."""


def key_of(call: Call, mode: Mode, scope: str = "") -> FlightKey | None:
    """None if the call is not to be shared. `scope` is what else its answer hangs on."""
    if mode == "never" or (mode == "fixed_sampling" and not promising(call)):
        return None
    read = canonical.of_call(call)
    if read is None or read.members.get("store"):
        return None
    if mode == "fixed_sampling" and not _same_each_time(call, read):
        return None
    digest = canonical.digest(call, read, scope)
    return FlightKey(
        call.caller.tenant, digest, call.stream, call.stream and call.wants_usage, call.priority
    )


def promising(call: Call) -> bool:
    """Whether it is worth to look: costs nothing."""
    return call.fixed_sampling or call.operation is Operation.EMBEDDINGS


def _same_each_time(call: Call, read: canonical.Canonical) -> bool:
    members = read.members
    if members.get("tools") or members.get("functions"):
        return False
    if call.operation is Operation.EMBEDDINGS or isinstance(members.get("seed"), int):
        return True
    temperature = members.get("temperature")
    return isinstance(temperature, int | float) and temperature == 0


class Coalescing:
    """The calls in flight that others may join."""

    def __init__(self, policy: CoalescingPolicy) -> None:
        self.policy = policy
        self._current: dict[FlightKey, Flight] = {}
        self._all: set[Flight] = set()

    @property
    def in_flight(self) -> int:
        return len(self._all)

    async def answer(self, key: FlightKey, work: Work, reply: Reply, progress: Progress) -> None:
        """Joins an equal call or begins the work, and answers.

        If the work dies under its waiters, one of them begins it again and the others join that;
        if it dies again, raises Refused: one flight is at most two upstream calls.
        """
        flight = self._open(key)
        if flight is None:
            flight = self._begin(key, work)
            with suppress(Abandoned):
                await flight.follow(reply, progress)
                await flight.done()
                return
            raise _died()
        with suppress(Abandoned):
            await flight.follow(reply, progress, SHARED)
            return
        promoted = flight.successor is None
        again = flight.successor or self._begin(key, work)
        flight.successor = again
        try:
            await again.follow(reply, progress, "" if promoted else SHARED)
            if promoted:
                await again.done()
        except Abandoned:
            raise _died() from None

    async def drain(self) -> None:
        """Ends all work because the gateway stops."""
        for flight in tuple(self._all):
            await flight.drain()

    def _open(self, key: FlightKey) -> Flight | None:
        """The flight that one more may join."""
        flight = self._current.get(key)
        if flight is None:
            return None
        recorder = flight.recorder
        if recorder.over or not recorder.joinable:
            return None
        return flight if recorder.followers <= self.policy.most_waiters else None

    def _begin(self, key: FlightKey, work: Work) -> Flight:
        def on_end(flight: Flight) -> None:
            self._all.discard(flight)
            if self._current.get(key) is flight:
                del self._current[key]

        flight = Flight(work, self.policy.answer_bytes, on_end)
        self._current[key] = flight
        self._all.add(flight)
        return flight


def _died() -> Refused:
    return Refused(
        Reason.UPSTREAM_FAILED,
        "The work on your request, which you share with equal ones, ended without an answer. "
        "Please try again.",
        retry_after_s=1.0,
    )
