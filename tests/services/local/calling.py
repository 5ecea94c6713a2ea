"""Calls to a local model as any client makes them, with nothing of Headrace in between."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from headrace.services.local.process import Endpoint


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def post(endpoint: Endpoint, path: str, body: object, key: str | None = None) -> Reply:
    """`body` as JSON, or as it is where it is bytes."""
    return await asyncio.to_thread(_post, endpoint, path, body, key)


def _post(endpoint: Endpoint, path: str, body: object, key: str | None) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.origin.port, timeout=120)
    try:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {endpoint.key if key is None else key}",
            "Content-Type": "application/json",
        }
        connection.request("POST", path, content, headers)
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, named, response.read().decode())
    finally:
        connection.close()


async def slots(endpoint: Endpoint) -> Any:
    """llama.cpp's own word of what its slots do."""
    return json.loads(await asyncio.to_thread(_get_slots, endpoint))


async def at_work(endpoint: Endpoint) -> bool:
    return any(slot["is_processing"] for slot in await slots(endpoint))


async def idle(endpoint: Endpoint) -> bool:
    return not await at_work(endpoint)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what another process does, and tells nobody."""
    while not await holds():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def _get_slots(endpoint: Endpoint) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.origin.port, timeout=120)
    try:
        connection.request("GET", "/slots", headers={"Authorization": f"Bearer {endpoint.key}"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()
