"""The operator's own door: a socket in the store's folder, which only the gateway's user may open.

`GET /workers`, `GET /backends`, `POST /backends/NAME/isolate`, `POST /backends/NAME/restore`,
`GET /calls/ID`, `GET /metrics`, `POST /scores`, `GET /config`, and what `edge/cache_control.py`
names.
Each worker has a socket of its own; `operate/control_client.py` asks all of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from headrace.gateway.fleet import BackendState
from headrace.gateway.health import State, Transition
from headrace.gateway.parts import Parts
from headrace.gateway.telemetry.meters import Meters
from headrace.gateway.telemetry.snapshot import Snapshot
from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits, Violation
from headrace.platform.http.server import HttpServer

_ACTION = re.compile(r"/backends/([^/]+)/(isolate|restore)\Z")
_CALL = re.compile(r"/calls/([A-Za-z0-9-]{8,64})\Z")
_JSON = b"content-type: application/json\r\n"


class Score(Struct, frozen=True):
    """What somebody thinks of one answer of a model."""

    model: str
    measure: str
    points: float


class Control:
    """Serves one worker's socket."""

    def __init__(
        self,
        parts: Parts,
        folder: Path,
        snapshot: Callable[[], Snapshot | None],
        meters: Meters | None = None,
        config: Callable[[], Any] = lambda: None,
    ) -> None:
        """`config` tells of the configuration in force."""
        self._parts = parts
        self._snapshot = snapshot
        self._meters = meters
        self.url = ""
        """By which this machine reaches the port for calls, without a path."""
        self._config = config
        self.path = folder / f"control-{os.getpid()}.sock"
        self._server: HttpServer | None = None

    async def start(self) -> None:
        """Raises OSError."""
        limits = ServerLimits(body_bytes=64 * 1024, max_connections=64)
        self._server = HttpServer(self._handle, _refuse, limits)
        self.path.unlink(missing_ok=True)
        await self._server.listen_unix(self.path)

    def stop(self) -> None:
        if self._server is not None:
            self._server.abort()
            self._server = None
        self.path.unlink(missing_ok=True)

    async def _handle(self, exchange: Exchange) -> None:
        path = unquote(exchange.target.decode("ascii", "replace").partition("?")[0])
        if path.startswith("/cache"):
            # Imported when somebody asks: most gateways keep no answers.
            from headrace.edge import cache_control

            asked = (self._parts, exchange.method, path, exchange.body)
            status, answer = await cache_control.answer(*asked)
        elif exchange.method == b"POST" and path == "/scores":
            status, answer = self._take_scores(exchange.body)
        else:
            status, answer = self._answer(exchange.method, path)
        exchange.respond(status, _JSON, msgspec.json.encode(answer))

    def _take_scores(self, body: bytes) -> tuple[int, Any]:
        if self._meters is None:
            return 404, {"error": "nothing is counted"}
        scores = msgspec.json.decode(body, type=list[Score])
        for score in scores:
            self._meters.scored(score.model, score.measure, score.points)
        return 200, {"taken": len(scores)}

    def _answer(self, method: bytes, path: str) -> tuple[int, Any]:
        now = time.monotonic()
        fleet = self._parts.fleet
        if method == b"GET" and path == "/backends":
            return 200, [_told(backend, now) for backend in fleet.all()]
        if method == b"GET" and path == "/metrics":
            snapshot = self._snapshot()
            return (404, {"error": "nothing is counted"}) if snapshot is None else (200, snapshot)
        if method == b"GET" and path == "/config":
            return 200, self._config()
        if method == b"GET" and path == "/workers":
            return 200, {"pid": os.getpid(), "url": self.url}
        action = _ACTION.match(path)
        if method == b"POST" and action is not None:
            name, verb = action.groups()
            if name not in fleet:
                return 404, {"error": f"There is no backend {name!r}"}
            backend = fleet[name]
            before = backend.breaker.state(now)
            if verb == "isolate":
                backend.breaker.isolate()
            else:
                backend.breaker.restore(now)
            after = backend.breaker.state(now)
            fleet.changed(backend, Transition(before, after, f"{verb}d by hand"))
            return 200, _told(backend, now)
        call = _CALL.match(path)
        if method == b"GET" and call is not None:
            decisions = self._parts.stories.of(call[1])
            if decisions is None:
                return 404, {"error": "no such call is remembered, or nothing was the matter"}
            return 200, list(decisions)
        return 404, {"error": f"There is nothing at {path[:80]}"}


def _told(backend: BackendState, now: float) -> dict[str, Any]:
    availability, state = backend.breaker.available(now), backend.breaker.state(now)
    return {
        "name": backend.name,
        "state": state.value,
        "may_be_asked": availability.ok,
        "why": availability.why,
        "in_s": None if availability.until is None else round(availability.until - now, 1),
        "running": backend.load.running,
        "limit": backend.limit.ceiling,
        # What was counted is forgotten when it opens.
        "failure_share": round(backend.failure_share(now), 3) if state is State.CLOSED else None,
        "pid": os.getpid(),
    }


def _refuse(violation: Violation, target: bytes, what: str) -> tuple[bytes, bytes]:
    return _JSON, msgspec.json.encode({"error": what})
