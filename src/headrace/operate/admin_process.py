"""The admin API as a process of its own, and the order its parent gives it.

The order goes by stdin, for it may hold a key. What serves the API is imported here alone, in the
process that needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from headrace.config.admin_oidc import AdminTokens
from headrace.config.oidc import Oidc
from headrace.data.registry.opening import open_registry
from headrace.data.registry.records import UnitRecord
from headrace.errors import Setup
from headrace.operate.port_process import listener, serves
from headrace.platform.logs import log_to_stderr
from headrace.platform.secrets import Scrubber, Secret

if TYPE_CHECKING:
    from headrace.edge.admin.server import Pages
    from headrace.gateway.administration import admin_tokens as tokens


class AdminOrder(Struct, frozen=True):
    """What is to be served. Paths are absolute."""

    host: str
    port: int
    hosts: list[str]
    folder: str
    certificate: str | None
    private_key: str | None
    key: str | None
    """That of the configuration."""
    store_url: str | None
    """Of the server that the registry and the ledger are on."""
    counts_apart: bool
    written: list[UnitRecord]
    """The configuration's tenants, teams and users."""
    oidc: Oidc
    tokens: dict[str, AdminTokens]
    """By names of issuers: whose access tokens administer, and who signs in to the console."""
    client_secrets: dict[str, str]
    """By names of issuers: those of the console as their client."""
    console: bool
    """Whether pages for people are served too."""
    log_level: str

    def __repr__(self) -> str:
        return f"AdminOrder({self.host}:{self.port})"


encode_order = msgspec.json.Encoder().encode
decode_order = msgspec.json.Decoder(AdminOrder).decode


PagesOf = Callable[[AdminOrder], "Pages | None"]


def main(pages_of: PagesOf) -> None:
    """`pages_of` gives what is served beside the API: the console is of a layer above this one."""
    order = decode_order(sys.stdin.buffer.readline())
    logs = log_to_stderr(order.log_level)
    texts = (order.key, order.store_url, *order.client_secrets.values())
    secrets = [Secret(text) for text in texts if text is not None]
    logs.scrubber = Scrubber(secrets)
    try:
        _serve(order, pages_of)
    except Setup as fault:
        print(fault, file=sys.stderr)
        sys.exit(3)


def _serve(order: AdminOrder, pages_of: PagesOf) -> None:
    import ssl

    import uvloop

    from headrace.edge.admin.server import AdminSettings, serve_admin

    on = listener(order.host, order.port, "The admin API", "admin.port")
    url = None if order.store_url is None else Secret(order.store_url)
    settings = AdminSettings(
        order.hosts,
        Path(order.folder),
        order.certificate,
        order.private_key,
        order.counts_apart,
        url,
        tuple(order.written),
        _tokens(order),
    )
    key = None if order.key is None else Secret(order.key)

    try:
        rows = open_registry(settings.folder, url)
        uvloop.run(serve_admin(on, rows, key, settings, partial(serves, on), pages_of(order)))
    except ssl.SSLError as error:
        raise Setup(
            f"The certificate or key of admin.tls cannot be used: {error}.",
            "Give PEM files: the certificate chain, and its private key without a passphrase.",
        ) from error
    except OSError as error:
        raise Setup(
            f"The admin API cannot be served: {error}.",
            "See that the store's folder can be written and that the files of admin.tls are there.",
        ) from error


def _tokens(order: AdminOrder) -> tokens.AdminTokens | None:
    """Raises Setup if the extra is not installed."""
    if not order.tokens:
        return None
    from headrace.gateway.token_assembly import KeyStore, admin_tokens

    return admin_tokens(order.tokens, order.oidc, KeyStore(os.environ))
