"""One client of a recording."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from typing import TYPE_CHECKING

from headrace.errors import Reason, Refused
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import about_of_another
from headrace.gateway.reply import Reply

if TYPE_CHECKING:
    from headrace.gateway.recording import Recorder

log = logging.getLogger("headrace.follower")


class Abandoned(Exception):  # noqa: N818 - says what happened
    """The work ended without an answer, and nothing of one had reached this client."""


class State(enum.Enum):
    """Of a recording."""

    OPEN = enum.auto()
    WHOLE = enum.auto()
    ENDED = enum.auto()
    REFUSED = enum.auto()
    ABANDONED = enum.auto()


class Follower:
    """One client of a recording. Written to by the recorder while it keeps up, and by its own
    task after it fell behind."""

    __slots__ = (
        "_about",
        "_at",
        "_news",
        "_recorder",
        "_reply",
        "done",
        "error",
        "lagging",
        "progress",
    )

    def __init__(
        self, recorder: Recorder, reply: Reply, progress: Progress, answered_by: str
    ) -> None:
        self._recorder = recorder
        self._reply = reply
        self._at = 0
        self._news: asyncio.Future[None] | None = None
        self._about = answered_by
        self.progress = progress
        self.lagging = False
        self.done = False
        self.error: Exception | None = None

    async def news(self) -> None:
        """Waits until it fell behind or has its end."""
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def pump(self) -> None:
        """Writes what there is, as far as the client takes it. Raises nothing: a fault of one
        client is not the others'."""
        if self.done or self.lagging:
            return
        try:
            self._write()
        except Exception as error:
            log.exception("a follower's reply failed")
            self.error, self.done = error, True
        if (self.done or self.lagging) and self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _write(self) -> None:
        recorder, reply, progress = self._recorder, self._reply, self.progress
        state = recorder.state
        if state is State.WHOLE:
            self._commit("complete")
            reply.whole(recorder.body, self._lines())
            self.done = True
            return
        if recorder.committed and not reply.committed:
            if recorder.base:
                self._break_off(_came_too_late())
                return
            self._commit("incomplete")
            reply.begin(self._lines())
        end = recorder.base + len(recorder.events)
        while self._at < end:
            if self._at < recorder.base:
                self._break_off(_too_slow())
                return
            part, self._at = recorder.part(self._at)
            if self._at == end and state is State.ENDED:
                progress.finish = "complete"
                reply.end(part)
                self.done = True
                return
            reply.send(part)
            if reply.congested:
                self.lagging = True
                return
        if state is State.ENDED:
            progress.finish = "complete"
            reply.end()
            self.done = True
        elif state is State.REFUSED:
            assert recorder.refused is not None
            self._break_off(recorder.refused)
        elif state is State.ABANDONED:
            if reply.committed:
                self._break_off(_broken_off())
            else:
                self.error, self.done = Abandoned(), True

    def _commit(self, finish: str) -> None:
        self.progress.status, self.progress.finish = 200, finish
        self.progress.first_content_at = time.monotonic()

    def _lines(self) -> bytes:
        return about_of_another(self._recorder.about, self._about)

    def _break_off(self, refused: Refused) -> None:
        progress = self.progress
        progress.finish = "incomplete" if self._reply.committed else "refused"
        progress.reason = refused.reason.value
        progress.status = self._reply.refuse(refused, self._lines())
        self.done = True


def _too_slow() -> Refused:
    return Refused(
        Reason.UPSTREAM_INTERRUPTED,
        "You read this answer, which you share with an equal call, too slowly for it to be kept: "
        "what you got is incomplete. Please try again.",
    )


def _came_too_late() -> Refused:
    return Refused(
        Reason.UPSTREAM_INTERRUPTED,
        "An equal call is being answered, and its answer is too long to be shared. Please try "
        "again.",
        retry_after_s=1.0,
    )


def _broken_off() -> Refused:
    return Refused(
        Reason.UPSTREAM_INTERRUPTED,
        "The answer broke off before its end: what you got is incomplete. Please try again.",
    )
