"""Our upstream transport beside pyqwest: CPU of the client process per call and per stream.

    python -m benchmarks.transport [--rounds 5] [--json]

Each client runs in a process of its own, pinned to one core; the upstream (nginx for whole
answers, a few lines of asyncio for streams) is pinned to the other. Rounds are interleaved, so
that noise of the machine falls on both. CPU time is the kernel's, over all threads of the client's
process, after a warm-up; wall time is not looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import uvloop

from benchmarks import nginx
from headrace.platform.http.client import HttpTransport
from headrace.platform.http.messages import Origin, Timeouts, WireRequest, encode_head

ANSWER = b'{"id":"chatcmpl-0","choices":[{"message":{"content":"%b"}}]}' % (b"water " * 75)
REQUEST = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"wheel " * 150)
CHUNKS = 200
CHUNK_INTERVAL_S = 0.004
_CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":" water"}}],"id":"chatcmpl-0"}\n\n'
CONCURRENCY = {"whole": 64, "stream": 32}
CALLS = {"whole": 8_000, "stream": 160}
WARM_UP_CALLS = {"whole": 1_000, "stream": 32}
BAR = 1.5
CLIENTS = ("headrace", "pyqwest")

Call = Callable[[], Awaitable[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per call: Headrace's transport and pyqwest")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=tuple(CALLS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        uvloop.run(_serve(args.serve))
    elif args.client:
        print(uvloop.run(_measure(args.client, args.kind, args.port)))
    else:
        _compare(args.rounds, as_json=args.json)


def _compare(rounds: int, *, as_json: bool) -> None:
    clients = list(CLIENTS)
    if importlib.util.find_spec("pyqwest") is None:
        clients.remove("pyqwest")
        print(
            "pyqwest is not installed: skipped, install with `uv pip install pyqwest`",
            file=sys.stderr,
        )
    cores = sorted(os.sched_getaffinity(0))
    client_core, upstream_core = cores[0], cores[-1]
    if client_core == upstream_core:
        print("one core only: client and upstream share it", file=sys.stderr)
    result: dict[str, dict[str, object]] = {}
    with _upstreams(upstream_core) as ports:
        for kind in CALLS:
            figures: dict[str, list[float]] = {client: [] for client in clients}
            for turn in range(rounds):
                for client in clients if turn % 2 else reversed(clients):
                    figures[client].append(_child(client, kind, ports[kind], client_core))
            medians = {client: round(statistics.median(figures[client]), 1) for client in clients}
            result[kind] = {"cpu_us": medians, "rounds_cpu_us": figures}
            if "pyqwest" in medians:
                ratio = medians["pyqwest"] / medians["headrace"]
                result[kind] |= {"ratio": round(ratio, 2), "bar_met": ratio >= BAR}
    print(json.dumps(result) if as_json else _table(result))


def _table(result: dict[str, dict[str, object]]) -> str:
    lines = []
    for kind, row in result.items():
        what = "200-chunk stream" if kind == "stream" else "whole answer"
        medians = cast(dict[str, float], row["cpu_us"])
        cells = ", ".join(f"{client} {figure:,.1f} us" for client, figure in medians.items())
        ratio = f"; pyqwest costs {row['ratio']} times as much" if "ratio" in row else ""
        lines.append(f"CPU per {what}: {cells}{ratio}")
    return "\n".join(lines)


def _child(client: str, kind: str, port: int, core: int) -> float:
    """CPU microseconds per call, measured by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.transport"]
    command += ["--client", client, "--kind", kind, "--port", str(port)]
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return float(done.stdout)


# In the client's process.


async def _measure(client: str, kind: str, port: int) -> float:
    async with _ours(kind, port) if client == "headrace" else _pyqwest(kind, port) as call:
        await _run(call, WARM_UP_CALLS[kind], CONCURRENCY[kind])
        before = _cpu_s()
        await _run(call, CALLS[kind], CONCURRENCY[kind])
        return (_cpu_s() - before) / CALLS[kind] * 1e6


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _run(call: Call, calls: int, concurrency: int) -> None:
    async def worker(share: int) -> int:
        return sum([await call() for _ in range(share)])

    # An answer of another size than the first one's is a broken benchmark.
    size = await call()
    received = await asyncio.gather(*(worker(calls // concurrency) for _ in range(concurrency)))
    if sum(received) != size * (calls // concurrency) * concurrency or size < len(ANSWER):
        raise RuntimeError("an answer was not whole")


@contextlib.asynccontextmanager
async def _ours(kind: str, port: int) -> AsyncIterator[Call]:
    transport = HttpTransport()
    origin = Origin("http", "127.0.0.1", port)
    timeouts = Timeouts()
    headers = [(b"Host", origin.authority.encode()), (b"Content-Type", b"application/json")]
    headers.append((b"Accept-Encoding", b"identity"))

    async def whole() -> int:
        request = WireRequest(origin, encode_head(b"POST", b"/v1", headers), REQUEST)
        response = await transport.send(request, timeouts)
        return len(await response.read(1 << 20))

    async def stream() -> int:
        request = WireRequest(origin, encode_head(b"POST", b"/v1", headers), REQUEST)
        response = await transport.send(request, timeouts)
        size = 0
        while chunk := await response.next_chunk():
            size += len(chunk)
        return size

    yield whole if kind == "whole" else stream
    await transport.close()


@contextlib.asynccontextmanager
async def _pyqwest(kind: str, port: int) -> AsyncIterator[Call]:
    import pyqwest

    url = f"http://127.0.0.1:{port}/v1"
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    async with pyqwest.HTTPTransport() as transport:
        client = pyqwest.Client(transport)

        async def whole() -> int:
            return len((await client.post(url, headers, REQUEST)).content)

        async def stream() -> int:
            size = 0
            async with client.stream("POST", url, headers, REQUEST) as response:
                async for chunk in response.content:
                    size += len(chunk)
            return size

        yield whole if kind == "whole" else stream


# The upstreams.


@contextlib.contextmanager
def _upstreams(core: int) -> Iterator[dict[str, int]]:
    whole, stream = _free_port(), _free_port()
    answer = ANSWER.decode().replace("'", "")
    http = (
        f"server {{ listen 127.0.0.1:{whole} backlog=1024; location / {{ "
        f"default_type application/json; return 200 '{answer}'; }} }}"
    )
    serve = [sys.executable, "-m", "benchmarks.transport", "--serve", str(stream)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for command, port in ((nginx.command(Path(folder), http), whole), (serve, stream)):
            process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
            stack.callback(process.wait)
            stack.callback(process.terminate)
            _await_port(process, port)
        yield {"whole": whole, "stream": stream}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return cast(int, probe.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the upstream ended with code {process.returncode}")


class _Streamer(asyncio.Protocol):
    """Answers each request with CHUNKS chunks, each its own write, CHUNK_INTERVAL_S apart."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = 0
        self._left = 0

    def data_received(self, data: bytes) -> None:
        # The head and the body of a request end with the body's last byte: all are REQUEST.
        if data.endswith(REQUEST[-20:]):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            self._left = CHUNKS
            self._next()

    def _next(self) -> None:
        if self._transport.is_closing():
            return
        if self._left:
            self._left -= 1
            self._transport.write(b"%x\r\n%b\r\n" % (len(_CHUNK), _CHUNK))
            asyncio.get_running_loop().call_later(CHUNK_INTERVAL_S, self._next)
        else:
            self._transport.write(b"0\r\n\r\n")


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Streamer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    main()
