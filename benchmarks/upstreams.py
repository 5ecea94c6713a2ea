"""The two fixed upstreams that every gateway is measured against."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import nginx
from benchmarks.bodies import ANSWER
from benchmarks.processes import Session, free_port, load_cores, start, wait_for_port

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Upstream:
    """A running upstream."""

    url: str
    """Base URL, with its `/v1`."""
    port: int
    session: Session


@contextlib.contextmanager
def whole_upstream(folder: Path) -> Iterator[Upstream]:
    """nginx that answers every call with the same 0.5 KB completion."""
    port = free_port()
    answer = ANSWER.decode()
    server = f"""
    server {{
      listen 127.0.0.1:{port} backlog=2048;
      default_type application/json;
      location / {{ return 200 '{answer}'; }}
    }}"""
    argv = nginx.command(folder, server)
    with _running(argv, folder, port) as upstream:
        yield upstream


@contextlib.contextmanager
def stream_upstream(folder: Path, interval_ms: float = 5.0) -> Iterator[Upstream]:
    """A raw uvloop server that writes each event by itself."""
    port = free_port()
    argv = [
        *("env", f"PYTHONPATH={REPO}", sys.executable, "-m", "benchmarks.stream_upstream"),
        *("--port", str(port), "--interval-ms", str(interval_ms)),
    ]
    with _running(argv, folder, port) as upstream:
        yield upstream


@contextlib.contextmanager
def _running(argv: list[str], folder: Path, port: int) -> Iterator[Upstream]:
    session = start(argv, cores=load_cores(), folder=folder)
    try:
        wait_for_port(session, port)
        yield Upstream(f"http://127.0.0.1:{port}/v1", port, session)
    finally:
        session.stop()
