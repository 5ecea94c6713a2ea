"""The scripted upstream in a thread of its own, so that blocking SDKs can be tested with it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

from headrace_upstream import ScriptedUpstream
from headrace_upstream.seen import Seen, Stats

T = TypeVar("T")


class ScriptedThread:
    """A `ScriptedUpstream` that any thread may use but its own."""

    def __init__(self, upstream: ScriptedUpstream, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream = upstream
        self._loop = loop
        self.url = upstream.url

    def script(self, script: dict[str, Any], *, times: int | None = 1, **match: Any) -> None:
        """Adds a rule, by default for one call."""
        self._do(lambda up: up.script(script, times=times, **match))

    def always(self, **fields: Any) -> None:
        """Every call from now to the next `reset` is answered so."""
        self.script(fields, times=None)

    def reset(self) -> None:
        self._do(lambda up: up.reset())

    def refuse_connections(self, count: int) -> None:
        self._do(lambda up: up.refuse_connections(count))

    @property
    def seen(self) -> list[Seen]:
        """The calls so far, oldest first."""
        return self._do(lambda up: up.seen)

    def seen_of(self, request_id: str) -> list[Seen]:
        """The calls that were sent on for one request id."""
        return [call for call in self.seen if call.header("x-request-id") == request_id]

    def only_seen(self) -> Seen:
        """The one call so far."""
        (call,) = self.seen
        return call

    def wait_for(self, condition: Callable[[Stats], bool], timeout_s: float = 20.0) -> None:
        """Returns when the counts satisfy `condition`. Raises TimeoutError, with the counts."""
        waiting = self._upstream.wait_for(condition, timeout_s)
        asyncio.run_coroutine_threadsafe(waiting, self._loop).result(timeout_s + 5)

    def _do(self, work: Callable[[ScriptedUpstream], T]) -> T:
        async def on_its_loop() -> T:
            return work(self._upstream)

        return asyncio.run_coroutine_threadsafe(on_its_loop(), self._loop).result(30)


@contextmanager
def scripted_thread(**default: Any) -> Iterator[ScriptedThread]:
    """A scripted upstream that runs until the block is left."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted upstream", daemon=True)
    thread.start()
    upstream = ScriptedUpstream(**default)
    asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result(10)
    try:
        yield ScriptedThread(upstream, loop)
    finally:
        asyncio.run_coroutine_threadsafe(upstream.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def own_script(**fields: Any) -> str:
    """A value of the request's `user` member: this call's own script, which it carries through
    the gateway, whatever other calls do meanwhile."""
    return "script:" + json.dumps(fields)
