"""The command: `python -m headrace_upstream`, also installed as `headrace-upstream`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace_upstream.behaviour import Behaviour, behaviour_from
from headrace_upstream.journal import Journal
from headrace_upstream.server import listen
from headrace_upstream.upstream import Upstream

_EXAMPLES = """\
examples:
  A provider on any free port, answering with 20 tokens:
    headrace-upstream

  Two regions and a slow third, tell-tale tags for rules:
    headrace-upstream --port east=9001 --port west=9002 --ttft-ms 300 --gap-ms 20

  Every call fails with a 429 that says when to come back:
    headrace-upstream --script '{"fault": {"kind": "rate_limited", "retry_after": 20}}'

  Every call is journaled before it is answered, and survives a power cut:
    headrace-upstream --journal calls.jsonl --fsync

  One call with its own script, whatever gateway stands between:
    curl -s localhost:9001/v1/chat/completions -d '{"model": "gpt-4o", "messages":
      [{"role": "user", "content": "Hi [[script {\\"text\\": \\"Hello!\\"}]]"}]}'

  The next two calls to gpt-4o fail, for the running upstream:
    curl -s localhost:9001/_script -d '{"rules":
      [{"behaviour": {"status": 503}, "match": {"model": "gpt-4o"}, "times": 2}]}'

  What did it see, and how did it end?
    curl -s localhost:9001/_seen; curl -s localhost:9001/_stats

docs/scripted-upstream.md has every behaviour and every fault.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        behaviour = _behaviour(options)
        sockets = [(tag, _bound(options, port)) for tag, port in map(_port, options.port or ["0"])]
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        print(f"headrace-upstream: {error}", file=sys.stderr)
        return 2
    _announce(options, sockets)
    children = [_fork(options, behaviour, sockets, n) for n in range(1, options.workers)]
    try:
        _serve(options, behaviour, sockets, 0)
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
        for child in children:
            os.waitpid(child, 0)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace-upstream",
        description="A scripted AI provider on a real socket. It speaks OpenAI, Azure OpenAI and "
        "Anthropic, answers as told, and fails as told.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--port",
        action="append",
        metavar="[TAG=]PORT",
        help="may be given more than once; 0 takes a free one (default: 0)",
    )
    add("--tokens", type=int, help="length of an answer (default: 20)")
    add("--text", help="what every answer says")
    add("--ttft-ms", type=float, help="wait before the first token (default: 0)")
    add("--gap-ms", type=float, help="wait between tokens (default: 0)")
    add("--script", metavar="JSON", help="any other fields of the default behaviour")
    add("--journal", type=Path, metavar="FILE", help="append a JSON line per call seen and ended")
    add("--fsync", action="store_true", help="sync the journal before each answer")
    add("--seen", type=int, default=10_000, help="calls kept for GET /_seen (default: %(default)s)")
    add("--workers", type=int, default=1, help="processes on the same ports; each has its own "
        "scripts and counts, so use it for load only (default: %(default)s)")  # fmt: skip
    add("--cpu", type=int, help="pin to this CPU; worker n to CPU + n")
    add("--tls-cert", type=Path, metavar="PEM", help="speak HTTPS with this certificate")
    add("--tls-key", type=Path, metavar="PEM", help="its private key")
    add("--json", action="store_true", help="print the ready line as JSON")
    return parser


def _behaviour(options: argparse.Namespace) -> Behaviour:
    script: dict[str, Any] = msgspec.json.decode(options.script or "{}", type=dict[str, Any])
    for name in ("tokens", "text", "ttft_ms", "gap_ms"):
        if getattr(options, name) is not None:
            script[name] = getattr(options, name)
    return behaviour_from(script, Behaviour())


def _port(text: str) -> tuple[str, int]:
    tag, _, port = text.rpartition("=")
    if not port.isdigit():
        raise ValueError(f"--port takes PORT or TAG=PORT, not {text!r}")
    return tag, int(port)


def _bound(options: argparse.Namespace, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((options.host, port))
        sock.listen(4096)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {options.host}:{port}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _announce(options: argparse.Namespace, sockets: list[tuple[str, socket.socket]]) -> None:
    scheme = "https" if options.tls_cert else "http"
    host = f"[{options.host}]" if ":" in options.host else options.host
    ports = [(tag, sock.getsockname()[1]) for tag, sock in sockets]
    if options.json:
        listening = [
            {"tag": tag, "port": port, "url": f"{scheme}://{host}:{port}"} for tag, port in ports
        ]
        ready = {**listening[0], "listening": listening}
        print(msgspec.json.encode(ready).decode(), flush=True)
        return
    for tag, port in ports:
        suffix = f" ({tag})" if tag else ""
        print(f"listening on {scheme}://{host}:{port}{suffix}", flush=True)


def _fork(
    options: argparse.Namespace,
    behaviour: Behaviour,
    sockets: list[tuple[str, socket.socket]],
    worker: int,
) -> int:
    child = os.fork()
    if child:
        return child
    try:
        _serve(options, behaviour, sockets, worker)
    finally:
        os._exit(0)


def _serve(
    options: argparse.Namespace,
    behaviour: Behaviour,
    sockets: list[tuple[str, socket.socket]],
    worker: int,
) -> None:
    if options.cpu is not None:
        os.sched_setaffinity(0, {(options.cpu + worker) % (os.cpu_count() or 1)})
    # Calls hold no cycles: what starts here lives on, and the young are collected less often.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    journal = Journal(options.journal, options.fsync) if options.journal else None
    upstream = Upstream(behaviour, journal, options.seen, first_seq=(worker << 40) + 1)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(options, upstream, sockets))
    if journal is not None:
        journal.close()


async def _until_stopped(
    options: argparse.Namespace, upstream: Upstream, sockets: list[tuple[str, socket.socket]]
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tls = None
    if options.tls_cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    servers = [await listen(upstream, "", 0, tag, sock=sock, ssl=tls) for tag, sock in sockets]
    await stopped.wait()
    for server in servers:
        server.close()
    upstream.drop_all()
    await upstream.wait_for(lambda stats: stats.connections_open == 0)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
