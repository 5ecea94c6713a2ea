"""The admin API beside the gateway: its first key, and what its process is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import msgspec

from headrace.config.loading import Loaded
from headrace.config.schema import Admin
from headrace.errors import Setup
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.gate import weakness
from headrace.gateway.administration.wishes import NewAdminKey
from headrace.gateway.written_units import written_units
from headrace.operate.admin_process import AdminOrder, encode_order
from headrace.operate.port_process import PortProcess, url_of
from headrace.operate.registry import Registry, alone, registry_url
from headrace.platform.secrets import Secret, Secrets

log = logging.getLogger("headrace.admin")

STOP_GRACE_S = 8.0
PROCESS = "headrace.console.admin_process"
"""By its name alone: the console is of a layer above this one."""


class Administration:
    """Serves the admin API in a process of its own until `stop`."""

    def __init__(
        self, admin: Admin, loaded: Loaded, environ: Mapping[str, str], log_level: str
    ) -> None:
        """Raises Setup for a key that is weak or cannot be read."""
        key = None
        if admin.key is not None:
            key = Secrets(environ, loaded.folder).get(admin.key, time.monotonic())
            check_strength(key, admin.key)
        folder = loaded.store_folder.resolve()
        self._loaded = loaded
        url = registry_url(loaded)
        self._order = AdminOrder(
            host=admin.host,
            port=admin.port,
            hosts=[*admin.hosts, *([] if admin.host == "::" else [admin.host])],
            folder=str(folder),
            certificate=None if admin.tls is None else str(loaded.folder / admin.tls.certificate),
            private_key=None if admin.tls is None else str(loaded.folder / admin.tls.key),
            key=None if key is None else key.reveal(),
            store_url=None if url is None else url.reveal(),
            counts_apart=alone(loaded),
            oidc=loaded.config.oidc,
            tokens=admin.oidc,
            client_secrets=_client_secrets(admin, Secrets(environ, loaded.folder)),
            written=list(written_units(loaded.config).values()),
            console=admin.console,
            log_level=log_level,
        )
        self._process = PortProcess(PROCESS, "the admin API", log, STOP_GRACE_S)

    async def start(self) -> str:
        """Returns the URL when it serves. Raises Setup."""
        port = await self._process.start(self._order_at)
        return url_of(self._order.host, port, tls=self._order.certificate is not None)

    def _order_at(self, port: int | None) -> bytes:
        order = self._order if port is None else msgspec.structs.replace(self._order, port=port)
        return encode_order(order)

    def first_key(self) -> Secret | None:
        """Makes a key if there is none, when somebody is there to be told. Raises Setup."""
        others = self._order.key is not None or self._order.tokens
        return None if others else first_key(self._loaded)

    async def stop(self) -> None:
        """Idempotent."""
        await self._process.stop()


def _client_secrets(admin: Admin, secrets: Secrets) -> dict[str, str]:
    """By names of issuers. Raises Setup."""
    return {
        name: secrets.get(rules.sign_in.client_secret, time.monotonic()).reveal()
        for name, rules in admin.oidc.items()
        if rules.sign_in is not None and rules.sign_in.client_secret is not None
    }


def check_strength(key: Secret, reference: str) -> None:
    """Raises Setup."""
    why = weakness(key.reveal())
    if why is not None:
        raise Setup(
            f"The admin key ({reference}) is too weak: {why}.",
            "Make one that cannot be guessed: `openssl rand -base64 32`.",
        )


def first_key(loaded: Loaded) -> Secret | None:
    """Makes an admin key if no live one is there. Raises Setup."""
    with Registry.of(loaded) as registry:
        try:
            if registry.admin_keys.any_live():
                return None
            return registry.admin_keys.create(registry.by, NewAdminKey(name="first", role="admin"))[
                1
            ]
        except Denied as denied:
            if denied.why is Why.UNAVAILABLE:  # the next start can make one
                log.error("no first admin key", extra={"detail": denied.detail})
                return None
            raise Setup(denied.detail) from denied
