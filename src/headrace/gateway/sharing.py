"""Whether a call needs an answer of its own, or gets that of an equal one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from headrace.config.sharing import CoalescingPolicy, IdempotencyPolicy, Mode
from headrace.errors import Reason, Refused
from headrace.gateway import coalescing
from headrace.gateway.coalescing import Coalescing
from headrace.gateway.flight import Work
from headrace.gateway.idempotency import Idempotency
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.nouns import Call

log = logging.getLogger("headrace.sharing")


class Server(Protocol):
    """Makes answers: the rest of the pipeline."""

    async def admit(self, call: Call) -> None:
        """Takes what the call may use from its caller's limits. Raises Refused."""
        ...

    async def serve(self, call: Call, reply: Reply) -> None:
        """Answers with an upstream's help. Settles the call in every way out of it."""
        ...

    def refuse(self, refused: Refused, call: Call, reply: Reply, progress: Progress) -> None:
        """Tells the client, the log and `progress`."""
        ...

    def settle(self, call: Call, progress: Progress) -> None:
        """The end of a call that used nothing of its own."""
        ...


class Sharing:
    """Repeated and equal calls. One for all configurations: `configure` on reload keeps what is
    in flight or kept."""

    def __init__(
        self,
        idempotency: IdempotencyPolicy,
        coalesce: CoalescingPolicy,
        modes: Mapping[str, Mode] | None = None,
        scope_of: Callable[[Call], str] | None = None,
    ) -> None:
        """`modes` are those of models that differ from the policy's. `scope_of` names what else
        an answer hangs on, such as the version of the policies that a call goes through."""
        self._idempotency = Idempotency(idempotency)
        self._coalescing = Coalescing(coalesce)
        self.configure(idempotency, coalesce, modes, scope_of)

    def configure(
        self,
        idempotency: IdempotencyPolicy,
        coalesce: CoalescingPolicy,
        modes: Mapping[str, Mode] | None = None,
        scope_of: Callable[[Call], str] | None = None,
    ) -> None:
        """Takes other policies; what is in flight or kept stays."""
        self._idempotency.configure(idempotency)
        self._coalescing.policy = coalesce
        self._default: Mode = coalesce.mode
        self._modes = dict(modes or {})
        self._any_always = "always" in (self._default, *self._modes.values())
        self._scope_of = scope_of

    def concerns(self, call: Call) -> bool:
        """Whether `answer` may do other than to serve. Cheap: asked of every call."""
        return (
            call.sdk_attempt is not None
            or call.idempotency_key is not None
            or coalescing.promising(call)
            or (self._any_always and self._mode_of(call) == "always")
        )

    async def answer(self, call: Call, reply: Reply, server: Server) -> None:
        """Answers a call, with an answer of its own or another's. Every way out of it is settled:
        by the server if the work was this call's, else here."""
        if self._first_try(call):
            await self._idempotency.keep_for_sdk(call, lambda r: server.serve(call, r), reply)
            return
        turn = _Turn(call, server)
        progress = Progress()
        try:
            await self._answer(call, turn, reply, progress)
        except Refused as refused:
            server.refuse(refused, call, reply, progress)
        except asyncio.CancelledError:
            if not reply.interrupted_by_drain:
                raise
            server.refuse(_drained_away(), call, reply, progress)
        except Exception:
            log.exception("a fault of our own", extra={"call": call.id})
            server.refuse(_internal(), call, reply, progress)
        finally:
            if not turn.taken and not turn.handed_over:
                server.settle(call, progress)

    async def drain(self) -> None:
        """Ends shared work because the gateway stops. After the clients' own time is over."""
        await self._idempotency.drain()
        await self._coalescing.drain()

    def _first_try(self, call: Call) -> bool:
        """An SDK's first try, which shares nothing: nearly all calls of SDKs."""
        return (
            call.sdk_attempt == 0
            and call.idempotency_key is None
            and not coalescing.promising(call)
            and not self._any_always
            and self._idempotency.heeds_sdk(call)
        )

    async def _answer(self, call: Call, turn: _Turn, reply: Reply, progress: Progress) -> None:
        caller = call.caller
        if not (caller.may_use(call.model) and caller.may_ask(call.operation)):
            # Never another's answer; serving refuses it.
            await turn(reply)
            return
        await turn.admit()
        if self._idempotency.heeds_key(call):
            await self._idempotency.answer_keyed(call, self._lasting(call, turn), reply, progress)
        elif self._idempotency.heeds_sdk(call):
            if await self._idempotency.join_sdk(call, reply, progress):
                return

            async def work(inner: Reply) -> None:
                await self._coalesced(call, turn, inner, progress)

            await self._idempotency.keep_for_sdk(call, work, reply)
        else:
            await self._coalesced(call, turn, reply, progress)

    def _lasting(self, call: Call, turn: _Turn) -> Work:
        """Work that may outlive its client, so that it refuses and settles by itself."""

        async def work(inner: Reply) -> None:
            turn.handed_over = True
            progress = Progress()
            try:
                await self._coalesced(call, turn, inner, progress)
            except Refused as refused:
                turn.refuse(refused, inner, progress)
            finally:
                if not turn.taken:
                    turn.settle(progress)

        return work

    async def _coalesced(self, call: Call, turn: _Turn, reply: Reply, progress: Progress) -> None:
        key = self._key_of(call)
        if key is None:
            await turn(reply)
        else:
            await self._coalescing.answer(key, turn, reply, progress)

    def _key_of(self, call: Call) -> coalescing.FlightKey | None:
        mode = self._mode_of(call)
        if mode == "never" or (mode == "fixed_sampling" and not coalescing.promising(call)):
            return None
        scope = "" if self._scope_of is None else self._scope_of(call)
        return coalescing.key_of(call, mode, scope)

    def _mode_of(self, call: Call) -> Mode:
        return self._modes.get(call.model, self._default)


class _Turn:
    """One call's right to have its answer made."""

    __slots__ = ("_call", "_server", "handed_over", "taken")

    def __init__(self, call: Call, server: Server) -> None:
        self._call = call
        self._server = server
        self.taken = False
        """The server settles the call."""
        self.handed_over = False
        """Work that outlives the client does."""

    async def __call__(self, reply: Reply) -> None:
        self.taken = True
        await self._server.serve(self._call, reply)

    async def admit(self) -> None:
        await self._server.admit(self._call)

    def refuse(self, refused: Refused, reply: Reply, progress: Progress) -> None:
        self._server.refuse(refused, self._call, reply, progress)

    def settle(self, progress: Progress) -> None:
        self._server.settle(self._call, progress)


def _drained_away() -> Refused:
    return Refused(
        Reason.DRAINING,
        "This gateway is restarting and could not wait for your answer to end: what you got is "
        "incomplete. Please try again.",
        retry_after_s=1.0,
    )


def _internal() -> Refused:
    return Refused(
        Reason.INTERNAL,
        "Something went wrong inside the gateway. It is logged under this request's id.",
        retry_after_s=1.0,
    )
