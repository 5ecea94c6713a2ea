"""One gateway worker: the port, the runtime of the current configuration, reload, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
import ssl
import time
from collections.abc import Mapping
from pathlib import Path

from headrace.config.loading import Loaded, with_found
from headrace.config.local_url import local_url
from headrace.config.schema import Config, Server
from headrace.config.watch import Watcher, needs_restart
from headrace.data.budget_file import BudgetFile
from headrace.data.databases import database_url
from headrace.data.journal import Journal
from headrace.data.registry.opening import open_registry
from headrace.edge.app import App
from headrace.edge.audit_keeping import AuditKeeping
from headrace.edge.backlog import Backlog
from headrace.edge.config_in_force import in_force
from headrace.edge.configured_runtime import ConfiguredRuntime
from headrace.edge.control import Control
from headrace.edge.kept_stores import close_stores, open_stores, share_answers
from headrace.edge.overload import Overload
from headrace.edge.registry_watch import RegistryWatch
from headrace.edge.shared_by_redis import SharedByRedis
from headrace.edge.unread_secrets import at_its_line
from headrace.edge.upkeep import Upkeep
from headrace.edge.worker_telemetry import WorkerTelemetry
from headrace.errors import Setup, cannot_listen
from headrace.gateway.answer_cache import MemoryAnswers
from headrace.gateway.assembly import assemble
from headrace.gateway.by_address import is_by_address, shared_address
from headrace.gateway.compiled_steps import compiled_steps
from headrace.gateway.fleet import BackendState, Fleet
from headrace.gateway.health import Transition
from headrace.gateway.limits.gate import Gate
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.token_counting import ExactCounter
from headrace.gateway.metering import Metering
from headrace.gateway.parts import Parts
from headrace.gateway.prices import PriceBook
from headrace.gateway.sharing import Sharing
from headrace.gateway.shedding import Shedder
from headrace.gateway.stories import Stories
from headrace.gateway.telemetry.snapshot import Snapshot
from headrace.gateway.token_assembly import KeyStore
from headrace.gateway.unpriced_budgets import unpriced_budgets, unpriced_in_registry
from headrace.gateway.written_units import written_units
from headrace.platform.http.certificates import server_context
from headrace.platform.http.client import HttpTransport
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.proxy import ProxyPlan
from headrace.platform.http.server import HttpServer
from headrace.platform.logs import JsonLines
from headrace.platform.pressure import Memory, PressureGauge
from headrace.platform.secrets import REREAD_S, Scrubber, Secret, Secrets
from headrace.services.local.process import Endpoint

log = logging.getLogger("headrace.worker")

RESTORE_S = 5.0
"""For so long the first call may wait for answers that were kept before; the rest comes beside."""
CALLS_AT_ONCE = 10_000
"""Calls that one worker has in work at most; each costs some 20 kB."""


class Worker:
    """Serves one configuration after another until it is told to stop."""

    def __init__(
        self,
        loaded: Loaded,
        endpoints: Mapping[str, Endpoint],
        generated_key: Secret | None,
        environ: Mapping[str, str],
        logs: JsonLines | None,
        local_available: bool = False,
    ) -> None:
        """`local_available`: whether a reload may find embedded models. Raises Setup."""
        self._loaded = loaded
        self._config = loaded.config
        """In force: that of the last good reload."""
        self._endpoints = endpoints
        self._generated_key = generated_key
        self._logs = logs
        self._environ = environ
        self._local_available = local_available
        self._secrets = Secrets(environ, loaded.folder)
        self._journal, self._audit = _kept_in(loaded.store_folder)
        resilience = loaded.config.resilience
        prices, steps = PriceBook.shipped(), compiled_steps(environ)
        wire = HttpTransport(proxy=ProxyPlan.from_environment(environ))
        self._parts = Parts(
            fleet=Fleet(random.Random(), changed=_tell_change),
            metering=Metering(self._journal, prices, steps),
            prices=prices,
            wire=wire,
            dial=wire.open,
            sharing=Sharing(resilience.idempotency, resilience.coalescing),
            shedder=Shedder(resilience.shedding, CALLS_AT_ONCE, random.Random()),
            answers=MemoryAnswers(resilience.kept_answers),
            stories=Stories(),
            store=loaded.store_folder,
            counters=MemoryCounters(),
            steps=steps,
            prompts=ExactCounter() if loaded.config.counting.tokens == "exact" else None,
        )
        redis = loaded.config.redis
        self._shared = (
            None
            if redis is None
            else SharedByRedis(
                redis, resilience.kept_answers, loaded.folder, self._secrets, self._parts.fleet
            )
        )
        if self._shared is not None:
            self._parts.counters = self._shared.counters
            self._parts.shelf = self._shared.answers
            self._parts.feedback = self._shared.feedback
        else:
            self._parts.counters = MemoryCounters(_budgets_in(loaded.store_folder))
        store, now = loaded.config.store, time.monotonic()
        open_stores(self._parts, loaded.store_folder, store, self._secrets, now)
        url = database_url(loaded.config.store, self._secrets, time.monotonic())
        if resilience.kept_answers.shared_by == "postgres" and url is not None:
            share_answers(self._parts, url)
        self._registry = RegistryWatch(
            open_registry(loaded.store_folder, url),
            self._kind_came,
            written_units(loaded.config),
        )
        self._registry.load()
        self._issuer_keys = KeyStore(environ)
        self._untrusted: str | None = None
        """Who speaks for others and is not trusted, in words."""
        self._telemetry = WorkerTelemetry(loaded.config, self._parts, self._secrets, self._scrub)
        backlog = Backlog(loaded.store_folder, loaded.config.store, self._parts.metering)
        self._upkeep = Upkeep(self._parts, self._journal, backlog, self._telemetry, self._gate)
        self._gauge = PressureGauge(self._upkeep.beat, Memory(), wait_s=wire.turns.wait_s)
        self._control = Control(
            self._parts, loaded.store_folder, self._snapshot, self._telemetry.meters,
            lambda: in_force(self._loaded, self._config, self._local_available),
        )  # fmt: skip
        self._app = App(self._runtime(loaded.config), self._audit)
        self._stopping = asyncio.Event()
        self._watcher: Watcher | None = None

    async def serve(self, *, reuse_port: bool = False, ready: asyncio.Future[int]) -> None:
        """Serves until `stop`; sets `ready` to the port. Raises Setup if it cannot listen."""
        if self._shared is not None:
            await self._shared.start()
        if self._parts.cache is not None:
            await self._parts.cache.restored(RESTORE_S)
        server_config = self._loaded.config.server
        server = HttpServer(self._app.handle, self._app.refuse, _limits(server_config))
        tls = _tls_context(server_config, self._loaded.folder)
        try:
            port = await server.listen(
                server_config.host, server_config.port, reuse_port=reuse_port, tls=tls
            )
        except OSError as error:
            server.abort()
            raise cannot_listen(server_config.host, server_config.port, error) from error
        self._upkeep.overload = Overload(self._parts, self._app.shed, server)
        watching = self._watch()
        rotating = asyncio.create_task(self._take_up_rotated(), name="secrets")
        auditing = asyncio.create_task(self._audit.run(), name="audit")
        registering = asyncio.create_task(self._registry.run(), name="registry")
        _settle_memory()
        self._gauge.start()
        self._telemetry.start()
        self._control.url = local_url(server_config, port)
        await self._open_control()
        self._tell_unpriced_keys()
        try:
            ready.set_result(port)
            await self._stopping.wait()
            log.info("draining", extra={"detail": f"calls in work: {server.active()}"})
            interrupted = await server.drain(server_config.drain_s)
            log.info("stopped", extra={"detail": f"calls interrupted: {interrupted}"})
        finally:
            tasks = [rotating, registering, auditing]
            tasks += [] if watching is None else [watching]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._gauge.stop()
            self._control.stop()
            await self._parts.sharing.drain()
            if self._parts.cache is not None:
                await self._parts.cache.close()
            if self._shared is not None:
                await self._shared.stop()
            await self._parts.wire.close()
            self._registry.close()
            await self._issuer_keys.close()
            await close_stores(self._parts)
            await asyncio.to_thread(self._telemetry.stop)
            with contextlib.suppress(OSError):
                self._parts.metering.write_owed()
            self._journal.close()
            self._audit.close()

    def stop(self) -> None:
        """Begins to drain. May be called more than once."""
        self._stopping.set()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT drain, SIGHUP reloads the configuration."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hangup)

    def _runtime(self, config: Config) -> ConfiguredRuntime:
        pipeline = assemble(
            config,
            self._secrets,
            self._endpoints,
            self._generated_key,
            self._parts,
            self._registry.keyring,
            issuer_keys=self._issuer_keys,
        )
        shedding = config.resilience.shedding
        self._parts.shedder = Shedder(shedding, CALLS_AT_ONCE, random.Random())
        if self._logs is not None:
            own = () if self._generated_key is None else (self._generated_key,)
            self._logs.scrubber = Scrubber((*self._secrets.known(), *own))
            self._audit.log.scrub = self._logs.scrubber.scrub
        self._telemetry.take_up(config)
        self._untrusted = None
        by_address = is_by_address(config) or self._registry.keyring.by_address
        return ConfiguredRuntime(
            pipeline, config.server, self._registry, self._tell_untrusted if by_address else None
        )

    def _scrub(self, text: str) -> str:
        return text if self._logs is None else self._logs.scrubber.scrub(text)

    def _snapshot(self) -> Snapshot | None:
        snapshot = self._telemetry.snapshot(self._gate())
        if snapshot is not None:
            snapshot.now.untrusted_proxy = self._untrusted
            if self._shared is not None:
                snapshot.now.redis_up = self._shared.up
        return snapshot

    def _gate(self) -> Gate | None:
        return self._app.runtime.pipeline.gate

    def _kind_came(self) -> None:
        """Keys of the registry have limits now, or go by addresses."""
        self._app.runtime = self._runtime(self._config)

    async def _open_control(self) -> None:
        try:
            await self._control.start()
        except OSError as error:
            # The gateway answers without it: a path of a socket may be too long for the system.
            log.warning("no control socket", extra={"detail": str(error)})

    def _watch(self) -> asyncio.Task[None] | None:
        if self._loaded.source is None:
            return None
        self._watcher = Watcher(self._loaded, self._take_up, self._keep)
        return asyncio.create_task(self._watcher.run(), name="config watcher")

    def _hangup(self) -> None:
        if self._watcher is not None:
            self._reloading = asyncio.create_task(self._watcher.reload())

    async def _take_up_rotated(self) -> None:
        """A secret's file that was written anew is taken up without a reload. While one cannot be
        read, the last good text goes on."""
        while True:
            await asyncio.sleep(REREAD_S)
            before = set(self._secrets.known())
            self._secrets.reload()
            try:
                after = await asyncio.to_thread(self._secrets_read)
            except Setup as fault:
                await self._keep(fault)
                continue
            if after != before:
                self._app.runtime = self._runtime(self._config)
                log.info("secrets taken up", extra={"detail": "a secret's file has changed"})

    def _secrets_read(self) -> set[Secret]:
        self._secrets.check(self._secrets.references(), time.monotonic())
        return set(self._secrets.known())

    async def _take_up(self, loaded: Loaded) -> None:
        """Raises Setup, which the watcher hands to `_keep`."""
        loaded = with_found(loaded, self._environ, self._local_available)
        self._secrets.reload()
        try:
            self._app.runtime = self._runtime(loaded.config)
        except Setup as fault:
            raise at_its_line(fault, loaded, self._secrets, time.monotonic()) from fault
        self._config = loaded.config
        if self._shared is not None:
            await self._shared.catch_up()
        shared = shared_address(loaded, self._loaded.config.server.host)
        for warning in (*loaded.warnings, *unpriced_budgets(loaded), *shared):
            log.warning("configuration", extra={"detail": str(warning)})
        self._tell_unpriced_keys()
        for field in needs_restart(self._loaded.config, loaded.config):
            log.warning("restart needed", extra={"detail": f"{field} changes at the next start"})
        log.info("configuration reloaded", extra={"detail": str(loaded.source)})

    def _tell_untrusted(self, what: str) -> None:
        self._untrusted = what
        log.warning("clients may share an address", extra={"detail": what})

    def _tell_unpriced_keys(self) -> None:
        """Budgets of the registry stand in no file whose check would tell of them."""
        for warning in unpriced_in_registry(self._config, self._registry.keyring.budgets()):
            log.warning("configuration", extra={"detail": warning})

    async def _keep(self, fault: Setup) -> None:
        log.error("configuration not taken up, the old one goes on", extra={"detail": str(fault)})


def _tell_change(backend: BackendState, change: Transition) -> None:
    level = logging.ERROR if change.why == "denied" else logging.WARNING
    text = f"{change.before.value} -> {change.after.value}: {change.why}"
    log.log(level, "backend changed", extra={"backend": backend.name, "detail": text})


def _settle_memory() -> None:
    """What start-up made stays for good, so the collector need not look at it again; and a call
    makes few cycles, so it need not look every few calls (measured: 5 % of the CPU of a call)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _kept_in(folder: Path) -> tuple[Journal, AuditKeeping]:
    try:
        return Journal(folder), AuditKeeping(folder)
    except OSError as error:
        raise Setup(
            f"The journal or audit log cannot be written in {folder}: {error.strerror}.",
            "Make room there, or set `store.folder` in headrace.yaml to where Headrace may write.",
        ) from error


def _budgets_in(folder: Path) -> BudgetFile | None:
    try:
        return BudgetFile(folder, time.time())
    except OSError as error:
        log.error("what budgets use is not kept over a restart", extra={"cause": str(error)})
        return None


def _limits(server: Server) -> ServerLimits:
    return ServerLimits(
        body_bytes=server.body_limit_bytes,
        header_bytes=server.header_limit_bytes,
        header_timeout_s=server.header_timeout_s,
        body_timeout_s=server.body_timeout_s,
        keep_alive_s=server.keep_alive_s,
        max_connections=server.max_connections,
    )


def _tls_context(server: Server, folder: Path) -> ssl.SSLContext | None:
    tls = server.tls
    return None if tls is None else server_context(folder / tls.certificate, folder / tls.key)
