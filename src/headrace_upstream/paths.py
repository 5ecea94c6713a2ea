"""Which API of which provider a path is."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote

Dialect = Literal["openai", "azure", "anthropic"]
Api = Literal["chat", "completions", "embeddings", "messages", "count_tokens", "models", "unknown"]


class Route(NamedTuple):
    """`deployment` is Azure's, from the path; empty elsewhere."""

    dialect: Dialect
    api: Api
    deployment: str = ""


_EXACT: dict[str, Route] = {
    "/v1/chat/completions": Route("openai", "chat"),
    "/v1/completions": Route("openai", "completions"),
    "/v1/embeddings": Route("openai", "embeddings"),
    "/v1/models": Route("openai", "models"),
    "/v1/messages": Route("anthropic", "messages"),
    "/v1/messages/count_tokens": Route("anthropic", "count_tokens"),
    "/openai/v1/chat/completions": Route("azure", "chat"),
    "/openai/v1/completions": Route("azure", "completions"),
    "/openai/v1/embeddings": Route("azure", "embeddings"),
    "/openai/v1/models": Route("azure", "models"),
    "/openai/models": Route("azure", "models"),
}
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/(chat/completions|completions|embeddings)\Z")
_DEPLOYMENT_APIS: dict[str, Api] = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
}


def route_of(path: str) -> Route:
    """The route of a path without its query. An unknown path speaks OpenAI's dialect."""
    if route := _EXACT.get(path):
        return route
    if match := _DEPLOYMENT.match(path):
        return Route("azure", _DEPLOYMENT_APIS[match[2]], unquote(match[1]))
    if path.startswith("/v1/models/"):
        return Route("openai", "models")
    return Route("openai", "unknown")
