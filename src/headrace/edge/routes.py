"""Which request means what. Everything not listed here is refused."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple
from urllib.parse import unquote

from headrace.edge.unknown_route import advice
from headrace.errors import Reason, Refused
from headrace.nouns import Dialect, Operation


class Page(enum.Enum):
    """What is answered without a model."""

    ALIVE = "alive"
    READY = "ready"
    MODELS = "models"
    MODEL = "model"
    RESPONSE = "response"
    """One that is kept, which is read or deleted."""
    FEEDBACK = "feedback"
    """On an answer that was given again."""


class Route(NamedTuple):
    """What a request's line asks for. `name` is the model in the path, if there is one."""

    dialect: Dialect
    asks: Operation | Page
    name: str | None = None


_OPERATIONS = {
    b"/chat/completions": Operation.CHAT,
    b"/completions": Operation.COMPLETIONS,
    b"/embeddings": Operation.EMBEDDINGS,
    b"/responses": Operation.RESPONSES,
}
_PASSED_ON = {
    b"/images/generations": Operation.IMAGE_GENERATIONS,
    b"/images/edits": Operation.IMAGE_EDITS,
    b"/images/variations": Operation.IMAGE_VARIATIONS,
    b"/audio/speech": Operation.SPEECH,
    b"/audio/transcriptions": Operation.TRANSCRIPTIONS,
    b"/audio/translations": Operation.TRANSLATIONS,
    b"/moderations": Operation.MODERATIONS,
    b"/rerank": Operation.RERANK,
    b"/files": Operation.FILES,
    b"/realtime": Operation.REALTIME,
}
_EVERYWHERE = _OPERATIONS | _PASSED_ON
_EXACT: dict[bytes, Route] = {
    b"/healthz": Route(Dialect.OPENAI, Page.ALIVE),
    b"/readyz": Route(Dialect.OPENAI, Page.READY),
    b"/v1/models": Route(Dialect.OPENAI, Page.MODELS),
    b"/openai/v1/models": Route(Dialect.AZURE_OPENAI, Page.MODELS),
    b"/openai/models": Route(Dialect.AZURE_OPENAI, Page.MODELS),
    b"/v1/feedback": Route(Dialect.OPENAI, Page.FEEDBACK),
    b"/v1/messages": Route(Dialect.ANTHROPIC, Operation.MESSAGES),
    b"/v1/messages/count_tokens": Route(Dialect.ANTHROPIC, Operation.COUNT_TOKENS),
    b"/openai/responses": Route(Dialect.AZURE_OPENAI, Operation.RESPONSES),
    b"/openai/files": Route(Dialect.AZURE_OPENAI, Operation.FILES),
    b"/openai/realtime": Route(Dialect.AZURE_OPENAI, Operation.REALTIME),
    b"/v2/rerank": Route(Dialect.OPENAI, Operation.RERANK),
    **{b"/v1" + path: Route(Dialect.OPENAI, op) for path, op in _EVERYWHERE.items()},
    **{b"/openai/v1" + path: Route(Dialect.AZURE_OPENAI, op) for path, op in _EVERYWHERE.items()},
}
_MESSAGES = b"/v1/messages"
_OPENAIS_OWN = (
    b"/v1/chat/", b"/v1/completions", b"/v1/embeddings", b"/v1/responses", b"/openai/",
    b"/v1/images/", b"/v1/audio/", b"/v1/moderations", b"/v1/files", b"/v1/realtime",
    b"/v1/rerank", b"/v2/rerank",
)  # fmt: skip
_MODEL = re.compile(rb"(/openai)?(?:/v1)?/models/([^?#]{1,384})\Z")
_RESPONSE = re.compile(rb"/(?:openai/)?v1/responses/([A-Za-z0-9_-]{1,128})\Z")
_DEPLOYMENT = re.compile(
    rb"/openai/deployments/([^/?#]{1,384})(/chat/completions|/completions|/embeddings|"
    rb"/images/(?:generations|edits|variations)|/audio/(?:speech|transcriptions|translations))\Z"
)
_FILE = re.compile(rb"/(?:openai/)?(?:v1/)?files(/[A-Za-z0-9_.-]{1,128}(?:/content)?)\Z")
_OF_FILES = {b"": (b"GET", b"POST"), b"/": (b"GET", b"DELETE"), b"/content": (b"GET",)}
"""Methods, by what stands behind the path."""


