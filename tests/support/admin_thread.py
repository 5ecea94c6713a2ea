"""The admin API on a real port, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from headrace.data.registry.opening import open_registry
from headrace.edge.admin.server import AdminSettings, Pages, serve_admin
from headrace.gateway.administration.admin_tokens import AdminTokens
from headrace.gateway.administration.grants import Grant, Role
from headrace.operate.registry import Registry
from headrace.platform.secrets import Secret

ROOT = Grant(actor="local:test", role=Role.ADMIN)


class AdminThread:
    """`registry` writes beside it, with all rights."""

    def __init__(self, url: str, registry: Registry) -> None:
        self.url = url
        self.registry = registry
        self.client = httpx.Client(timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        key: str | None = None,
        json: Any = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        sent = {} if key is None else {"authorization": f"Bearer {key}"}
        return self.client.request(
            method, self.url + path, headers=sent | (headers or {}), json=json, **more
        )


@contextmanager
def admin_thread(
    folder: Path,
    key: str | None = None,
    hosts: list[str] | None = None,
    tokens: AdminTokens | None = None,
    pages: Pages | None = None,
) -> Iterator[AdminThread]:
    # Of this protocol by name, as the admin process has it: else asyncio lets small writes wait.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    ready: list[Callable[[], None]] = []
    serving = threading.Event()

    def on_ready(stop: Callable[[], None]) -> None:
        ready.append(stop)
        serving.set()

    def run() -> None:
        own = None if key is None else Secret(key)
        settings = AdminSettings(hosts or [], folder, tokens=tokens)
        rows = open_registry(folder, None)
        asyncio.run(serve_admin(listener, rows, own, settings, on_ready, pages))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert serving.wait(30)
        with Registry(folder) as registry:
            made = AdminThread(f"http://127.0.0.1:{listener.getsockname()[1]}", registry)
            yield made
            made.client.close()
    finally:
        for stop in ready:
            stop()
        thread.join(30)
        listener.close()
