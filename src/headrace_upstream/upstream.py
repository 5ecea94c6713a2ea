"""The upstream behind the sockets: its scripts, what it saw, and how a call becomes a reply."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from headrace_upstream import openai, passed, refusals
from headrace_upstream.asked import Asked, BadBodyError, Body, read_asked
from headrace_upstream.behaviour import Behaviour
from headrace_upstream.files import Files
from headrace_upstream.journal import Journal
from headrace_upstream.mischief import Scene, staged
from headrace_upstream.passed import Sent
from headrace_upstream.paths import Route, route_of
from headrace_upstream.rendering import READERS, Renderings
from headrace_upstream.reply import Reply, Send, http_date, plain_head, split
from headrace_upstream.scripts import ScriptBook
from headrace_upstream.seen import Ended, Seen, Stats
from headrace_upstream.substitutes import refused
from headrace_upstream.template import Filling, Rendering

_COMPLETION_APIS = frozenset(
    (
        "chat",
        "chat_stream",
        "completions",
        "embeddings",
        "responses",
        "messages",
        "count_tokens",
    )
)


class Upstream:
    """The state that all connections of one process share. No I/O but the journal's."""

    def __init__(
        self,
        default: Behaviour,
        journal: Journal | None = None,
        most_seen: int = 10_000,
        first_seq: int = 1,
    ) -> None:
        self.book = ScriptBook(default)
        self.journal = journal
        self.stats = Stats()
        self.seen: deque[Seen] = deque(maxlen=most_seen)
        self.refuse_left = 0
        """How many connections to reset as soon as they are accepted."""
        self.transports: set[asyncio.Transport] = set()
        self.files = Files()
        self._renderings = Renderings()
        self._next_seq = first_seq
        self._date = (0, b"")
        self._routes: dict[bytes, tuple[str, Route]] = {}
        self._watchers: list[tuple[Callable[[Stats], bool], asyncio.Future[None]]] = []

    def meet(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, tag: str
    ) -> tuple[Seen, Route, bytes | Reply]:
        """One complete request: records it and makes its reply, as bytes where it is plain."""
        path, route = self._route(target)
        now_s = time.time()
        call = Seen(
            seq=self._next_seq,
            time_s=now_s,
            begun_ns=time.monotonic_ns(),
            tag=tag,
            method=method.decode("latin-1"),
            path=path,
            headers=headers,
            body=body,
            deployment=route.deployment,
        )
        self._next_seq += 1
        reply = self._reply(call, route, now_s)
        self.stats.calls += 1
        self.stats.in_flight += 1
        self.seen.append(call)
        if self.journal is not None:
            self.journal.seen(call)
        if self._watchers:
            self.notify()
        return call, route, reply

    def end(self, call: Seen, ended: Ended) -> None:
        """The call is over; the caller has set what was sent."""
        call.ended = ended
        call.ended_ns = time.monotonic_ns()
        stats = self.stats
        stats.in_flight -= 1
        if ended == "completed":
            stats.completed += 1
        elif ended == "faulted":
            stats.faulted += 1
        else:
            stats.client_gone += 1
        if self.journal is not None:
            self.journal.ended(call)
        if self._watchers:
            self.notify()

    def forget(self) -> None:
        """Empties `seen` and the counts; open connections and calls in flight stay counted."""
        self.seen.clear()
        self.files.clear()
        now = self.stats
        self.stats = Stats(connections_open=now.connections_open, in_flight=now.in_flight)

    def drop_all(self) -> None:
        """Closes every open connection at once."""
        for transport in list(self.transports):
            transport.abort()

    def date(self, now_s: float) -> bytes:
        """The Date header's value, made once a second."""
        second = int(now_s)
        if self._date[0] != second:
            self._date = (second, http_date(now_s).encode())
        return self._date[1]

    async def wait_for(self, condition: Callable[[Stats], bool]) -> None:
        """Returns when the counts satisfy `condition`."""
        if condition(self.stats):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watcher = (condition, future)
        self._watchers.append(watcher)
        try:
            await future
        finally:
            self._watchers.remove(watcher)

    def notify(self) -> None:
        """The counts have changed."""
        for condition, future in self._watchers:
            if not future.done() and condition(self.stats):
                future.set_result(None)

    def _route(self, target: bytes) -> tuple[str, Route]:
        known = self._routes.get(target)
        if known is None:
            text = target.decode("latin-1")
            if len(self._routes) >= 1024:
                self._routes.clear()
            known = self._routes[target] = (text, route_of(text.partition("?")[0]))
        return known

    def _reply(self, call: Seen, route: Route, now_s: float) -> bytes | Reply:
        sent: Sent | None = None
        try:
            if route.api in passed.APIS or route.api == "files":
                sent = passed.read_sent(call.headers, call.body)
                asked = passed.asked_of(route, sent)
            else:
                asked = read_asked(route, call.body, READERS)
        except BadBodyError as error:
            asked = Asked(route, Body())
            return self._staged(call, refused(refusals.refusal(route.dialect, 400, str(error))))
        call.model, call.stream = asked.model, asked.stream
        try:
            behaviour = self.book.choose(asked, call.body, call.headers, call.path, call.tag)
        except (msgspec.MsgspecError, ValueError) as error:
            message = f"the script in this request is wrong: {error}"
            return self._staged(call, refused(refusals.refusal(route.dialect, 400, message)))
        if behaviour.require_key is not None and behaviour.require_key != _key_of(call.headers):
            return self._staged(call, refused(refusals.refusal(route.dialect, 401)))
        if sent is not None and (call.method == "POST" or route.api == "files"):
            return self._passed(call, asked, sent, behaviour, now_s)
        if route.api not in _COMPLETION_APIS or call.method != "POST":
            return self._staged(call, _other(route, call.path, call.method))
        return self._answer(call, asked, behaviour, now_s)

    def _answer(
        self, call: Seen, asked: Asked, behaviour: Behaviour, now_s: float
    ) -> bytes | Reply:
        rendering = self._renderings.of(asked, behaviour)
        scripted_in = behaviour.usage.input
        tokens_in = asked.tokens_in if scripted_in is None else scripted_in
        filling = Filling(call.seq, int(now_s), tokens_in, tokens_in + rendering.tokens_out)
        if not rendering.plain:
            skewed_s = now_s + behaviour.date_skew_s
            return self._staged(
                call, staged(Scene(asked, behaviour, rendering, filling, skewed_s)), skewed_s
            )
        call.status, call.tokens_in = 200, tokens_in
        call.tokens_out = call.tokens_sent = rendering.tokens_out
        dialect, date = asked.route.dialect, self.date(now_s)
        if rendering.events:
            stream = rendering.burst(filling)
            call.bytes_sent = len(stream)
            return plain_head(dialect, call.seq, date, rendering.content_type, None) + stream
        body = rendering.filled_body(filling)
        call.bytes_sent = len(body)
        return plain_head(dialect, call.seq, date, rendering.content_type, len(body)) + body

    def _passed(
        self, call: Seen, asked: Asked, sent: Sent, behaviour: Behaviour, now_s: float
    ) -> Reply:
        """Pictures, sound, files: made anew for each call."""
        fails = behaviour.fault is not None or behaviour.status != 200
        if asked.route.api == "files" and fails and call.method != "GET":
            rendering: Rendering | refusals.Refusal = (
                passed.NOTHING
            )  # what is not taken is not kept either
        elif asked.route.api == "files":
            path, key = call.path.partition("?")[0], _key_of(call.headers)
            rendering = self.files.answer(call.method, path, sent, call.seq, key)
        else:
            rendering = passed.render(asked, sent, behaviour)
        if isinstance(rendering, refusals.Refusal):
            return self._staged(call, refused(rendering))
        filling = Filling(call.seq, int(now_s), 0, 0)
        reply = staged(Scene(asked, behaviour, rendering, filling, now_s))
        if reply.status == 200 and reply.fault is None and rendering.content_type[:6] == b"audio/":
            reply.framing, reply.beats = "chunked", split(reply.beats, 4_000, 0.0)
        return self._staged(call, reply, now_s)

    def _staged(self, call: Seen, reply: Reply, now_s: float | None = None) -> Reply:
        call.status, call.fault = reply.status, reply.fault
        call.tokens_in, call.tokens_out = reply.tokens_in, reply.tokens_out
        if now_s is not None and "date" not in (name.lower() for name, _ in reply.headers):
            reply.headers.append(("date", http_date(now_s)))
        return reply


