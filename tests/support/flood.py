"""One worker that asks as fast as it can, and tells when it was admitted, by the server's clock:
`python -m support.flood URL SECONDS`. It begins when a line comes by stdin."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, cast

from headrace.gateway.limits.measures import Denied, Measures
from headrace.gateway.limits.shared import SharedTaken
from support.measured import need, rate
from support.shared_limits import shared_counters
from support.valkey_process import ValkeyProcess


class Where:
    """A server that somebody else started."""

    url = ""


async def main() -> None:
    Where.url = sys.argv[1]
    admitted: list[float] = []
    async with shared_counters(cast(ValkeyProcess, Where), "flood:") as counters:
        bound = counters.bind(Measures(requests=(rate(6000),)), 0.0)
        print("ready", flush=True)
        sys.stdin.readline()
        until = time.monotonic() + float(sys.argv[2])

        async def one() -> None:
            while time.monotonic() < until:
                verdict: Any = counters.take(bound, need(), time.monotonic(), time.time())
                verdict = await verdict
                if not isinstance(verdict, Denied):
                    assert isinstance(verdict, SharedTaken)
                    admitted.append(verdict._stakes[0][2])

        await asyncio.gather(*(one() for _ in range(20)))
    print(json.dumps(admitted))


if __name__ == "__main__":
    asyncio.run(main())
