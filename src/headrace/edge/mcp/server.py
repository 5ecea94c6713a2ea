"""Serves the port of tools until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from headrace.config.loading import Loaded, with_found
from headrace.config.schema import Config, Mcp
from headrace.config.watch import Watcher
from headrace.data.databases import database_url
from headrace.data.journal import Journal
from headrace.data.registry.opening import open_registry
from headrace.edge.audit_keeping import AuditKeeping
from headrace.edge.child_server import ChildServer
from headrace.edge.client_address import TrustedProxies
from headrace.edge.mcp.door import Door
from headrace.edge.mcp.tools import SizeLimits, Toolbox
from headrace.edge.registry_watch import RegistryWatch
from headrace.errors import Setup
from headrace.gateway.assembly import own_keys
from headrace.gateway.identity import Identity
from headrace.gateway.telemetry.snapshot import Counted, Moment, Snapshot
from headrace.gateway.telemetry.tool_meters import ToolMeters
from headrace.gateway.token_assembly import KeyStore, tokens
from headrace.gateway.tool_access import ToolRights
from headrace.gateway.tool_limits import ToolLimits
from headrace.gateway.tool_metering import ToolMetering
from headrace.gateway.written_units import written_units
from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits, Violation
from headrace.platform.http.server import HttpServer
from headrace.platform.logs import JsonLines
from headrace.platform.secrets import Scrubber, Secret, Secrets
from headrace.services.tool_server import ToolServerLink

log = logging.getLogger("headrace.mcp")

CONNECTIONS = 1_000
HEAL_S = 1.0
"""Between two looks whether the journal's file is still there."""
ENVELOPE_BYTES = 64 * 1024
"""Of a request, around a call's arguments."""
_JSON = b"content-type: application/json\r\n"


