"""A raw client: what a gateway sends, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple

from chaos.pairs import Dialect
from support.gateway_process import Gateway


class Answer(NamedTuple):
    """All bytes of an answer on a connection of its own."""

    raw: bytes

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None

    @property
    def body(self) -> bytes:
        """Without chunk framing. Raises AssertionError where that is broken or has no end."""
        raw = self.raw.partition(b"\r\n\r\n")[2]
        if self.header("transfer-encoding") != "chunked":
            assert len(raw) == int(self.header("content-length") or -1), self.raw
            return raw
        parts: list[bytes] = []
        while True:
            size, crlf, raw = raw.partition(b"\r\n")
            assert crlf, "the chunked body has no end"
            if int(size, 16) == 0:
                assert raw == b"\r\n"
                return b"".join(parts)
            parts.append(raw[: int(size, 16)])
            raw = raw[int(size, 16) + 2 :]

    @property
    def events(self) -> list[bytes]:
        """The data of each event."""
        lines = [part.rpartition(b"\n")[2] for part in _with_lf(self.body).split(b"\n\n")]
        return [line[6:] for line in lines if line.startswith(b"data: ")]

    @property
    def text(self) -> str:
        """The content of a stream's first choices, put together."""
        chunks = [json.loads(event) for event in self.events if event != b"[DONE]"]
        if chunks and str(chunks[0].get("type")).startswith("response."):
            return "".join(c["delta"] for c in chunks if c["type"] == "response.output_text.delta")
        if chunks and "type" in chunks[0]:
            deltas = [c["delta"] for c in chunks if c["type"] == "content_block_delta"]
            return "".join(delta.get("text", "") for delta in deltas)
        choices = [chunk["choices"][0] for chunk in chunks if chunk.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error that it is, or that a stream ends with."""
        try:
            last = json.loads(self.events[-1] if self.is_stream else self.body)
        except (ValueError, IndexError):
            return None
        error = last.get("error")
        if not isinstance(error, dict):
            return None
        if "details" in error:  # Anthropic's shape
            code = error["details"]["error_code"]
            return {**error, "code": code, "request_id": last["request_id"]}
        return error

    @property
    def is_stream(self) -> bool:
        return (self.header("content-type") or "").startswith("text/event-stream")


def _with_lf(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n")


def request_bytes(
    gateway: Gateway,
    dialect: Dialect,
    *,
    stream: bool,
    call: str | None = None,
    model: str | None = None,
    script: dict[str, Any] | None = None,
    **fields: Any,
) -> bytes:
    """A request that carries its own script; the connection closes after its answer."""
    body = {"model": model or dialect.model, **dialect.asking(script), **fields}
    if stream:
        body["stream"] = True
    if dialect.is_anthropic:
        body["max_tokens"] = 10_000
    data = json.dumps(body).encode()
    path = dialect.path.replace(f"/{dialect.model}/", f"/{model or dialect.model}/")
    lines = [
        f"POST {path} HTTP/1.1",
        "host: gateway",
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(data)}",
        dialect.credential.format(key=gateway.key),
        *([] if call is None else [f"x-request-id: {call}"]),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def ask(gateway: Gateway, dialect: Dialect, *, stream: bool, **asked: Any) -> Answer:
    """One request, and all bytes of its answer. See `request_bytes`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(request_bytes(gateway, dialect, stream=stream, **asked))
        return Answer(await asyncio.wait_for(reader.read(-1), 60))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
