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
COMPLETED = b"event: response.completed\n"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"


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
    def is_responses(self) -> bool:
        """The client speaks that of the Responses API."""
        return self.path == RESPONSES

    @property
    def end(self) -> bytes:
        """What alone completes a stream of the client's dialect, or begins what does."""
        return STOP if self.is_anthropic else COMPLETED if self.is_responses else DONE

    @property
    def upstream_end(self) -> bytes:
        """What may be missing of a complete stream of the upstream's."""
        return {"anthropic": STOP, "responses": b""}.get(self.wire, DONE)

    def is_complete(self, body: bytes) -> bool:
        """Whether a stream of the client's dialect ends as a complete one does."""
        return _ends(body, self.end)

    def is_complete_upstream(self, body: bytes) -> bool:
        ends = {"anthropic": STOP, "responses": COMPLETED}
        return _ends(body, ends.get(self.wire, DONE))


def _ends(body: bytes, end: bytes) -> bool:
    if end != COMPLETED:
        return body.endswith(end)
    last = body[body.rindex(b"event: ") :]
    return last.startswith(COMPLETED) and last.endswith(b"}\n\n") and last.count(b"\n\n") == 1


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
RESPONDING = (
    Dialect("responses", RESPONSES, "responding", _BEARER, "responses", RESPONSES),
    Dialect("responses-openai", RESPONSES, "plain", _BEARER),
    Dialect("responses-azure", RESPONSES, "dated", _BEARER, upstream_path=AZURE.upstream_path),
    Dialect("responses-anthropic", RESPONSES, "claude", _BEARER, "anthropic", MESSAGES),
)
PAIRS = (*DIALECTS, ANTHROPIC, *TRANSLATED, *RESPONDING)
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


def asking(responses: bool) -> dict[str, Any]:
    """The member of a body that asks."""
    hello = [{"role": "user", "content": "Hello"}]
    return {"input": hello} if responses else {"messages": hello}


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
    body: dict[str, Any] = {"model": model or dialect.model, **asking(dialect.is_responses)}
    body |= fields
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
