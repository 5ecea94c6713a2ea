"""What serves calls under one configuration, and whether it can."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.config.schema import Server
from headrace.edge.client_address import AddressWatch, ClientAddress, TrustedProxies
from headrace.edge.registry_watch import RegistryWatch
from headrace.gateway.pipeline import Pipeline


class ConfiguredRuntime:
    """Its place is taken by another at each reload; calls keep the one that they began with."""

    def __init__(
        self,
        pipeline: Pipeline,
        server: Server,
        registry: RegistryWatch,
        tell_untrusted: Callable[[str], None] | None,
    ) -> None:
        """`tell_untrusted` is there if anything goes by addresses: it is told of who speaks for
        others and is not trusted."""
        self.pipeline = pipeline
        self._registry = registry
        self.json_depth_limit = server.json_depth_limit
        trusted = (
            TrustedProxies(server.trusted_proxies, server.client_address_header)
            if server.trusted_proxies
            else None
        )
        self.proxies: ClientAddress | None = (
            trusted if tell_untrusted is None else AddressWatch(trusted, tell_untrusted)
        )

    def readiness(self) -> list[str]:
        missing = []
        if not self._any_backend():
            missing.append("no usable backend")
        if not self.pipeline.parts.metering.writable():
            missing.append("the journal cannot be written")
        if not self._registry.known:
            missing.append("the registry of keys cannot be read")
        return missing

    def _any_backend(self) -> bool:
        now, fleet = time.monotonic(), self.pipeline.parts.fleet
        return any(
            fleet[target.name].breaker.available(now).ok
            for target in self.pipeline.models.targets()
            if target.name in fleet
        )
