"""From an HTTP exchange to a call, and what is answered without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from headrace.edge import anthropic, kept_responses, openai, passed_on, reading, realtime
from headrace.edge.cache_feedback import Feedback
from headrace.edge.client_address import ClientAddress
from headrace.edge.client_reply import AnthropicReply, ClientReply
from headrace.edge.correlation import correlation_id
from headrace.edge.head import Head, head_of
from headrace.edge.headers import Said
from headrace.edge.kept_responses import KeptResponse
from headrace.edge.reading import Asked
from headrace.edge.refusal import Prepared, refusal
from headrace.edge.routes import Page, Route, dialect_of, is_anthropic, route_of
from headrace.errors import Reason, Refused
from headrace.gateway import catalogue, conversations, kept_files, named_files
from headrace.gateway.limits.prompt_size import prompt_size
from headrace.gateway.pipeline import Pipeline
from headrace.gateway.progress import Progress
from headrace.gateway.shedding import overloaded, priority_of
from headrace.gateway.tokens import KeysAwaited
from headrace.nouns import PASSED_ON, Call, Dialect, Operation
from headrace.platform.cohort import others_first
from headrace.platform.http.exchange import Answer, Exchange, Request
from headrace.platform.http.limits import Violation

ESTIMATED = b"x-headrace-estimated: input_tokens\r\n"
_WHOLE_ONLY = frozenset({Operation.EMBEDDINGS, Operation.COUNT_TOKENS})
_BY_OTHER_WAYS = PASSED_ON | {Operation.COUNT_TOKENS, Operation.RESPONSES}
"""Operations that are not answered by the pipeline alone."""
_TELLS_USAGE = frozenset({Operation.MESSAGES, Operation.RESPONSES})
"""Their streams always do."""
_VIOLATIONS = {
    Violation.MALFORMED: Reason.BAD_REQUEST,
    Violation.BODY_TOO_LARGE: Reason.BODY_TOO_LARGE,
    Violation.EXPECTATION: Reason.BAD_REQUEST,
    Violation.HEADERS_TOO_LARGE: Reason.HEADERS_TOO_LARGE,
    Violation.TOO_SLOW: Reason.BAD_REQUEST,
    Violation.BUSY: Reason.OVERLOADED,
    Violation.DRAINING: Reason.DRAINING,
}


_UNPROVED = (Reason.UNAUTHENTICATED, Reason.ACCESS_NOT_GRANTED, Reason.ADDRESS_FORBIDDEN)
"""Told to the audit log."""


class Runtime(Protocol):
    """What serves calls now. Another takes its place on reload; running calls keep theirs."""

    pipeline: Pipeline
    json_depth_limit: int
    proxies: ClientAddress | None

    def readiness(self) -> list[str]:
        """What stands in the way of answering; empty if nothing does."""
        ...


class Audit(Protocol):
    """Who is told of refused credentials."""

    def refused(self, ip: str, refused: Refused) -> None: ...


class App:
    """The handler of the client port."""

    def __init__(self, runtime: Runtime, audit: Audit | None = None) -> None:
        self.runtime = runtime
        self._audit = audit
        self._started_unix_s = int(time.time())
        self._overloaded = Prepared(overloaded(), Dialect.OPENAI)
        self._overloaded_anthropic = Prepared(overloaded(), Dialect.ANTHROPIC)

    def shed(self, request: Request) -> Answer | None:
        """The refusal of a call that overload leaves no room for. None for all that `handle` has to
        answer, be it a page, a call that there is room for or a fault of another kind."""
        head = head_of(request)
        said, route = head.said, head.route
        if route is None or route.asks is Operation.REALTIME or type(route.asks) is Page:
            return None  # a session's credential may stand elsewhere
        runtime = self.runtime
        proxies, parts = runtime.proxies, runtime.pipeline.parts
        ip = request.peer if proxies is None else proxies.client(request.peer, request.headers)
        try:
            caller = runtime.pipeline.identity.identify(said.credential, ip, head.fingerprint)
        except Refused:
            return None
        shedder = parts.shedder
        priority = priority_of(said.priority, caller.priority, caller.priority)
        if shedder.admits(priority, parts.running):
            return None
        if parts.observer is not None:
            parts.observer.refused(Reason.OVERLOADED.value)
        anthropics = head.reply is AnthropicReply
        prepared = self._overloaded_anthropic if anthropics else self._overloaded
        return prepared.answer(correlation_id(said.request_id), shedder.turn_away())

    async def handle(self, exchange: Exchange) -> None:
        """Answers one exchange, whatever it is."""
        head = head_of(exchange)
        call_id = correlation_id(head.said.request_id)
        reply = head.reply(exchange, call_id)
        runtime = self.runtime
        proxies = runtime.proxies
        ip = exchange.peer if proxies is None else proxies.client(exchange.peer, exchange.headers)
        try:
            try:
                call = self._read(exchange, head, call_id, ip, runtime)
            except KeysAwaited as awaited:
                await awaited.fetched()
                call = self._read(exchange, head, call_id, ip, runtime)
            if isinstance(call, (KeptResponse, Feedback)):
                answered = await call.answered(runtime.pipeline)
                if isinstance(answered, bytes):
                    reply.whole(answered, b"")
                    return
                call = answered
        except Refused as refused:
            if self._audit is not None and refused.reason in _UNPROVED:
                self._audit.refused(ip, refused)
            observer = runtime.pipeline.parts.observer
            if observer is not None:
                observer.refused(refused.reason.value)
            reply.refuse(refused, b"")
            return
        if call is None:
            return
        reply.call = call
        if exchange.in_company:
            call.in_company = True
            await others_first()
        pipeline = runtime.pipeline
        names_files = pipeline.models.keeps_files and named_files.may_name(call)
        if names_files and await named_files.refused(call, reply, pipeline):
            return
        if call.operation in _BY_OTHER_WAYS:
            await _answered(call, exchange, reply, pipeline)
            return
        await pipeline.answer(call, reply)

    def _read(
        self, exchange: Exchange, head: Head, call_id: str, ip: str, runtime: Runtime
    ) -> Call | KeptResponse | Feedback | None:
        """What was asked for; None if it was a page, which is answered."""
        said, route = head.said, head.route
        if route is None:
            route = route_of(exchange.method, exchange.target)
        asks = route.asks
        if isinstance(asks, Page):
            if asks is Page.RESPONSE:
                caller = runtime.pipeline.identity.identify(said.credential, ip, head.fingerprint)
                name, dialect = route.name or "", route.dialect
                return KeptResponse(caller, name, exchange.method, call_id, dialect, ip)
            if asks is Page.FEEDBACK:
                caller = runtime.pipeline.identity.identify(said.credential, ip, head.fingerprint)
                return Feedback(caller, exchange.body)
            self._page(exchange, route, asks, call_id, ip, said)
            return None
        if asks in PASSED_ON:
            body: passed_on.Reader | realtime.Handshake
            if asks is Operation.REALTIME:
                head, body = realtime.with_credential(head, exchange), realtime.Handshake(exchange)
            else:
                body = passed_on.Reader(exchange, asks)
            call = self._call(exchange, head, route, asks, call_id, ip, runtime, body.read)
            return body.complete(call)
        return self._call(exchange, head, route, asks, call_id, ip, runtime)

    def _call(
        self,
        exchange: Exchange,
        head: Head,
        route: Route,
        operation: Operation,
        call_id: str,
        ip: str,
        runtime: Runtime,
        read: Callable[[bytes, Operation, int], Asked] = reading.read,
    ) -> Call:
        said = head.said
        caller = runtime.pipeline.identity.identify(said.credential, ip, head.fingerprint)
        priority = priority_of(said.priority, caller.priority, caller.priority)
        shedder = runtime.pipeline.parts.shedder
        if shedder.level:  # what `shed` left: what waited, sessions, tokens whose key was fetched
            shedder.admit(priority, runtime.pipeline.parts.running)
        if said.encoding is not None and said.encoding.lower() != b"identity":
            raise Refused(Reason.UNSUPPORTED_ENCODING, "Send the body without Content-Encoding.")
        asked = read(exchange.body, operation, runtime.json_depth_limit)
        model = route.name or asked.model
        if not model:
            raise Refused(Reason.BAD_REQUEST, "The body needs 'model': a name.", param="model")
        options = asked.stream_options
        return Call(  # by the order of its fields: by name would cost 1.5 µs more
            call_id,
            route.dialect,
            operation,
            model,
            asked.model,
            exchange.body,
            bool(asked.stream) and operation not in _WHOLE_ONLY,
            operation in _TELLS_USAGE or (options is not None and bool(options.include_usage)),
            caller,
            time.monotonic(),
            said.idempotency_key,
            said.sdk_attempt,
            priority,
            said.explain,
            exchange.headers,
            asked.fixed_sampling,
            ip,
            asked.max_tokens,
            asked.max_completion_tokens,
            asked.n,
            said.request_type,
            said.traced,
        )

    def _page(
        self, exchange: Exchange, route: Route, page: Page, call_id: str, ip: str, said: Said
    ) -> None:
        headers = b"%bx-request-id: %b\r\n" % (openai.JSON_TYPE, call_id.encode())
        if page is Page.ALIVE:
            exchange.respond(200, headers, b'{"status":"alive"}')
            return
        if page is Page.READY:
            missing = self.runtime.readiness()
            exchange.respond(503 if missing else 200, headers, openai.readiness_body(missing))
            return
        pipeline = self.runtime.pipeline
        models, prices = pipeline.models, pipeline.parts.prices
        caller = pipeline.identity.identify(said.credential, ip)
        names, since = models.names_as_configured(caller), self._started_unix_s
        write = anthropic if is_anthropic(exchange.target, said.anthropic) else openai
        if page is Page.MODELS:
            found = catalogue.listed(models, names, caller, prices)
            exchange.respond(200, headers, write.models_body(found, since))
        elif route.name in names:
            [one] = catalogue.listed(models, [route.name], caller, prices)
            exchange.respond(200, headers, write.model_body(one, since))
        else:
            raise models.unknown(route.name or "", caller)

    def refuse(self, violation: Violation, target: bytes, what: str) -> tuple[bytes, bytes]:
        """Header lines and body for what the server itself refuses."""
        call_id = correlation_id(None)
        detail = f"This request was not accepted: {what}."
        refused = Refused(_VIOLATIONS[violation], detail, status=violation.status)
        if violation is Violation.BUSY:
            refused.detail = "This gateway takes no more just now. Please try again shortly."
            refused.retry_after_s = 1.0
        elif violation is Violation.DRAINING:
            refused.detail = "This gateway is stopping. Please send the request again."
            refused.retry_after_s = 1.0
        _, headers, body = refusal(refused, call_id, dialect_of(target))
        return headers, body


async def _answered(call: Call, exchange: Exchange, reply: ClientReply, pipeline: Pipeline) -> None:
    """Answers a call of `_BY_OTHER_WAYS`."""
    if call.operation is Operation.RESPONSES:
        await conversations.answer(call, reply, pipeline)
    elif call.operation is Operation.REALTIME:
        await realtime.answer(call, exchange, reply, pipeline)
    elif call.passed is not None and call.operation is Operation.RESPONSE:
        await kept_responses.relayed(call, call.passed, reply, pipeline)
    elif call.passed is not None and call.operation is Operation.FILES:
        wanted = passed_on.list_asked(exchange.target)
        await kept_files.answer(call, call.passed, wanted, reply, pipeline)
    elif call.passed is not None:
        # Never shared nor kept: forms differ in each try, and answers are large.
        await pipeline.serve(call, reply, Progress(estimate=call.passed.estimate))
    elif pipeline.models.counts(call):
        await pipeline.answer(call, reply)
    else:
        reply.whole(anthropic.count_body(prompt_size(call.body).likely), ESTIMATED)