class ToolPort:
    """One configuration's endpoint of tools; keys and rights follow the file as it changes."""

    def __init__(
        self,
        loaded: Loaded,
        generated_key: Secret | None,
        environ: Mapping[str, str],
        logs: JsonLines,
        *,
        local_available: bool,
    ) -> None:
        """Raises Setup."""
        mcp = loaded.config.mcp
        assert mcp is not None
        self._mcp: Mcp = mcp
        self._loaded = loaded
        self._generated_key = generated_key
        self._environ = environ
        self._logs = logs
        self._local_available = local_available
        self._secrets = Secrets(environ, loaded.folder)
        self._issuer_keys = KeyStore(environ)
        folder = loaded.store_folder
        url = database_url(loaded.config.store, self._secrets, time.monotonic())
        units = written_units(loaded.config)
        self._registry = RegistryWatch(open_registry(folder, url), _nothing, units)
        self._registry.load()
        try:
            self._audit = AuditKeeping(folder)
            journal = Journal(folder)
        except OSError as error:
            raise Setup(
                f"The journal or audit log cannot be written in {folder}: {error.strerror}.",
                "Make room there, or set `store.folder` to where Headrace may write.",
            ) from error
        self._meters = ToolMeters()
        self._metering = ToolMetering(journal, self._meters)
        self._limits = ToolLimits(mcp.limits)
        self._links = self._made_links()
        self._toolbox = Toolbox(
            self._links,
            ToolRights(mcp.access),
            self._limits,
            SizeLimits(mcp.argument_limit_bytes, mcp.answer_limit_bytes),
            self._metering,
            self._audit.log,
        )
        self._manager = StreamableHTTPSessionManager(
            self._toolbox.server(),
            json_response=True,
            stateless=True,
            max_request_body_size=mcp.argument_limit_bytes + ENVELOPE_BYTES,
        )
        identity, proxies = self._identity(loaded.config)
        self._door = Door(self._manager.handle_request, identity, proxies, self._audit)

    async def serve(
        self, listener: socket.socket, on_ready: Callable[[Callable[[], None]], None]
    ) -> None:
        """`on_ready` gets what stops it. Raises OSError, ssl.SSLError."""
        server = ChildServer(self._uvicorn())
        server.on_started = lambda: on_ready(server.stop)
        counts = await self._tell_counts()
        tasks = [asyncio.create_task(link.run(), name=link.name) for link in self._links.values()]
        tasks.append(asyncio.create_task(self._registry.run(), name="registry"))
        tasks.append(asyncio.create_task(self._audit.run(), name="audit"))
        tasks.append(asyncio.create_task(self._heal(), name="journal"))
        if self._loaded.source is not None:
            watcher = Watcher(self._loaded, self._take_up, _keep)
            tasks.append(asyncio.create_task(watcher.run(), name="config watcher"))
        try:
            async with self._manager.run():
                await server.serve(sockets=[listener])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if counts is not None:
                counts.abort()
            self._socket.unlink(missing_ok=True)
            self._registry.close()
            await self._issuer_keys.close()
            self._audit.close()
            self._metering.close()

    async def _heal(self) -> None:
        while True:
            await asyncio.sleep(HEAL_S)
            self._metering.heal()

    @property
    def _socket(self) -> Any:
        return self._loaded.store_folder / f"tools-{os.getpid()}.sock"

    def _uvicorn(self) -> uvicorn.Config:
        tls, folder = self._mcp.tls, self._loaded.folder
        config = uvicorn.Config(
            self._door.asgi,
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            http="httptools",
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=5,
            ssl_certfile=None if tls is None else str(folder / tls.certificate),
            ssl_keyfile=None if tls is None else str(folder / tls.key),
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        return config

    def _made_links(self) -> dict[str, ToolServerLink]:
        now, made = time.monotonic(), {}
        for name, server in self._mcp.servers.items():
            credential = getattr(server, "credential", None)
            references = [*getattr(server, "env", {}).values(), *filter(None, [credential])]
            texts = {ref: self._secrets.get(ref, now).reveal() for ref in references}
            made[name] = ToolServerLink(
                name, server, texts, self._loaded.folder, self._mcp.answer_limit_bytes
            )
        return made

    def _identity(self, config: Config) -> tuple[Identity, TrustedProxies | None]:
        """Who is let in under a configuration. Raises Setup."""
        keyring = self._registry.keyring
        own = own_keys(config, self._secrets, self._generated_key)
        keyring.write(written_units(config), own)
        generated = () if self._generated_key is None else (self._generated_key,)
        self._logs.scrubber = Scrubber((*self._secrets.known(), *generated))
        self._audit.log.scrub = self._logs.scrubber.scrub
        ranges, header = config.server.trusted_proxies, config.server.client_address_header
        proxies = TrustedProxies(ranges, header) if ranges else None
        return Identity(keyring, tokens=tokens(config.oidc, self._issuer_keys, keyring)), proxies

    async def _take_up(self, loaded: Loaded) -> None:
        """Another file is in force. Raises Setup."""
        loaded = with_found(loaded, self._environ, self._local_available)
        self._secrets.reload()
        self._door.identity, self._door.proxies = self._identity(loaded.config)
        mcp = loaded.config.mcp
        self._toolbox.rights = ToolRights([] if mcp is None else mcp.access)
        if mcp is not None:
            self._limits.use(mcp.limits)

    async def _tell_counts(self) -> HttpServer | None:
        """Serves what was counted to the metrics' page, by a socket in the store's folder."""
        server = HttpServer(self._counts, _refuse, ServerLimits(max_connections=16))
        try:
            self._socket.unlink(missing_ok=True)
            await server.listen_unix(self._socket)
        except OSError as error:
            log.warning("no socket for metrics", extra={"detail": str(error)})
            return None
        return server

    async def _counts(self, exchange: Exchange) -> None:
        counted = Counted(tools=self._meters.uses())
        told = Snapshot(f"tools-{os.getpid()}", counted, Moment())
        exchange.respond(200, _JSON, msgspec.json.encode(told))


def _nothing() -> None:
    """Limits of keys are for calls of models: tools have their own."""


def _refuse(violation: Violation, target: bytes, what: str) -> tuple[bytes, bytes]:
    return _JSON, msgspec.json.encode({"error": what})


async def _keep(fault: Setup) -> None:
    log.error("configuration not taken up, the old one goes on", extra={"detail": str(fault)})