def _key_of(headers: Mapping[bytes, bytes]) -> str:
    bearer = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
    names = (b"api-key", b"x-api-key", b"x-goog-api-key")
    other = next((headers[name] for name in names if name in headers), b"")
    return other.decode("latin-1") or bearer


def _other(route: Route, path: str, method: str) -> Reply:
    if route.api == "response" and method in ("GET", "DELETE"):
        return _response(path.partition("?")[0].rpartition("/")[2], method)
    if route.api == "models" and method == "GET":
        name = path.partition("?")[0].rpartition("/models")[2].strip("/")
        listed = openai.model_card(name) if name else openai.models()
        body = msgspec.json.encode(listed)
        return Reply(length=len(body), beats=[Send(body)])
    if route.api == "unknown":
        message = f"Unknown request URL: {method} {path}. Please check the URL for typos."
        return refused(refusals.refusal(route.dialect, 404, message, code="unknown_url"))
    return refused(refusals.refusal(route.dialect, 405, f"Not allowed: {method} {path}."))


def _response(name: str, method: str) -> Reply:
    """One that is kept for ever, unless its deletion was asked for."""
    card: dict[str, object] = {"id": name, "object": "response"}
    told = {"deleted": True} if method == "DELETE" else {"status": "completed", "output": []}
    body = msgspec.json.encode(card | told)
    return Reply(length=len(body), beats=[Send(body)])
