"""What a worker does about having too much to do: measures, refuses, and says so in the log."""

from __future__ import annotations

import logging
from collections import deque

from headrace.gateway.parts import Parts
from headrace.platform.http.server import HttpServer, Shed
from headrace.platform.pressure import LAGS_KEPT, lasting_lag_s

log = logging.getLogger("headrace.worker")


class Overload:
    """Of one worker. `server` sheds by `shed` while calls are to be refused."""

    def __init__(self, parts: Parts, shed: Shed, server: HttpServer) -> None:
        self._parts = parts
        self._shed = shed
        self._server = server
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)

    def observe(self, lag_s: float, memory_share: float | None) -> None:
        """Takes a measurement: see `Shedder.observe`."""
        self._lags.append(lag_s)
        level = self._parts.shedder.observe(lasting_lag_s(self._lags), memory_share)
        self._server.shed_by(self._shed if level else None)

    def tell(self, span_s: float) -> None:
        """Once in `span_s` seconds: calls that are refused so make no line and no row each, which
        would cost more than to refuse them."""
        shedder = self._parts.shedder
        if shedder.refused:
            text = f"{shedder.refused:,} calls refused in the last {span_s:.0f} s or so"
            log.warning("overloaded", extra={"detail": text})
            shedder.refused = 0
