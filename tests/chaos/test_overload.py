"""T15: five times as much as can be done. What can be done is done nevertheless, the important
calls first, and the gateway stays within its memory and says that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median

import pytest

from support import health_watch
from support.commands import executed
from support.gateway_process import Gateway, running_gateway

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
PEAK_S = 3.0
FLOOD_S = 6.0
FLOODS = 5 if SOAK else 1
"""Each between two peaks: what a CPU second is worth changes with what else the machine does."""
TIMES = 5
EVENTS = 3_000
"""Of each stream: much work for the gateway's loop, little for those around it."""
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = EVENT * EVENTS + END
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(STREAM), STREAM)
)
KEYS = {name: f"{name}-key-0123456789abcdef" for name in ("batch", "normal", "critical")}
SHARES = ("critical", *["normal"] * 6, *["batch"] * 3)
PATIENCE_S = 120.0
MOST_GROWTH_MIB = 200
GOODPUT_SHARE = 0.9
"""Of the peak, as T15 asks, from clients that keep their connections, as SDKs do. Where each call
opens one, what that costs cannot be got out of: docs/operating.md has what is left. The soak tells.
"""
COLLAPSE_SHARE = 0.6
"""Below it overload takes the gateway down with it, whatever else this machine does."""
LIVES_MEDIAN_S = 0.5
LIVES_WITHIN_S = 3.0
"""50 ms is the aim, and on a quiet machine it takes 6 to 7, at most 12 to 26. This one may be busy
with other things. When health checks waited behind streams it took 1 to 1.8 s, at most 6 to 9."""
CONFIG = """
keys:
  batch: {{secret: env:KEY_BATCH, priority: batch}}
  normal: {{secret: env:KEY_NORMAL}}
  critical: {{secret: env:KEY_CRITICAL, priority: critical}}
backends:
  one: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[one]]}}
"""


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider whose answers cost it nothing: the gateway is what there is too little of."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(length_of(head))
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """Its URL."""
    server = await asyncio.start_server(provide, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def request(key: str, connection: str) -> bytes:
    asked = {"model": "one", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    data = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: {connection}\r\n"
        f"authorization: Bearer {KEYS[key]}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class Rate:
    """Answers a second, and a second of the gateway's CPU: that one does not hang on what else
    this machine does."""

    def __init__(self, answers: int = 0, wall_s: float = 0.0, cpu_s: float = 0.0) -> None:
        self.answers = answers
        self.wall_s = wall_s
        self.cpu_s = cpu_s

    @property
    def per_s(self) -> float:
        return self.answers / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        return self.answers / self.cpu_s

    @classmethod
    def of(cls, rates: list[Rate]) -> Rate:
        """All of them together."""
        return cls(
            sum(rate.answers for rate in rates),
            sum(rate.wall_s for rate in rates),
            sum(rate.cpu_s for rate in rates),
        )


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """Head and body, as far as they came."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
        if length := length_of(raw):
            return raw + await reader.readexactly(length)
        while not raw.endswith(b"\r\n0\r\n\r\n") and (more := await reader.read(1 << 20)):
            raw += more
    except asyncio.IncompleteReadError as cut:
        raw = cut.partial
    return raw


class Crowd:
    """Calls through one gateway, and how they ended, by class. They keep connections for later
    calls, as SDKs do, or open one each."""

    def __init__(self, gateway: Gateway, connection: str) -> None:
        self._gateway = gateway
        self._connection = connection
        self._idle: dict[str, list[Line]] = {key: [] for key in KEYS}
        self.answered: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self.others: list[bytes] = []

    async def one(self, key: str = "normal") -> None:
        idle = self._idle[key]
        line = idle.pop() if idle else await self._open()
        reader, writer = line
        writer.write(request(key, self._connection))
        raw = await asyncio.wait_for(answer_of(reader), PATIENCE_S)
        if self._connection == "close":
            await self._close(line)
        else:
            idle.append(line)
        if raw.endswith(b"[DONE]\n\n\r\n0\r\n\r\n"):
            self.answered[key] += 1
        elif b'"overloaded"' in raw:
            self.shed[key] += 1
        else:
            self.others.append(raw[:600])

    async def _open(self) -> Line:
        return await asyncio.open_connection("127.0.0.1", self._gateway.port, limit=1 << 20)

    @staticmethod
    async def _close(line: Line) -> None:
        line[1].close()
        with contextlib.suppress(ConnectionError):
            await line[1].wait_closed()

    async def leave(self) -> None:
        for line in [line for lines in self._idle.values() for line in lines]:
            await self._close(line)

    async def closed(self, clients: int, seconds: float) -> Rate:
        """So many clients ask one call after another."""
        end = time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < end:
                await self.one()

        with self._measured() as rate:
            await asyncio.gather(*(client() for _ in range(clients)))
        return rate

    async def flood(self, per_s: float, seconds: float) -> Rate:
        """Calls at that rate, whatever becomes of those before, until the last is answered."""
        with self._measured() as rate:
            began, tasks = time.monotonic(), []
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
                tasks.append(asyncio.create_task(self.one(SHARES[number % len(SHARES)])))
            await asyncio.gather(*tasks)
        return rate

    @contextmanager
    def _measured(self) -> Iterator[Rate]:
        pid, rate, before = self._gateway.pid, Rate(), self.answered.total()
        began, cpu_s = time.monotonic(), cpu_s_of(pid)
        yield rate
        rate.answers = self.answered.total() - before
        rate.wall_s = time.monotonic() - began
        rate.cpu_s = cpu_s_of(pid) - cpu_s


def cpu_s_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """How long `/healthz` takes, and the memory in use, until it is told to stop."""

    def __init__(self, gateway: Gateway) -> None:
        script = health_watch.__file__
        named = (str(gateway.port), str(gateway.pid), str(PATIENCE_S))
        self._process = subprocess.Popen(
            [sys.executable, script, *named],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.times_s: list[float] = []
        self.sizes_mib: list[float] = []

    def stop(self) -> None:
        told, _ = self._process.communicate()
        assert self._process.returncode == 0
        for line in told.splitlines():
            time_s, size_mib = line.split()
            self.times_s.append(float(time_s))
            self.sizes_mib.append(float(size_mib))


@pytest.mark.soak
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_the_gateway_itself_is_overloaded(connection: str, tmp_path: Path) -> None:
    env = {f"KEY_{name.upper()}": key for name, key in KEYS.items()}
    async with provider() as url:
        text = CONFIG.format(url=url)
        with running_gateway(text, tmp_path, env, start=executed) as gateway:
            crowd, flooded = Crowd(gateway, connection), Crowd(gateway, connection)
            await crowd.closed(8, 1.0)
            peaks, before_mib = [await crowd.closed(8, PEAK_S)], health_watch.rss_mib(gateway.pid)
            floods, watches = [], []
            for _ in range(FLOODS):
                watches.append(watch := Watch(gateway))
                floods.append(await flooded.flood(TIMES * peaks[-1].per_s, FLOOD_S))
                await asyncio.to_thread(watch.stop)
                peaks.append(await crowd.closed(8, PEAK_S))
            await asyncio.gather(crowd.leave(), flooded.leave())
    peak, goodput = Rate.of(peaks), Rate.of(floods)
    times_ms = sorted(1000 * t for watch in watches for t in watch.times_s)
    most_mib = max(size for watch in watches for size in watch.sizes_mib)
    print(
        f"\npeak {peak.per_s:.0f}/s, {peak.per_cpu_s:.0f} a CPU second, goodput "
        f"{goodput.per_s:.0f}/s, {goodput.per_cpu_s:.0f} a CPU second, "
        f"share {goodput.per_cpu_s / peak.per_cpu_s:.2f}, answered {dict(flooded.answered)}, shed "
        f"{dict(flooded.shed)}, /healthz p50 {median(times_ms):.0f} ms most {times_ms[-1]:.0f} ms, "
        f"RSS {before_mib:.0f} to {most_mib:.0f} MiB"
    )
    assert flooded.others == []
    assert flooded.shed["critical"] == 0
    assert flooded.shed["batch"] > 0
    assert flooded.shed["normal"] <= flooded.shed["batch"] * 2  # there are twice as many
    assert flooded.answered["critical"] > 0
    share = GOODPUT_SHARE if SOAK and connection == "keep-alive" else COLLAPSE_SHARE
    assert goodput.per_cpu_s >= share * peak.per_cpu_s
    assert most_mib - before_mib < MOST_GROWTH_MIB
    assert median(times_ms) < LIVES_MEDIAN_S * 1000
    assert times_ms[-1] < LIVES_WITHIN_S * 1000
