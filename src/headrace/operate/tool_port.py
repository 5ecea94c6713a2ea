"""The port of tools beside the gateway."""

from __future__ import annotations

import logging

from headrace.config.schema import Mcp
from headrace.operate.mcp_process import ToolOrder, encode_order
from headrace.operate.port_process import PortProcess, url_of
from headrace.operate.worker_process import WorkerOrder

STOP_GRACE_S = 10.0


class ToolPortProcess:
    """Serves tools in a process of its own until `stop`."""

    def __init__(self, mcp: Mcp, order: WorkerOrder) -> None:
        self._mcp = mcp
        self._order = order
        self._process = PortProcess(
            "headrace.operate.mcp_process",
            "the port for tools",
            logging.getLogger("headrace.mcp"),
            STOP_GRACE_S,
        )

    async def start(self) -> str:
        """Returns the endpoint's URL when it serves. Raises Setup."""
        port = await self._process.start(self._order_at)
        return url_of(self._mcp.host, port, tls=self._mcp.tls is not None) + "/mcp"

    def _order_at(self, port: int | None) -> bytes:
        return encode_order(ToolOrder(self._order, self._mcp.port if port is None else port))

    async def stop(self) -> None:
        """Idempotent."""
        await self._process.stop()
