"""Realtime sessions: a WebSocket of a client and one of a backend, relayed both ways.

https://platform.openai.com/docs/guides/realtime, and its reference of server events. Messages pass
as they came; read are only the ends of responses, for what they used. A session is a call when it
is opened and one more for each response: every response has its own row in the ledger, and what it
used counts before the next one is allowed. What then remains is the last row, which used nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Protocol

from msgspec import Struct, structs

from headrace.config.realtime import RealtimePolicy
from headrace.errors import Reason, Refused
from headrace.gateway import upstream_faults
from headrace.gateway.about import about
from headrace.gateway.failure import Failure
from headrace.gateway.last_resort import refusal
from headrace.gateway.models import Chosen, Target
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.plan import CallPlan
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.gateway.steps import Go, Wait
from headrace.nouns import Call, Units, Usage
from headrace.platform.http.messages import TransportError
from headrace.platform.http.websocket import (
    GOING_AWAY,
    INTERNAL,
    NORMAL,
    POLICY,
    ClientSocket,
    Message,
    WebSocket,
)
from headrace.services import realtime_wire
from headrace.services.passed_on import PassedOnService

log = logging.getLogger("headrace.realtime")

TICK_S = 0.5
SILENT_PINGS = 3
"""Who does not even answer pings for so many of them has gone."""
UNKNOWN = Usage(source="estimated", units=Units())
"""Of a response that was cut off: something, nobody knows how much."""


class Door(Protocol):
    """The client's end, until it is opened."""

    def accept(self, lines: bytes, message_limit_bytes: int) -> WebSocket:
        """Answers the handshake, with these header lines."""
        ...

    def left(self) -> None:
        """The session is over, and all is written."""
        ...

    def told(self, refused: Refused) -> bytes:
        """An error as an event of the session."""
        ...


class Ending(Struct, frozen=True):
    """How a session ends: what the client is told, and what is noted of it."""

    code: int
    reason: str
    finish: str = "complete"
    refused: Refused | None = None
    broke: bool = False
    """The backend broke off."""


async def serve(call: Call, query: dict[str, str], door: Door, reply: Reply, way: Pipeline) -> None:
    """Opens a session and relays it to its end. Every way out of it is settled."""
    session = _Session(call, door, reply, way)
    try:
        await session.run(query)
    except Refused as refused:
        way.refuse(refused, session.call, reply, session.progress)
    except asyncio.CancelledError:
        if not reply.interrupted_by_drain:
            if not session.ended:
                session.progress.finish = "client_gone"
            raise
        await session.end(Ending(GOING_AWAY, "the gateway restarts", "incomplete"))
    except Exception:
        log.exception("a fault of our own", extra={"call": call.id})
        if not session.opened:
            way.refuse(_internal(), session.call, reply, session.progress)
    finally:
        session.close()
        way.settle(session.call, session.progress)


