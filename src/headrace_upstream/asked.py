"""What a request asks for: the few fields of its body that change the answer.

Token figures are made from the request, so that anyone can recompute them:
`tokens_in` = for each message 3 + one token per 4 UTF-8 bytes of its text (rounded up) + 85 per
image; + the system text, counted alike; + one per 4 bytes of the `tools` JSON as sent; + 3 for the
answer's start. Embeddings and plain completions count their text only. Of the Responses API each
item of `input` counts as a message, `instructions` as the system text, and a previous response not
at all. A script inside the text counts as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace_upstream.paths import Route
from headrace_upstream.words import count_tokens

_TOKENS_PER_MESSAGE = 3
_TOKENS_PER_IMAGE = 85
_IMAGE_PARTS = frozenset(("image_url", "image", "input_image"))


class Part(Struct):
    type: str = "text"
    text: str | None = None


class Message(Struct):
    role: str = "user"
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or ())


class Item(Struct):
    """An item of the Responses API's `input`."""

    type: str = "message"
    role: str | None = None
    content: str | list[Part] | None = None
    output: str | list[Part] | None = None
    arguments: str = ""

    @property
    def message(self) -> Message:
        return Message(self.role or "", self.content or self.output or self.arguments)


class TextConfig(Struct):
    """The Responses API's `text`."""

    format: dict[str, Any] | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class ResponseFormat(Struct):
    type: str = "text"
    json_schema: dict[str, Any] | None = None


class Body(Struct):
    """The union of all dialects' request bodies, as far as we look."""

    model: str = ""
    messages: list[Message] = []
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    text: TextConfig | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    n: int | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    tools: Raw = Raw(b"")
    tool_choice: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    system: str | list[Part] | None = None
    prompt: str | list[Any] | None = None
    input: str | list[Any] | None = None
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(Body)
_OBJECTS = msgspec.json.Decoder(dict[str, Any])


def body_from(members: dict[str, Any]) -> Body:
    """From members in the words of all dialects. Raises msgspec.MsgspecError."""
    return _DECODER.decode(msgspec.json.encode(members))


class BadBodyError(ValueError):
    """The request body is not what the API takes; the message says why."""


class Asked:
    """One request, read. `script_text` is the text that may carry an inline script."""

    __slots__ = ("body", "items", "model", "route", "tokens_in")

    def __init__(self, route: Route, body: Body) -> None:
        self.route = route
        self.body = body
        self.model = body.model or route.deployment
        self.items = _items(body.input) if route.api == "responses" else []
        self.tokens_in = _tokens_in(body, self.items)

    @property
    def stream(self) -> bool:
        return bool(self.body.stream)

    @property
    def include_usage(self) -> bool:
        options = self.body.stream_options
        return options is not None and bool(options.include_usage)

    @property
    def max_tokens(self) -> int | None:
        body = self.body
        return body.max_output_tokens or body.max_completion_tokens or body.max_tokens

    @property
    def format(self) -> ResponseFormat | None:
        """The form that the answer must have, in the words of a chat."""
        form = None if self.body.text is None else self.body.text.format
        if form is None:
            return self.body.response_format
        return ResponseFormat(form.get("type", "text"), {"schema": form.get("schema")})

    @property
    def last_user_text(self) -> str:
        """The text a script is looked for in, and that `echo` repeats."""
        for message in reversed(self.body.messages or self.items):
            if message.role == "user":
                return message.text
        for text in (self.body.prompt, self.body.input):
            if text is not None:
                return "\n".join(texts_of(text))
        return ""

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools as `{"name", "parameters"}`, whatever the dialect."""
        raw = bytes(self.body.tools)
        listed = msgspec.json.decode(raw, type=list[dict[str, Any]] | None) if raw else None
        return [_tool(tool) for tool in listed or ()]

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """What the precomputed answer depends on; None where it has to be made anew."""
        body = self.body
        if len(body.tools) or body.response_format is not None or body.input is not None:
            return None
        options = body.stream_options
        usage = options is not None and options.include_usage
        limit = body.max_completion_tokens or body.max_tokens
        likely = (body.logprobs, body.top_logprobs)
        return (self.route, self.model, body.stream, usage, limit, body.n, likely)


Reader = Callable[[dict[str, Any], bool], Body]
"""From a dialect's own members, and whether a stream is asked for, to what all have in common."""


def read_asked(route: Route, body: bytes, readers: Mapping[str, Reader]) -> Asked:
    """`readers` are for dialects whose bodies have other members. Raises
    BadBodyError where the body does not fit the API."""
    if not body:
        return Asked(route, Body())
    try:
        reader = readers.get(route.dialect)
        if reader is None:
            return Asked(route, _DECODER.decode(body))
        return Asked(route, reader(_OBJECTS.decode(body), route.api == "chat_stream"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBodyError(str(error)) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise BadBodyError(f"not of this API: {error!r}") from None


def texts_of(text: str | list[Any]) -> list[str]:
    """`prompt` or `input` as a list of texts; token ids are written as decimal numbers."""
    if isinstance(text, str):
        return [text]
    if text and all(isinstance(item, int) for item in text):
        return [" ".join(map(str, text))]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in text]


def _items(given: str | list[Any] | None) -> list[Message]:
    if not isinstance(given, list):
        return [Message("user", given)]
    return [msgspec.convert(item, Item, strict=False).message for item in given]


def _tokens_in(body: Body, items: list[Message]) -> int:
    if items:
        return _tokens_of_chat(items, body.instructions, body.tools)
    if body.input is not None:
        return sum(map(count_tokens, texts_of(body.input)))
    if body.prompt is not None:
        return sum(map(count_tokens, texts_of(body.prompt)))
    return _tokens_of_chat(body.messages, body.system, body.tools)


def _tokens_of_chat(messages: list[Message], system: str | list[Part] | None, tools: Raw) -> int:
    total = 3
    for message in messages:
        content = message.content
        if isinstance(content, str):
            total += _TOKENS_PER_MESSAGE + count_tokens(content)
        else:
            total += _TOKENS_PER_MESSAGE + _tokens_of_parts(content or [])
    if system is not None:
        total += count_tokens(system) if isinstance(system, str) else _tokens_of_parts(system)
    return total + (len(tools) + 3) // 4


def _tokens_of_parts(parts: list[Part]) -> int:
    images = sum(part.type in _IMAGE_PARTS for part in parts)
    return images * _TOKENS_PER_IMAGE + count_tokens("".join(part.text or "" for part in parts))


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    described = tool.get("function") or tool
    return {
        "name": described.get("name", "tool"),
        "parameters": described.get("parameters") or described.get("input_schema") or {},
    }
