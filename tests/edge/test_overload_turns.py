"""While calls are refused, answers are relayed in longer turns; afterwards as before."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import cast

from headrace.config.policies import SheddingPolicy
from headrace.edge.overload import Overload
from headrace.gateway.parts import Parts
from headrace.gateway.shedding import Shedder
from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.server import HttpServer
from headrace.platform.http.turns import BYTES_A_LONG_TURN, BYTES_A_TURN, Turns
from headrace.platform.pressure import LAGS_KEPT


async def never(exchange: Exchange) -> None:
    raise AssertionError("nothing is asked here")


async def test_turns_are_longer_while_calls_are_refused() -> None:
    policy = SheddingPolicy(batch_lag_ms=50.0, all_lag_ms=200.0)
    parts = cast(Parts, SimpleNamespace(shedder=Shedder(policy, 100, random.Random(1))))
    server, turns = HttpServer(never, lambda *_: (b"", b""), ServerLimits()), Turns()
    try:
        overload = Overload(parts, lambda _: None, server, turns)
        for lag_s, refuses in ((0.0, False), (0.1, True), (0.3, True), (0.01, False)):
            for _ in range(LAGS_KEPT):
                overload.observe(lag_s, None)
            assert (server.shed is not None) is refuses
            assert turns.bytes_a_turn == (BYTES_A_LONG_TURN if refuses else BYTES_A_TURN)
    finally:
        server.abort()
