"""A raw client for these tests: what is on the socket, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

import msgspec

from headrace_upstream import ScriptedUpstream

CHAT = "/v1/chat/completions"
AZURE = "/openai/deployments/east/chat/completions?api-version=2024-10-21"
MESSAGES = "/v1/messages"
CHAT_PATHS = (CHAT, AZURE, MESSAGES)


class Answer(NamedTuple):
    """`raw` is all that came after the head, framing and all. `ended` is `open` (a keep-alive
    connection with a complete body), `eof` or `reset`."""

    status: int
    headers: dict[str, str]
    raw: bytes
    ended: str

    @property
    def body(self) -> bytes:
        """Without chunk framing, as far as that is intact."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.raw
        return b"".join(self.chunks)

    @property
    def chunks(self) -> list[bytes]:
        chunks, rest = [], self.raw
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2 or length == 0:
                break
            chunks.append(rest[:length])
            rest = rest[length + 2 :]
        return chunks

    @property
    def events(self) -> list[bytes]:
        """The `data` of each event."""
        lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
        return [line[6:] for line in lines if line.startswith(b"data: ")]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def chat_body(text: str = "Hello", model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


def request_bytes(path: str, body: Any, method: str = "POST", headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = f"{method} {path} HTTP/1.1\r\nhost: upstream\r\ncontent-length: {len(data)}\r\n"
    return (head + headers + "\r\n").encode() + data


async def ask(
    up: ScriptedUpstream,
    path: str = CHAT,
    body: Any = None,
    *,
    script: dict[str, Any] | None = None,
    method: str = "POST",
    headers: str = "",
) -> Answer:
    """One request on a connection of its own, and all bytes of its answer."""
    if script is not None:
        up.script(script)
    reader, writer = await asyncio.open_connection(up.host, up.port)
    try:
        payload = b"" if method in ("GET", "DELETE") else (chat_body() if body is None else body)
        writer.write(request_bytes(path, payload, method, headers))
        return await read_answer(reader)
    finally:
        await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """The client leaves; the other side may have left before."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    data, ended = b"", "open"
    while not _complete(data):
        try:
            more = await reader.read(65536)
        except ConnectionResetError:
            ended = "reset"
            break
        if not more:
            ended = "eof"
            break
        data += more
    head, _, raw = data.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"", ended)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, raw, ended)


def _complete(data: bytes) -> bool:
    head, blank, raw = data.partition(b"\r\n\r\n")
    if not blank or b"connection: close" in head:
        return False
    if b"transfer-encoding: chunked" in head:
        return raw.endswith(b"\r\n0\r\n\r\n") or raw == b"0\r\n\r\n"
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return len(raw) >= int(length.split()[1])
