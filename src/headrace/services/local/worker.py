"""The worker process: `python -m headrace.services.local.worker`, started by `process`.

Reads one line with its `WorkerOrder` from stdin, loads the model, serves it on loopback and says
on stdout how far it is. Ends when its parent is gone or closes stdin. A crash inside llama.cpp
ends this process alone.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from headrace.errors import Setup
from headrace.platform.http.messages import Origin
from headrace.services.local.protocol import (
    Event,
    Failed,
    Loading,
    Ready,
    WorkerOrder,
    decode_order,
    encode_line,
)
from headrace.services.local.serving import Api, serve

_READ_BYTES = 8 * 1024 * 1024
_READ_SHARE = 0.8
"""The part of loading that reading the file is taken for."""
_WATCH_S = 0.5


def main() -> None:
    # Who signals the whole group, as a terminal and systemd do, means the gateway: it may still
    # need this process for the calls that it lets finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    events = _private_stdout()
    order = decode_order(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, args=(order.parent_pid,), daemon=True).start()

    def say(event: Event) -> None:
        os.write(events, encode_line(event) + b"\n")

    try:
        _read_ahead(order, say)
        asyncio.run(_serve_chat(order, say) if order.kind == "chat" else _serve_vectors(order, say))
    except (Setup, OSError) as fault:
        hint = fault.hint if isinstance(fault, Setup) else None
        problem = (
            fault.problem if isinstance(fault, Setup) else f"cannot load {order.model}: {fault}"
        )
        say(Failed(order.model, problem, hint))
        # Not sys.exit: llama.cpp's threads may still hold its log and hang the interpreter's end.
        os._exit(1)


def _private_stdout() -> int:
    """A descriptor for events alone: whatever a library prints goes to stderr."""
    events = os.dup(1)
    os.dup2(2, 1)
    return events


def _end_with_parent(parent_pid: int) -> None:
    """Both signs are needed: a process forked from the parent may hold our stdin open, and under
    a debugger or another init the parent's id may stay."""
    while True:
        if os.getppid() != parent_pid:
            os._exit(0)
        if select.select([0], [], [], _WATCH_S)[0] and not os.read(0, 4096):
            os._exit(0)


def _read_ahead(order: WorkerOrder, say: Callable[[Event], None]) -> None:
    """Brings the weights into the page cache: most of a first load's time, with a fraction that
    llama.cpp's bindings do not tell."""
    path = Path(order.files["weights"])
    total = max(1, path.stat().st_size)
    done, told = 0, time.monotonic()
    say(Loading(order.model, 0.0))
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_READ_BYTES))
        while count := file.readinto(buffer):
            done += count
            if time.monotonic() - told > 0.1:
                told = time.monotonic()
                say(Loading(order.model, _READ_SHARE * done / total))
    say(Loading(order.model, _READ_SHARE))


async def _serve_chat(order: WorkerOrder, say: Callable[[Event], None]) -> None:
    from headrace.services.local.chat import ChatApi
    from headrace.services.local.llama import load

    llama = load(order, _threads(order))
    api = ChatApi(Origin.of(llama.listening_address), order.key)
    await _serve(order, say, api)


async def _serve_vectors(order: WorkerOrder, say: Callable[[Event], None]) -> None:
    from headrace.services.local.embedder import Embedder
    from headrace.services.local.embeddings import EmbeddingsApi

    embedder = Embedder(order.files["weights"], order.files["tokenizer"], _threads(order))
    await _serve(order, say, EmbeddingsApi(order.model, embedder, order.parallel))


async def _serve(order: WorkerOrder, say: Callable[[Event], None], api: Api) -> None:
    """For ever: `_end_with_parent` ends the process."""
    server = await serve(order.port, order.key, api)
    say(Ready(order.model))
    await asyncio.Event().wait()
    del server


def _threads(order: WorkerOrder) -> int:
    """Half of the cores: llama.cpp's threads wait for each other by spinning, so that one that has
    to share its core stalls all (measured on a busy machine of 2 cores: 20 times slower with 2
    threads, a quarter slower with 1 on an idle one)."""
    return order.threads or max(1, len(os.sched_getaffinity(0)) // 2)


if __name__ == "__main__":
    main()