def route_of(method: bytes, target: bytes) -> Route:
    """The route of a request line. The path is matched as it came: no second reading of it
    exists that a check could be fooled with. Raises Refused(UNKNOWN_ROUTE, METHOD_NOT_ALLOWED)."""
    path = target.partition(b"?")[0]
    route = _EXACT.get(path) or _variable(path)
    if route is None:
        shown = path[:80].decode("ascii", "replace")
        raise Refused(
            Reason.UNKNOWN_ROUTE,
            f"There is nothing at {shown}. {advice(path)}",
        )
    if route.asks is Page.RESPONSE and method == b"DELETE":
        return route
    if route.asks is Operation.FILES:
        return _of_files(route, method, path)
    posted = route.asks is Page.FEEDBACK or (
        isinstance(route.asks, Operation) and route.asks is not Operation.REALTIME
    )
    allowed = b"POST" if posted else b"GET"
    if method != allowed and not (method == b"HEAD" and allowed == b"GET"):
        raise Refused(
            Reason.METHOD_NOT_ALLOWED,
            f"Use {allowed.decode()} here, not {method[:16].decode('ascii', 'replace')}.",
        )
    return route


def _of_files(route: Route, method: bytes, path: bytes) -> Route:
    """Raises Refused(METHOD_NOT_ALLOWED)."""
    file = file_of(path)
    kind = b"/content" if file.endswith("/content") else b"/" if file else b""
    if method not in _OF_FILES[kind]:
        allowed = b" or ".join(_OF_FILES[kind]).decode()
        raise Refused(
            Reason.METHOD_NOT_ALLOWED,
            f"Use {allowed} here, not {method[:16].decode('ascii', 'replace')}.",
        )
    return route


def file_of(target: bytes) -> str:
    """What a request of files is about: `/ID`, `/ID/content`, or "" for all of them."""
    match = _FILE.match(target.partition(b"?")[0])
    return "" if match is None else match[1].decode()


def dialect_of(target: bytes) -> Dialect:
    """The dialect in which a fault of this target is told."""
    if target.startswith(_MESSAGES):
        return Dialect.ANTHROPIC
    return Dialect.AZURE_OPENAI if target.startswith(b"/openai/") else Dialect.OPENAI


def is_anthropic(target: bytes, says_so: bool) -> bool:
    """Whether Anthropic's dialect is spoken. `says_so`: the client sends Anthropic's header, which
    decides where the path is of no dialect alone."""
    return target.startswith(_MESSAGES) or (says_so and not target.startswith(_OPENAIS_OWN))


def _variable(path: bytes) -> Route | None:
    deployment = _DEPLOYMENT.match(path)
    if deployment is not None:
        name = unquote(deployment[1].decode("ascii", "replace"))
        return Route(Dialect.AZURE_OPENAI, _EVERYWHERE[deployment[2]], name)
    response = _RESPONSE.match(path)
    if response is not None:
        return Route(dialect_of(path), Page.RESPONSE, response[1].decode())
    if _FILE.match(path) is not None and path.startswith((b"/v1/", b"/openai/")):
        return Route(dialect_of(path), Operation.FILES)
    model = _MODEL.match(path)
    if model is not None and path.startswith((b"/v1/", b"/openai/")):
        name = unquote(model[2].decode("ascii", "replace"))
        return Route(dialect_of(path), Page.MODEL, name)
    return None
