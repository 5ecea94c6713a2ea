"""Which API of which provider a path is."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

Dialect = Literal[
    "openai", "azure", "anthropic", "google", "mistral", "ollama", "bedrock", "cohere"
]
Api = Literal[
    "chat", "chat_stream", "completions", "embeddings", "responses", "messages", "count_tokens",
    "models", "image_generations", "image_edits", "image_variations", "speech", "transcriptions",
    "translations", "moderations", "rerank", "files", "response", "unknown",
]  # fmt: skip


class Route(NamedTuple):
    """`deployment` is from the path: Azure's, or the model where the body does not name it.
    `chat_stream` is a path whose answers are streams."""

    dialect: Dialect
    api: Api
    deployment: str = ""


_EXACT: dict[str, Route] = {
    "/v1/chat/completions": Route("openai", "chat"),
    "/v1/completions": Route("openai", "completions"),
    "/v1/embeddings": Route("openai", "embeddings"),
    "/v1/responses": Route("openai", "responses"),
    "/v1/models": Route("openai", "models"),
    "/v1/messages": Route("anthropic", "messages"),
    "/v1/messages/count_tokens": Route("anthropic", "count_tokens"),
    "/v2/chat": Route("cohere", "chat"),
    "/v2/embed": Route("cohere", "embeddings"),
    "/openai/v1/chat/completions": Route("azure", "chat"),
    "/openai/v1/completions": Route("azure", "completions"),
    "/openai/v1/embeddings": Route("azure", "embeddings"),
    "/openai/v1/responses": Route("azure", "responses"),
    "/openai/responses": Route("azure", "responses"),
    "/openai/v1/models": Route("azure", "models"),
    "/openai/models": Route("azure", "models"),
}
_PASSED: dict[str, Api] = {
    "images/generations": "image_generations",
    "images/edits": "image_edits",
    "images/variations": "image_variations",
    "audio/speech": "speech",
    "audio/transcriptions": "transcriptions",
    "audio/translations": "translations",
    "moderations": "moderations",
    "rerank": "rerank",
    "files": "files",
}
for _path, _api in _PASSED.items():
    _EXACT[f"/v1/{_path}"] = Route("openai", _api)
    _EXACT[f"/openai/v1/{_path}"] = Route("azure", _api)
_EXACT["/v2/rerank"] = Route("cohere", "rerank")
_EXACT["/openai/files"] = Route("azure", "files")
_FILE = re.compile(r"(?:/mistral)?/(openai/)?(?:v1/)?files/[^/]+(?:/content)?\Z")
_RESPONSE = re.compile(r"/(openai/)?(?:v1/)?responses/[^/]+\Z")
_OWN_NAMES: tuple[Dialect, ...] = ("mistral", "ollama")
for _name in _OWN_NAMES:
    _EXACT |= {
        f"/{_name}{path}": Route(_name, route.api)
        for path, route in _EXACT.items()
        if path.startswith("/v1/") and route.dialect == "openai"
    }
_DEPLOYMENT = re.compile(
    r"/openai/deployments/([^/]+)/(chat/completions|completions|embeddings|images/[a-z]+|"
    r"audio/[a-z]+)\Z"
)
_DEPLOYMENT_APIS: dict[str, Api] = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    **_PASSED,
}


_BEDROCK = re.compile(r"/model/([^/]+)/(converse|converse-stream)\Z")
_GOOGLE = re.compile(r"/v1(?:beta)?/models/([^/:]+):([A-Za-z]+)\Z")
_GOOGLE_APIS: dict[str, Api] = {
    "generateContent": "chat",
    "streamGenerateContent": "chat_stream",
    "countTokens": "count_tokens",
    "batchEmbedContents": "embeddings",
}


def route_of(path: str) -> Route:
    """The route of a path without its query. An unknown path speaks OpenAI's dialect."""
    if route := _EXACT.get(path):
        return route
    if match := _DEPLOYMENT.match(path):
        return Route("azure", _DEPLOYMENT_APIS.get(match[2], "unknown"), unquote(match[1]))
    if match := _RESPONSE.match(path):
        return Route("azure" if match[1] else "openai", "response")
    if match := _FILE.match(path):
        return Route("azure" if match[1] else "openai", "files")
    if match := _GOOGLE.match(path):
        return Route("google", _GOOGLE_APIS.get(match[2], "unknown"), unquote(match[1]))
    if match := _BEDROCK.match(path):
        api: Api = "chat" if match[2] == "converse" else "chat_stream"
        return Route("bedrock", api, unquote(match[1]))
    if path.startswith("/v1/models/"):
        return Route("openai", "models")
    return Route("openai", "unknown")
