"""Clients that cost this machine little: raw sockets that are kept, requests made once."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, NamedTuple

from support.gateway_process import Gateway

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Got(NamedTuple):
    """A whole answer."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def raw_request(key: str, content: bytes) -> bytes:
    """A chat completion."""
    return b"".join(
        [
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n",
            b"authorization: Bearer %b\r\n" % key.encode(),
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content),
            content,
        ]
    )


class SteadyClient:
    """One connection, one call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def of(cls, gateway: Gateway) -> SteadyClient:
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port))

    async def ask(self, request: bytes) -> Got:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        assert length is not None, head
        body = await self._reader.readexactly(int(length[1]))
        return Got(int(head.split(b" ", 2)[1]), head, body)

    def close(self) -> None:
        self._writer.close()
