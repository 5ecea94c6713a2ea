"""A raw client: what a gateway sends, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple

from support.gateway_process import Gateway
from support.scripted import own_script

DONE = b"data: [DONE]\n\n"
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
MESSAGES = "/v1/messages"


class Dialect(NamedTuple):
    """A client's dialect, and a model of the gateway whose backend speaks the same."""

    name: str
    path: str
    model: str
    credential: str
    wire: str = "openai"
    """What the backend speaks."""
    upstream_path: str = "/v1/chat/completions"

    @property
    def is_anthropic(self) -> bool:
        """The client speaks Anthropic's."""
        return self.path == MESSAGES

    @property
    def end(self) -> bytes:
        """What alone completes a stream of the client's dialect."""
        return STOP if self.is_anthropic else DONE

    @property
    def upstream_end(self) -> bytes:
        return STOP if self.wire == "anthropic" else DONE


OPENAI = Dialect("openai", "/v1/chat/completions", "plain", "authorization: Bearer {key}")
AZURE = Dialect(
    "azure",
    "/openai/deployments/dated/chat/completions?api-version=2024-10-21",
    "dated",
    "api-key: {key}",
    upstream_path="/openai/deployments/east/chat/completions?api-version=2024-10-21",
)
DIALECTS = (OPENAI, AZURE)
_BEARER, _X_KEY = "authorization: Bearer {key}", "x-api-key: {key}"
ANTHROPIC = Dialect("anthropic", MESSAGES, "claude", _X_KEY, "anthropic", MESSAGES)
TRANSLATED = (
    Dialect("openai-anthropic", OPENAI.path, "claude", _BEARER, "anthropic", MESSAGES),
    Dialect("anthropic-openai", MESSAGES, "plain", _X_KEY),
    Dialect("anthropic-azure", MESSAGES, "dated", _X_KEY, upstream_path=AZURE.upstream_path),
)
PAIRS = (*DIALECTS, ANTHROPIC, *TRANSLATED)
"""Of a client's dialect and a backend's."""


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
        if last.get("type") == "error":  # Anthropic's shape
            code = error["details"]["error_code"]
            return {**error, "code": code, "request_id": last["request_id"]}
        return error

    @property
    def is_stream(self) -> bool:
        return (self.header("content-type") or "").startswith("text/event-stream")


def _with_lf(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n")


def carried(anthropic: bool, script: dict[str, Any]) -> dict[str, Any]:
    """The member of a body that carries its script."""
    text = own_script(**script)
    return {"metadata": {"user_id": text}} if anthropic else {"user": text}


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
    body: dict[str, Any] = {
        "model": model or dialect.model,
        "messages": [{"role": "user", "content": "Hello"}],
        **fields,
    }
    if stream:
        body["stream"] = True
    if dialect.is_anthropic:
        body["max_tokens"] = 10_000
    if script is not None:
        body |= carried(dialect.is_anthropic, script)
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
