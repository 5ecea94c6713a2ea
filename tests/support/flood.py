"""One worker that asks as fast as it can, and tells when it was admitted, by the server's clock:
`python -m support.flood URL SECONDS`. It begins when a line comes by stdin."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from headrace.gateway.limits.asking import Asked
from headrace.gateway.limits.measures import Denied, Measures
from headrace.gateway.limits.shared import SharedCounters, SharedTaken
from support.measured import need, rate
from support.shared_limits import shared_counters
from support.valkey_process import ValkeyProcess


class Watched(SharedCounters):
    """Notes when it admits: by the server's clock, which is this machine's."""

    admitted: list[float]

    def _taken_here(self, *given: Any) -> SharedTaken:
        self.admitted.append(time.time() * 1e6)
        return super()._taken_here(*given)

    def _conclude(self, one: Asked, said: Sequence[Any], now: float, unix: float) -> None:
        if said[0]:
            self.admitted.append(said[1][0][2] if said[1] else time.time() * 1e6)
        super()._conclude(one, said, now, unix)


class Where:
    """A server that somebody else started."""

    url = ""


async def main() -> None:
    Where.url = sys.argv[1]
    async with shared_counters(cast(ValkeyProcess, Where), "flood:", made=Watched) as counters:
        assert isinstance(counters, Watched)
        admitted = counters.admitted = []
        bound = counters.bind(Measures(requests=(rate(6000),)), 0.0)
        print("ready", flush=True)
        sys.stdin.readline()
        until = time.monotonic() + float(sys.argv[2])

        async def one() -> None:
            while time.monotonic() < until:
                verdict: Any = counters.take(bound, need(), time.monotonic(), time.time())
                if isinstance(verdict, Awaitable):
                    verdict = await verdict
                if not isinstance(verdict, Denied):
                    verdict.settle(0, 0, time.monotonic())

        await asyncio.gather(*(one() for _ in range(20)))
    print(json.dumps(admitted))


if __name__ == "__main__":
    asyncio.run(main())
