"""The port of tools as a process of its own. Its order is a worker's, and comes as a worker's does.

What serves it is imported here alone, in the process that needs it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

from headrace.errors import Setup
from headrace.operate.child_process import stop_with_parent
from headrace.operate.worker_process import WorkerOrder, decode_order, loaded_by
from headrace.platform.logs import JsonLines, log_to_stderr
from headrace.platform.secrets import Secret

READY = b"ready "


def main() -> None:
    order = decode_order(sys.stdin.buffer.readline())
    logs = log_to_stderr(order.log_level)
    for library in ("mcp", "httpx2"):  # they tell of each request
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        _serve(order, logs)
    except Setup as fault:
        print(fault, file=sys.stderr)
        sys.exit(3)


def _serve(order: WorkerOrder, logs: JsonLines) -> None:
    import ssl

    import uvloop

    from headrace.services.tool_server import require_sdk

    require_sdk()
    from headrace.edge.mcp.server import ToolPort

    loaded = loaded_by(order)
    key = None if order.generated_key is None else Secret(order.generated_key)
    mcp = loaded.config.mcp
    if mcp is None:
        raise Setup("There is no `mcp` in the configuration any more.")
    listener = _listener(mcp.host, mcp.port)

    def on_ready(stop: Callable[[], None]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop())
        threading.Thread(target=stop_with_parent, args=(stop,), daemon=True).start()
        os.write(1, READY + str(listener.getsockname()[1]).encode() + b"\n")

    async def serve() -> None:
        available = order.local_available
        port = ToolPort(loaded, key, os.environ, logs, local_available=available)
        await port.serve(listener, on_ready)

    try:
        uvloop.run(serve())
    except ssl.SSLError as error:
        raise Setup(
            f"The certificate or key of mcp.tls cannot be used: {error}.",
            "Give PEM files: the certificate chain, and its private key without a passphrase.",
        ) from error
    except OSError as error:
        raise Setup(
            f"The port for tools cannot be served: {error}.",
            "See that the store's folder can be written and that the files of mcp.tls are there.",
        ) from error


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise Setup(
            f"The port for tools cannot listen on {host}:{port}: {error.strerror}.",
            "Choose another `mcp.port` in headrace.yaml, or stop what uses it.",
        ) from error
    return listener


if __name__ == "__main__":
    main()
