"""A gateway worker as a process of its own, and the order its parent gives it.

The order goes by stdin: it holds keys, and every user of the machine may read a command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from headrace.config.loading import Loaded, discovered, load, with_found
from headrace.config.schema import Server
from headrace.edge.worker import Worker
from headrace.errors import Setup
from headrace.platform.logs import JsonLines, log_to_stderr
from headrace.platform.secrets import Secret
from headrace.services.local.process import Endpoint

READY = b"ready\n"


class WorkerOrder(Struct, frozen=True):
    """What a worker is to serve. `server` is with the command line's options applied."""

    config: str | None
    server: Server
    endpoints: dict[str, Endpoint]
    generated_key: str | None
    local_available: bool
    log_level: str

    def __repr__(self) -> str:
        return f"WorkerOrder({self.config})"


encode_order = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(WorkerOrder).decode


def loaded_by(order: WorkerOrder) -> Loaded:
    """Raises Setup."""
    found = (
        discovered(os.environ, order.local_available)
        if order.config is None
        else with_found(load(Path(order.config)), os.environ, order.local_available)
    )
    return with_server(found, order.server)


def with_server(loaded: Loaded, server: Server) -> Loaded:
    """The same with other settings of the port."""
    config = msgspec.structs.replace(loaded.config, server=server)
    return replace(loaded, config=config)


def main() -> None:
    order = decode_order(sys.stdin.buffer.readline())
    logs = log_to_stderr(order.log_level)
    try:
        uvloop.run(_serve(order, logs))
    except Setup as fault:
        print(fault, file=sys.stderr)
        sys.exit(3)


async def _serve(order: WorkerOrder, logs: JsonLines) -> None:
    key = None if order.generated_key is None else Secret(order.generated_key)
    worker = Worker(loaded_by(order), order.endpoints, key, os.environ, logs, order.local_available)
    worker.handle_signals()
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[int] = loop.create_future()
    ready.add_done_callback(lambda _: os.write(1, READY))
    # The parent's end of the pipe closes however it dies: a worker never outlives it.
    threading.Thread(target=_stop_with_parent, args=(loop, worker), daemon=True).start()
    await worker.serve(reuse_port=True, ready=ready)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
    # Not by `sys.stdin`: its lock, held in this thread, would be in the way when Python ends.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended before
        loop.call_soon_threadsafe(worker.stop)


if __name__ == "__main__":
    main()