class _Session:
    """`call` and `progress` are of the response that runs or comes next."""

    def __init__(self, call: Call, door: Door, reply: Reply, way: Pipeline) -> None:
        self.call = call
        self.progress = _blank()
        self.opened = self.ended = False
        self._first = call
        self._door = door
        self._reply = reply
        self._way = way
        self._policy: RealtimePolicy = way.realtime
        self._plan: CallPlan | None = None
        self._client: WebSocket | None = None
        self._upstream: ClientSocket | None = None
        self._responding = False
        self._count = 0
        self._spoken_at = 0.0
        self._chosen: Chosen | None = None

    async def run(self, query: dict[str, str]) -> None:
        """Raises Refused until the session is open."""
        way, parts = self._way, self._way.parts
        parts.shedder.admit(self.call.priority, parts.running)
        self._chosen = way.models.choose(self.call)
        await self._admit()
        upstream = await self._connected(self._chosen, query)
        lines = about(self.progress)
        self._client = client = self._door.accept(lines, self._policy.message_limit_bytes)
        self.opened = True
        assert self._plan is not None
        self._plan.first_token(time.monotonic())
        ending = await self._relayed(client, upstream)
        if ending.broke:
            self._plan.broke(time.monotonic())
        await self.end(ending)

    async def end(self, ending: Ending) -> None:
        """Says goodbye to both."""
        progress, self.ended = self.progress, True
        progress.status = 200 if self.opened else progress.status
        progress.finish = "incomplete" if self._responding else ending.finish
        if ending.refused is not None:
            progress.reason = ending.refused.reason.value
            if ending.refused.cause is not None:
                progress.troubles.append(ending.refused.cause)
        if self._upstream is not None:
            await self._upstream.close(NORMAL, "")
        if self._client is not None:
            if ending.refused is not None:
                await self._client.send(Message(True, self._door.told(ending.refused)))
            await self._client.close(ending.code, ending.reason)
            self._client.shut()

    def close(self) -> None:
        """Lets go of both, in whatever state they are."""
        if self._upstream is not None:
            self._upstream.abort()
        if self._plan is not None:
            if self.opened:
                self._plan.ended(time.monotonic())
            self._plan.cancelled(time.monotonic())
        if self.opened:
            if self._responding and self.progress.usage == _NOTHING:
                self.progress.usage, self.progress.sent_upstream = UNKNOWN, True
            self.progress.status = 200
            self._door.left()

    # --- opening

    async def _admit(self) -> None:
        """Takes what the next response may use. Raises Refused."""
        gate, chosen = self._way.gate, self._chosen
        if gate is not None and chosen is not None:
            waiting: Awaitable[None] | None = gate.admit(self.call, chosen)
            if waiting is not None:
                await waiting

    async def _connected(self, chosen: Chosen, query: dict[str, str]) -> ClientSocket:
        """A session with a backend, by the call's plan. Raises Refused."""
        deadline = self.call.received_at + chosen.first_token_s
        fleet = self._way.parts.fleet
        self._plan = plan = CallPlan(fleet, chosen.route, time.monotonic(), deadline, stream=True)
        failure: Failure | None = None
        while True:
            step = plan.next(time.monotonic(), failure)
            if type(step) is Go:
                opened = await self._attempt(chosen.targets[step.backend.name], query)
                if isinstance(opened, ClientSocket):
                    return opened
                failure = opened
            elif type(step) is Wait:
                failure = None
                await asyncio.sleep(step.seconds)
            else:
                raise refusal(chosen, step)  # type: ignore[arg-type]

    async def _attempt(self, target: Target, query: dict[str, str]) -> ClientSocket | Failure:
        """Told to the journal before anything is sent."""
        progress, service, patience = self.progress, target.service, target.patience
        dial = self._way.parts.dial
        assert isinstance(service, PassedOnService), "no other has sessions"
        assert dial is not None, "the worker brings it"
        progress.target = target
        progress.attempts += 1
        try:
            self._way.parts.metering.intend(self.call, target, progress)
        except Refused:  # nothing was sent: that says nothing of the backend
            assert self._plan is not None
            self._plan.broke(time.monotonic())
            raise
        asked = service.session(self.call, query)
        limit = self._policy.message_limit_bytes
        socket = ClientSocket(asked.url, asked.headers, (), limit)
        self._upstream = socket
        try:
            await dial(asked.origin, socket, patience.connect_s)
            async with asyncio.timeout(patience.first_token_s):
                answer = await socket.opened()
        except TransportError as error:
            return self._failed(upstream_faults.failure_of_transport(error))
        except TimeoutError:
            cause = "no answer to the handshake in time"
            return self._failed(upstream_faults.failure_of_timeout(cause))
        except ConnectionError as error:
            return self._failed(upstream_faults.failure_of_cut(str(error)))
        if answer is None:
            return socket
        told = dict(answer.headers)
        return self._failed(
            upstream_faults.failure_of_status(answer.status, told, answer.body, b"")
        )

    def _failed(self, failure: Failure) -> Failure:
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None
        cause, target = failure.refused.cause, self.progress.target
        name = "" if target is None else target.name
        self.progress.troubles.append(f"{name} {failure.kind.value}: {cause}")
        return failure

    # --- relaying

    async def _relayed(self, client: WebSocket, upstream: ClientSocket) -> Ending:
        """Both ways, until one side ends or a limit is reached."""
        loop = asyncio.get_running_loop()
        started = self._spoken_at = loop.time()
        ways = [
            asyncio.create_task(self._upwards(client, upstream)),
            asyncio.create_task(self._downwards(upstream, client)),
        ]
        pinged, ping_s = started, self._policy.ping_s
        silent_s = SILENT_PINGS * ping_s
        tick_s = min(TICK_S, ping_s)
        try:
            while True:
                done, _ = await asyncio.wait(
                    ways, timeout=tick_s, return_when=asyncio.FIRST_COMPLETED
                )
                for way in ways:
                    if way in done:
                        return way.result()
                now = loop.time()
                if now - started > self._policy.session_s:
                    return Ending(GOING_AWAY, "the session's time is over")
                if now - self._spoken_at > self._policy.idle_s:
                    return Ending(GOING_AWAY, "nothing was said for too long")
                if now - upstream.heard_at > silent_s:
                    return _broken("the backend is silent")
                if now - client.heard_at > silent_s:
                    return Ending(GOING_AWAY, "", "client_gone")
                if now - pinged >= ping_s:
                    pinged = now
                    client.ping()
                    upstream.ping()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _upwards(self, client: WebSocket, upstream: WebSocket) -> Ending:
        while (message := await client.receive()) is not None:
            self._spoken_at = client.heard_at
            await upstream.send(message)
        whole = client.close_code not in (None, 1006)
        return Ending(NORMAL, "", "complete" if whole else "client_gone")

    async def _downwards(self, upstream: WebSocket, client: WebSocket) -> Ending:
        while (message := await upstream.receive()) is not None:
            self._spoken_at = upstream.heard_at
            refused = await self._metered(message)
            await client.send(message)
            if refused is not None:
                return Ending(POLICY, "a limit is reached", refused=refused)
        code = upstream.close_code
        if code in (None, 1006, INTERNAL) or upstream.sent_code not in (None, code):
            return _broken(f"the backend closed with {code}")
        return Ending(code if _may_be_sent(code) else NORMAL, "")

    async def _metered(self, message: Message) -> Refused | None:
        """Settles a response that ended and takes what the next may use: why not, if it may not."""
        event = realtime_wire.read(message.data) if message.is_text else None
        if event is None:
            return None
        if event.begins:
            self._responding = True
            return None
        if event.beside:
            self._settle(event.usage or UNKNOWN, "complete")
        else:
            self._responding = False
            if event.doubted:
                self.progress.doubt()
            self._settle(event.usage or UNKNOWN, event.finish)
        return await self._next()

    def _settle(self, usage: Usage, finish: str) -> None:
        progress = self.progress
        progress.usage, progress.status, progress.finish = usage, 200, finish
        progress.sent_upstream = True
        self._way.settle(self.call, progress)

    async def _next(self) -> Refused | None:
        """The call of the next response; without it none is made."""
        self._count += 1
        target = self.progress.target
        assert target is not None, "the session is open"
        self.call = structs.replace(
            self._first,
            id=f"{self._first.id}.{self._count}",
            received_at=time.monotonic(),
            hold=None,
        )
        self.progress = _blank()
        try:
            await self._admit()
            self.progress.target, self.progress.attempts = target, 1
            self._way.parts.metering.intend(self.call, target, self.progress)
        except Refused as refused:
            self.progress.finish = "refused"
            return refused
        return None


_NOTHING = Usage(source="none")


def _blank() -> Progress:
    return Progress(usage=_NOTHING)


def _broken(cause: str) -> Ending:
    refused = upstream_faults.interruption(cause)
    return Ending(INTERNAL, "the backend broke off", "incomplete", refused, broke=True)


def _may_be_sent(code: int | None) -> bool:
    """RFC 6455, section 7.4."""
    if code is None:
        return False
    return code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code < 5000


def _internal() -> Refused:
    return Refused(
        Reason.INTERNAL,
        "Something went wrong inside the gateway. It is logged under this request's id.",
        retry_after_s=1.0,
    )
