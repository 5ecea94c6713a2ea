"""The port of tools as a process of its own, and the order its parent gives it, by stdin.

What serves it is imported here alone, in the process that needs it.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

import msgspec
from msgspec import Struct

from headrace.errors import Setup
from headrace.operate.port_process import listener, serves
from headrace.operate.worker_process import WorkerOrder, loaded_by
from headrace.platform.logs import JsonLines, log_to_stderr
from headrace.platform.secrets import Secret


class ToolOrder(Struct, frozen=True):
    """What the process is to serve."""

    worker: WorkerOrder
    """As a worker is told: the configuration, and what goes with it."""
    port: int
    """To listen on. The configuration's, or the one that it had when it was there before."""


encode_order = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(ToolOrder).decode


def main() -> None:
    order = decode_order(sys.stdin.buffer.readline())
    logs = log_to_stderr(order.worker.log_level)
    for library in ("mcp", "httpx2"):  # they tell of each request
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        _serve(order, logs)
    except Setup as fault:
        print(fault, file=sys.stderr)
        sys.exit(3)


def _serve(told: ToolOrder, logs: JsonLines) -> None:
    import ssl

    import uvloop

    from headrace.services.tool_server import require_sdk

    require_sdk()
    from headrace.edge.mcp.server import ToolPort

    order = told.worker
    loaded = loaded_by(order)
    key = None if order.generated_key is None else Secret(order.generated_key)
    mcp = loaded.config.mcp
    if mcp is None:
        raise Setup("There is no `mcp` in the configuration any more.")
    on = listener(mcp.host, told.port, "The port for tools", "mcp.port")

    async def serve() -> None:
        available = order.local_available
        port = ToolPort(loaded, key, os.environ, logs, local_available=available)
        await port.serve(on, partial(serves, on))

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


if __name__ == "__main__":
    main()
