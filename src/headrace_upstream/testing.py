"""The upstream inside a test: `async with ScriptedUpstream() as up: ...`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headrace_upstream.behaviour import Behaviour, behaviour_from
from headrace_upstream.journal import Journal
from headrace_upstream.scripts import Match
from headrace_upstream.seen import Seen, Stats
from headrace_upstream.server import listen
from headrace_upstream.upstream import Upstream

Script = Mapping[str, Any] | Behaviour


class ScriptedUpstream:
    """A scripted provider on a port of its own, in the running event loop.

    >>> async with ScriptedUpstream(tokens=5) as up:
    ...     up.script({"fault": "rate_limited"}, times=1)
    ...     # call f"{up.url}/v1/chat/completions"
    ...     await up.wait_for(lambda stats: stats.completed == 1)
    ...     assert up.seen[0].model == "gpt-4o"

    Keyword arguments are fields of the default Behaviour.
    """

    def __init__(
        self,
        default: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tag: str = "",
        journal: Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
        **fields: Any,
    ) -> None:
        self.host = host
        self.port = port
        self._tag = tag
        self._ssl = ssl_context
        self._journal = Journal(journal) if journal else None
        behaviour = behaviour_from({**fields}, behaviour_from(default or {}, Behaviour()))
        self._upstream = Upstream(behaviour, self._journal)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await listen(self._upstream, self.host, self.port, self._tag, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if self._journal is not None:
            self._journal.close()

    async def stop(self) -> None:
        """Stops listening and drops all connections: connecting is refused from now on."""
        if self._server is None:
            return
        self._server.close()
        self._upstream.drop_all()
        await self._upstream.wait_for(lambda stats: stats.connections_open == 0)
        self._server = None

    async def restart(self) -> None:
        """Listens again, on the same port."""
        await self.__aenter__()

    @property
    def url(self) -> str:
        """Without a path: `http://127.0.0.1:40123`."""
        return f"{'https' if self._ssl else 'http'}://{self.host}:{self.port}"

    @property
    def seen(self) -> list[Seen]:
        """The calls so far, oldest first."""
        return list(self._upstream.seen)

    @property
    def stats(self) -> Stats:
        return self._upstream.stats

    def default(self, script: Script) -> None:
        """Changes fields of the default behaviour."""
        self._upstream.book.set_default(script)

    def script(
        self,
        script: Script,
        *,
        times: int | None = 1,
        percent: float = 100.0,
        seed: int = 0,
        **match: Any,
    ) -> None:
        """Adds a rule: by default for one call. `match` takes the fields of `scripts.Match`:
        `path`, `model`, `deployment`, `tag`, `stream`."""
        self._upstream.book.add(script, Match(**match), times, percent, seed)

    def reset(self) -> None:
        """Forgets the rules, what was seen and the counts."""
        self._upstream.book.clear()
        self._upstream.forget()
        self._upstream.refuse_left = 0

    def refuse_connections(self, count: int) -> None:
        """Resets the next `count` connections as soon as they are accepted."""
        self._upstream.refuse_left = count

    async def wait_for(self, condition: Callable[[Stats], bool], timeout_s: float = 10.0) -> None:
        """Returns when the counts satisfy `condition`. Raises TimeoutError, with the counts."""
        try:
            await asyncio.wait_for(self._upstream.wait_for(condition), timeout_s)
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s} s: {self.stats}") from None
