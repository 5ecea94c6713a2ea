"""Records an answer while it passes, and hands it on to others that asked the same.

A follower that joins late gets what has passed so far, then the rest as it comes. What is recorded
is also what followers are waiting for, so a slow one costs no memory of its own and never slows
the work: it falls behind in the recording. Past its limit the recording loses its oldest events,
and a follower that had not got them is cut with an error inside its stream.
"""

from __future__ import annotations

import asyncio
import time

from headrace.errors import Refused
from headrace.gateway.follower import Follower, State
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded, about_of_another
from headrace.gateway.reply import Reply
from headrace.nouns import Usage

SLICE_BYTES = 64 * 1024
"""Written to a follower at once, before its back-pressure is looked at."""


class Recorder:
    """A `Reply` for the work. With `direct` it writes to that reply itself, as if it were not
    there; without, clients get the answer by `follow`, and the first of them sets the pace."""

    __slots__ = (
        "_bytes",
        "_direct",
        "_followers",
        "_limit",
        "_pace",
        "about",
        "base",
        "body",
        "committed",
        "cost_microusd",
        "drains",
        "events",
        "refused",
        "state",
    )

    def __init__(self, limit_bytes: int, direct: Reply | None = None) -> None:
        self._limit = limit_bytes
        self._direct = direct
        self.state = State.OPEN
        self.about = b""
        self.body = b""
        self.events: list[bytes] = []
        self.base = 0
        """Events dropped from the front."""
        self._bytes = 0
        self.refused: Refused | None = None
        self._followers: dict[Follower, None] = {}
        self._pace: asyncio.Future[None] | None = None
        self.committed = False
        self.cost_microusd: int | None = None
        """Of the answer; None until it is known."""
        self.drains = False
        """Set before the work is cancelled because the gateway stops."""

    # --- the work's side: a `Reply`

    @property
    def interrupted_by_drain(self) -> bool:
        return self.drains or (self._direct is not None and self._direct.interrupted_by_drain)

    def whole(self, body: bytes, about: bytes) -> None:
        self.about, self.body, self._bytes = about, body, len(body)
        self.committed = True
        self.state = State.WHOLE
        if self._direct is not None:
            self._direct.whole(body, about)
        self._pump()

    def begin(self, about: bytes) -> None:
        self.about = about
        self.committed = True
        if self._direct is not None:
            self._direct.begin(about)

    def send(self, events: bytes) -> None:
        if self._direct is not None:
            self._direct.send(events)
        self.events.append(events)
        self._bytes += len(events)
        if self._followers:
            self._pump()
        if self._bytes > self._limit:
            self._trim()

    @property
    def congested(self) -> bool:
        if self._direct is not None:
            return self._direct.congested
        for first in self._followers:
            return first.lagging
        return False

    async def drained(self) -> None:
        if self._direct is not None:
            await self._direct.drained()
        elif self.congested:
            self._pace = asyncio.get_running_loop().create_future()
            try:
                await self._pace
            finally:
                self._pace = None

    def end(self, events: bytes = b"") -> None:
        if self._direct is not None:
            self._direct.end(events)
        if events:
            self.events.append(events)
            self._bytes += len(events)
        self.state = State.ENDED
        self._pump()
        if self._bytes > self._limit:
            self._trim()

    def refuse(self, refused: Refused, about: bytes) -> int:
        """The status that the client saw; 499 if none of them is left."""
        self.refused, self.state = refused, State.REFUSED
        if not self.committed:
            self.about = about
        seen = 499
        if self._direct is not None:
            seen = self._direct.refuse(refused, about)
        for follower in tuple(self._followers):
            follower.pump()
            if seen == 499:
                seen = follower.progress.status
        return seen

    def abandon(self) -> None:
        """The work is over. Does nothing if the answer has come to its end."""
        if self.state is State.OPEN:
            self.state = State.ABANDONED
            self._pump()

    # --- the others' side

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.state is not State.OPEN

    @property
    def answered(self) -> bool:
        """The answer is complete, though its work may have an end to make."""
        return self.state in (State.WHOLE, State.ENDED)

    @property
    def followers(self) -> int:
        return len(self._followers)

    @property
    def joinable(self) -> bool:
        """Whether a follower can still get all of it."""
        return self.state is not State.ABANDONED and self._kept_whole()

    def recorded(self, usage: Usage | None = None) -> Recorded | None:
        """The answer, if it came to its proper end and within the limit, or how it was refused
        before there was one; else None."""
        if not self._kept_whole():
            return None
        if self.state is State.WHOLE:
            return Recorded(self.about, self.body, usage=usage, cost_microusd=self.cost_microusd)
        if self.state is State.ENDED:
            events = tuple(self.events)
            return Recorded(self.about, None, events, None, usage, self.cost_microusd)
        if self.state is State.REFUSED and not self.committed:
            return Recorded(about=self.about, refused=self.refused)
        return None

    async def follow(self, reply: Reply, progress: Progress, answered_by: str = "") -> None:
        """Hands the answer to `reply` until its end and fills in what `progress` can know.
        `answered_by` goes to the client in `x-headrace-answered-by`. Raises Abandoned."""
        progress.answered_by = answered_by
        follower = Follower(self, reply, progress, answered_by)
        self._followers[follower] = None
        try:
            follower.pump()
            while not follower.done:
                if follower.lagging:
                    await reply.drained()
                    follower.lagging = False
                    follower.pump()
                    self._check_pace()
                else:
                    await follower.news()
        finally:
            del self._followers[follower]
            self._check_pace()
        if follower.error is not None:
            raise follower.error
        if answered_by and self.answered:
            progress.saved_microusd = self.cost_microusd or 0

    def _kept_whole(self) -> bool:
        return self.base == 0 and self._bytes <= self._limit

    def _trim(self) -> None:
        """Drops the oldest events over the limit; all of them if nobody waits for any."""
        kept, drop = self.events, 0
        while drop < len(kept) and (self._bytes > self._limit or not self._followers):
            self._bytes -= len(kept[drop])
            drop += 1
        del kept[:drop]
        self.base += drop

    def _pump(self) -> None:
        for follower in tuple(self._followers):
            follower.pump()

    def _check_pace(self) -> None:
        pace = self._pace
        if pace is not None and not pace.done() and not self.congested:
            pace.set_result(None)

    def part(self, at: int) -> tuple[bytes, int]:
        """Events from the place `at` on, about SLICE_BYTES of them, and the place after them."""
        kept, first = self.events, at - self.base
        last, size = first, 0
        while last < len(kept) and size < SLICE_BYTES:
            size += len(kept[last])
            last += 1
        part = kept[first] if last - first == 1 else b"".join(kept[first:last])
        return part, self.base + last


async def replay(recorded: Recorded, reply: Reply, progress: Progress, answered_by: str) -> None:
    """Gives a recorded answer to another client, in the form in which it was recorded."""
    if recorded.body is not None:
        progress.status, progress.finish = 200, "complete"
        progress.first_content_at = time.monotonic()
        progress.answered_by = answered_by
        if answered_by:
            progress.saved_microusd = recorded.cost_microusd or 0
        reply.whole(recorded.body, about_of_another(recorded.about, answered_by))
        return
    source = Recorder(limit_bytes=recorded.size_bytes)
    source.cost_microusd = recorded.cost_microusd
    if recorded.refused is not None:
        source.refuse(recorded.refused, recorded.about)
    else:
        source.begin(recorded.about)
        for events in recorded.events[:-1]:
            source.send(events)
        source.end(recorded.events[-1])
    await source.follow(reply, progress, answered_by)
