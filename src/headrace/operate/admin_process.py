"""The admin API as a process of its own, and the order its parent gives it.

The order goes by stdin, for it may hold a key. What serves the API is imported here alone, in the
process that needs it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from headrace.config.admin_oidc import AdminTokens
from headrace.config.oidc import Oidc
from headrace.data.registry.opening import open_registry
from headrace.data.registry.records import UnitRecord
from headrace.errors import Setup
from headrace.operate.child_process import stop_with_parent
from headrace.platform.logs import log_to_stderr
from headrace.platform.secrets import Scrubber, Secret

if TYPE_CHECKING:
    from headrace.edge.admin.server import Pages
    from headrace.gateway.administration import admin_tokens as tokens

READY = b"ready "


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

    listener = _listener(order.host, order.port)
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

    def on_ready(stop: Callable[[], None]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop())
        threading.Thread(target=stop_with_parent, args=(stop,), daemon=True).start()
        os.write(1, READY + str(listener.getsockname()[1]).encode() + b"\n")

    try:
        rows = open_registry(settings.folder, url)
        uvloop.run(serve_admin(listener, rows, key, settings, on_ready, pages_of(order)))
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


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise Setup(
            f"The admin API cannot listen on {host}:{port}: {error.strerror}.",
            "Choose another `admin.port` in headrace.yaml, or stop what uses it.",
        ) from error
    return listener
