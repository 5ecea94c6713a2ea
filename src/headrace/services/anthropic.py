"""Anthropic: its Messages API, and the count of tokens.

https://platform.claude.com/docs/en/api/messages. Bodies of Anthropic's own clients pass through;
chats in OpenAI's words are translated by `services/dialects/`, which says what cannot be.
Cannot express: completions, embeddings.
"""

from __future__ import annotations

import re

import msgspec

from headrace.nouns import Call, Operation
from headrace.platform.http.messages import Origin, WireRequest, encode_head
from headrace.services import anthropic_wire, openai_wire
from headrace.services.openai import common_headers
from headrace.services.service import Service, StreamReader, WholeRead

PATHS = {
    Operation.MESSAGES: "/v1/messages",
    Operation.COUNT_TOKENS: "/v1/messages/count_tokens",
}
VERSION = b"2023-06-01"
"""Of the API, for clients that do not name one: https://platform.claude.com/docs/en/api/versioning"""
_WORDS = re.compile(rb"[A-Za-z0-9_.,\- ]+\Z")


class AnthropicService(Service):
    """One base URL. `api_key` is not shown."""

    provider = "anthropic"

    def __init__(
        self,
        *,
        origin: Origin,
        path: str,
        api_key: bytes,
        model: str | None = None,
        priced_as: str | None = None,
        provider: str = "anthropic",
    ) -> None:
        self.provider = provider
        self.priced_as = priced_as or model
        self._origin = origin
        self._model_json = None if model is None else msgspec.Raw(msgspec.json.encode(model))
        common = [*common_headers(origin), (b"X-Api-Key", api_key)]
        self._heads = {
            operation: encode_head(b"POST", (path + own).encode(), common)
            for operation, own in PATHS.items()
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin.authority})"

    def serves(self, operation: Operation) -> bool:
        return operation in PATHS

    def request(self, call: Call) -> WireRequest:
        members = openai_wire.members_of(call.body)
        if self._model_json is not None:
            members["model"] = self._model_json
        head = b"%b%bx-request-id: %b\r\n" % (
            self._heads[call.operation],
            features_of(call),
            call.id.encode(),
        )
        return WireRequest(self._origin, head, openai_wire.written(members))

    def stream_reader(self, call: Call) -> StreamReader:
        return anthropic_wire.AnthropicStreamReader()

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        return anthropic_wire.read_whole(call, body)


def features_of(call: Call) -> bytes:
    """Header lines by which the client chooses the API's version and features of it that are not
    for everybody yet. They decide what a body means, so that they are part of what is asked."""
    version, betas = VERSION, []
    for name, value in call.headers:
        if name == b"anthropic-version" and _WORDS.match(value):
            version = value
        elif name == b"anthropic-beta" and _WORDS.match(value):
            betas.append(value)
    beta = b",".join(betas)
    lines = b"Anthropic-Version: %b\r\n" % version
    return b"%bAnthropic-Beta: %b\r\n" % (lines, beta) if beta else lines
