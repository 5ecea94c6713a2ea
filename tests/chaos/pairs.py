"""Client dialects before the backends of each provider, and how each says that a stream is over."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from support.scripted import own_script

DONE = b"data: [DONE]\n\n"
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
COMPLETED = b"event: response.completed\n"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
TOKENS_IN = 25
"""What a prompt that holds a script counts for, however long the script is."""
_LAST = {
    "anthropic": b'"message_stop"',
    "responses": b"response.completed",
    "google": b'"finishReason"',
    "bedrock": b'"metrics"',
    "cohere": b'"message-end"',
}
"""Stands in a stream's last event, by what the backend speaks; of all others that is `DONE`."""


class Dialect(NamedTuple):
    """A client's dialect, and a model of the gateway whose backend speaks `wire`."""

    name: str
    path: str
    model: str
    credential: str
    wire: str = "openai"
    upstream_path: str = CHAT
    scripted_by_text: bool = False
    """The prompt carries the script: not every provider is told who the end user is."""

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
        return STOP if self.wire == "anthropic" else b"" if self.wire in _LAST else DONE

    @property
    def needs_proper_end(self) -> bool:
        """No event is terminal: only that the bytes end properly tells that all came."""
        return self.wire == "google"

    def asking(self, script: dict[str, Any] | None) -> dict[str, Any]:
        """Members of a body that ask, and carry their script."""
        hello = [{"role": "user", "content": self.prompt(script)}]
        members: dict[str, Any] = {"input": hello} if self.is_responses else {"messages": hello}
        if script is None or self.scripted_by_text:
            return members
        text = own_script(**script)
        return members | ({"metadata": {"user_id": text}} if self.is_anthropic else {"user": text})

    def prompt(self, script: dict[str, Any] | None) -> str:
        if script is None or not self.scripted_by_text:
            return "Hello"
        script = {"usage": {"input": TOKENS_IN}, **script}
        return f"Hello [[script {json.dumps(script)} ]]"

    def asking_upstream(self, script: dict[str, Any]) -> dict[str, Any]:
        """A body as the upstream gets it of the gateway, as far as that changes its stream."""
        prompt = self.prompt(script)
        if self.wire == "google":
            return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
        if self.wire == "bedrock":
            return {"messages": [{"role": "user", "content": [{"text": prompt}]}]}
        hello = [{"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": self.model, "stream": True}
        body |= {"input": hello} if self.wire == "responses" else {"messages": hello}
        if self.wire == "openai" and "/mistral/" not in self.upstream_path:
            body["stream_options"] = {"include_usage": True}
        if self.scripted_by_text:
            return body
        text = own_script(**script)
        anthropic = self.wire == "anthropic"
        return body | ({"metadata": {"user_id": text}} if anthropic else {"user": text})

    def is_complete(self, body: bytes) -> bool:
        """Whether a stream of the client's dialect ends as a complete one does."""
        return _ends(body, self.end)

    def ends_upstream(self, whole: bytes) -> list[int]:
        """Where each event of a complete stream of the upstream's ends. Raises AssertionError for
        one that is not complete."""
        if self.wire == "bedrock":
            ends = [0]
            while ends[-1] < len(whole):
                ends.append(ends[-1] + int.from_bytes(whole[ends[-1] : ends[-1] + 4], "big"))
            del ends[0]
        else:
            ends = [at + 2 for at in range(len(whole)) if whole.startswith(b"\n\n", at)]
        assert ends[-1] == len(whole)
        assert _LAST.get(self.wire, DONE) in whole[ends[-2] :]
        return ends


def _ends(body: bytes, end: bytes) -> bool:
    if end != COMPLETED:
        return body.endswith(end)
    last = body[body.rindex(b"event: ") :]
    return last.startswith(COMPLETED) and last.endswith(b"}\n\n") and last.count(b"\n\n") == 1


_BEARER, _X_KEY = "authorization: Bearer {key}", "x-api-key: {key}"
OPENAI = Dialect("openai", CHAT, "plain", _BEARER)
AZURE = Dialect(
    "azure",
    "/openai/deployments/dated/chat/completions?api-version=2024-10-21",
    "dated",
    "api-key: {key}",
    upstream_path="/openai/deployments/east/chat/completions?api-version=2024-10-21",
)
DIALECTS = (OPENAI, AZURE)
ANTHROPIC = Dialect("anthropic", MESSAGES, "claude", _X_KEY, "anthropic", MESSAGES)
TRANSLATED = (
    Dialect("openai-anthropic", CHAT, "claude", _BEARER, "anthropic", MESSAGES),
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
"""Of a client's dialect and a backend's, where either began it."""
_CLIENTS = (
    ("openai", CHAT, _BEARER),
    ("anthropic", MESSAGES, _X_KEY),
    ("responses", RESPONSES, _BEARER),
)
_PROVIDERS = (
    ("gemini", "google", "/v1beta/models/gemini:streamGenerateContent?alt=sse"),
    ("bedrock", "bedrock", "/model/bedrock/converse-stream"),
    ("cohere", "cohere", "/v2/chat"),
    ("mistral", "openai", f"/mistral{CHAT}"),
    ("ollama", "openai", f"/ollama{CHAT}"),
    ("vllm", "openai", CHAT),
)
FURTHER = tuple(
    Dialect(f"{client}-{model}", path, model, credential, wire, upstream_path, True)
    for client, path, credential in _CLIENTS
    for model, wire, upstream_path in _PROVIDERS
)
"""All three clients before every other provider; models are named as their providers are."""
ALL_PAIRS = (*PAIRS, *FURTHER)
