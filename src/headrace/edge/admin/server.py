"""Serves the admin API until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import uvicorn
from msgspec import Struct
from starlette.routing import BaseRoute

from headrace.data.audit import AuditLog
from headrace.data.registry.records import UnitRecord
from headrace.data.registry.rows import Rows
from headrace.edge.admin.app import AdminApp
from headrace.edge.admin.entrance import Entrance
from headrace.edge.admin.route import Parts
from headrace.edge.admin.table import routes
from headrace.edge.child_server import ChildServer
from headrace.edge.metrics import MetricsPage
from headrace.gateway.administration.admin_keys import AdminKeys
from headrace.gateway.administration.admin_tokens import AdminTokens
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.gate import Gate
from headrace.gateway.administration.keys import Keys
from headrace.gateway.administration.units import Units
from headrace.platform.secrets import Secret

log = logging.getLogger("headrace.admin")

BEAT_S = 5.0
CONNECTIONS = 200


class AdminSettings(Struct, frozen=True):
    """What the port needs. `certificate` and `private_key` are paths."""

    hosts: list[str]
    folder: Path
    certificate: str | None = None
    private_key: str | None = None
    counts_apart: bool = False
    """Several workers without Redis: keys can't have limits."""
    ledger_url: Secret | None = None
    written: tuple[UnitRecord, ...] = ()
    """The configuration's tenants, teams and users."""
    tokens: AdminTokens | None = None


class Pages(Protocol):
    """What is served beside the API, for people."""

    def routes(self, entrance: Entrance) -> Sequence[BaseRoute]: ...

    def stop(self) -> None:
        """Ends what would go on for ever. For the loop's thread."""


def admin_entrance(
    rows: Rows, audit: AuditLog, key: Secret | None, settings: AdminSettings
) -> tuple[Entrance, Gate]:
    desk = Desk(rows, audit, counts_apart=settings.counts_apart)
    units = Units(desk, settings.written)
    parts = Parts(
        desk,
        Keys(desk, units),
        units,
        AdminKeys(desk),
        settings.folder,
        MetricsPage(settings.folder),
        settings.ledger_url,
    )
    gate = Gate(rows, audit, key)
    return Entrance(gate, parts, routes(), settings.hosts, settings.tokens), gate


async def serve_admin(
    listener: socket.socket,
    rows: Rows,
    key: Secret | None,
    settings: AdminSettings,
    on_ready: Callable[[Callable[[], None]], None],
    pages: Pages | None = None,
) -> None:
    """`key` is the configuration's. `on_ready` gets what stops it, from any thread. Raises OSError,
    ssl.SSLError."""
    audit = AuditLog(settings.folder)
    entrance, gate = admin_entrance(rows, audit, key, settings)
    app = AdminApp(entrance, () if pages is None else pages.routes(entrance))
    config = uvicorn.Config(
        app.asgi,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        http="h11",
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32 * 1024,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    server = ChildServer(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.stop()
        if pages is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(pages.stop)

    server.on_started = lambda: on_ready(stop)
    beating = asyncio.create_task(_beat(audit, gate), name="audit")
    try:
        await server.serve(sockets=[listener])
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        if settings.tokens is not None:
            await settings.tokens.close()
        gate.settle()
        audit.close()
        rows.close()


async def _beat(audit: AuditLog, gate: Gate) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        try:
            await asyncio.to_thread(gate.settle)
            await asyncio.to_thread(audit.settle)
        except OSError as error:
            log.error("the audit log cannot be written", extra={"cause": str(error)})
