"""What translation between dialects adds to a call and to a stream's event, in one run: `python -m
benchmarks.translation`.

One gateway on a core of its own before the scripted upstream, in turns: each client's calls pass
through to a backend of its own dialect, and are translated for those of others. CPU is the kernel's
accounting of the gateway's worker; the least of all rounds counts, since other work only adds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.processes import GATEWAY_CORE, Session, free_port, load_cores, start, wait_for_port
from benchmarks.upstreams import REPO

app = App(name="python -m benchmarks.translation", help_format="markdown")

CONNECTIONS = 16
EVENTS = 200
"""Content events of a stream."""
STREAM_BYTES = 16 * 1024 * 1024
"""More than any stream here has."""
_TEXT = ("The water of the upper river is led along the hill to the wheel. " * 14)[:850]
_KEPT = "responses, kept"
"""As clients ask for them that do not say `store: false`."""
_PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    _KEPT: "/v1/responses",
}
_OWN = {"chat": "openai", "messages": "anthropic", "responses": "responding", _KEPT: "responding"}
"""The backend to which each client's calls pass through."""
_OTHERS = {
    "chat": ("anthropic", "google", "bedrock", "cohere"),
    "messages": ("openai", "google", "bedrock", "cohere"),
    "responses": ("openai", "anthropic", "google", "bedrock", "cohere"),
    _KEPT: ("openai",),
}
CONFIG = """
keys: {{bench: {{secret: env:KEY}}}}
backends:
  openai: {{provider: openai, url: "{url}/v1"}}
  responding: {{provider: openai, url: "{url}/v1", responses: true}}
  anthropic: {{provider: anthropic, url: "{url}", credential: env:KEY}}
  google: {{provider: google, url: "{url}/v1beta", credential: env:KEY}}
  bedrock: {{provider: bedrock, url: "{url}", aws_region: eu-central-1, credential: env:KEY}}
  cohere: {{provider: cohere, url: "{url}", credential: env:KEY}}
models:
  openai: {{pools: [[openai]]}}
  responding: {{pools: [[responding]]}}
  anthropic: {{pools: [[anthropic]]}}
  google: {{pools: [[google]]}}
  bedrock: {{pools: [[bedrock]]}}
  cohere: {{pools: [[cohere]]}}
"""
KEY = "bench-key-0123456789abcdef"


class Way(NamedTuple):
    """A client's dialect and the backend that answers."""

    client: str
    backend: str
    stream: bool

    @property
    def is_translated(self) -> bool:
        return self.backend != _OWN[self.client]

    def request(self) -> bytes:
        """A request of about 1 KB, head and body."""
        body: dict[str, object] = {"model": self.backend, "stream": self.stream}
        user = [{"role": "user", "content": _TEXT}]
        if self.client in ("responses", _KEPT):
            kept = self.client == _KEPT
            body |= {"instructions": "Be short.", "input": user, "store": kept}
        elif self.client == "messages":
            body |= {"system": "Be short.", "messages": user, "max_tokens": 1000}
        else:
            body |= {"messages": [{"role": "system", "content": "Be short."}, *user]}
        if not self.stream:
            del body["stream"]
        data = json.dumps(body).encode()
        head = (
            f"POST {_PATHS[self.client]} HTTP/1.1\r\nhost: gateway\r\n"
            f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data


WAYS = [
    Way(client, backend, stream)
    for stream in (False, True)
    for client in _PATHS
    for backend in (_OWN[client], *_OTHERS[client])
]


async def _calls(port: int, way: Way, count: int) -> None:
    """So many calls, each read to its end. Raises RuntimeError for one that is not answered."""
    request, left = way.request(), iter(range(count))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=STREAM_BYTES)
        for _ in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{way}: {head.decode()} {await reader.read(500)!r}")
            if b"chunked" in head:
                body = await reader.readuntil(b"\r\n0\r\n\r\n")
                if b'"error"' in body[-300:]:
                    raise RuntimeError(f"{way}: {body[-300:]!r}")
            else:
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(size)
        writer.close()

    await asyncio.gather(*[one_connection() for _ in range(CONNECTIONS)])


def _measured(port: int, session: Session, way: Way, count: int) -> float:
    """Microseconds of the busiest process's CPU for each call, or each event of a stream."""
    before = _cpu_ns(session)
    asyncio.run(_calls(port, way, count))
    used_ns = max(ns - before.get(pid, 0) for pid, ns in _cpu_ns(session).items())
    return used_ns / count / (EVENTS if way.stream else 1) / 1e3


def _cpu_ns(session: Session) -> dict[int, int]:
    """By process, of all its threads: finer than the ticks of /proc/<pid>/stat."""
    return {
        pid: sum(
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{pid}/task").iterdir()
        )
        for pid in session.pids()
    }


def _started(folder: Path, sessions: list[Session]) -> int:
    """The gateway's port. What runs is added to the sessions; the gateway is the last."""
    upstream_port, port = free_port(), free_port()
    path = {"PYTHONPATH": f"{REPO / 'src'}:{REPO}"}
    script = [sys.executable, "-m", "headrace_upstream"]
    script += ["--port", str(upstream_port), "--tokens", str(EVENTS), "--seen", "1"]
    sessions.append(start(script, cores=load_cores(), folder=folder, env=path))
    wait_for_port(sessions[-1], upstream_port)
    text = CONFIG.format(url=f"http://127.0.0.1:{upstream_port}")
    (folder / "headrace.yaml").write_text(text)
    serve = [sys.executable, "-m", "headrace", "serve", "--port", str(port)]
    sessions.append(start(serve, cores={GATEWAY_CORE}, folder=folder, env={**path, "KEY": KEY}))
    wait_for_port(sessions[-1], port, patience_s=60.0)
    return port


@app.default
def translation(*, rounds: int = 3, calls: int = 1500, streams: int = 32) -> int:
    """The CPU of each whole call of 1 KB and of each event of a stream, passed through and
    translated.

    Args:
        rounds: Turns of each way.
        calls: Whole calls in a turn.
        streams: Streams in a turn, of 200 content events each.
    """
    os.sched_setaffinity(0, load_cores())
    least: dict[Way, float] = {}
    sessions: list[Session] = []
    with tempfile.TemporaryDirectory() as name:
        try:
            port = _started(Path(name), sessions)
            for turn in range(rounds + 1):
                for way in WAYS:
                    count = streams if way.stream else calls
                    used = _measured(port, sessions[-1], way, count if turn else CONNECTIONS)
                    if turn:  # the first warms up
                        least[way] = min(used, least.get(way, used))
        finally:
            for session in reversed(sessions):
                session.stop()
    _show(least)
    return 0


def _show(least: Mapping[Way, float]) -> None:
    began = time.strftime("%Y-%m-%d")
    table = Table("Client", "Backend", "whole call", "added", "event", "added", title=began)
    for way in WAYS[: len(WAYS) // 2]:
        cells = []
        for one in (way, way._replace(stream=True)):
            own = one._replace(backend=_OWN[way.client])
            added = f"{least[one] - least[own]:.1f} us" if way.is_translated else "-"
            cells += [f"{least[one]:.1f} us", added]
        table.add_row(way.client, way.backend, *cells)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(app())
