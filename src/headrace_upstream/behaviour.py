"""Behaviour: how one call is answered. The same JSON in a script file, a request or a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from headrace_upstream.faults import AnyFault


class ToolCall(Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call in the answer."""

    name: str | None = None
    """Null takes the request's first tool."""
    arguments: str | dict[str, Any] | None = None
    """An object, or text sent verbatim. Null makes the smallest instance of the tool's schema."""


class Usage(Struct, frozen=True, forbid_unknown_fields=True):
    """Overrides of the token figures that the answer reports."""

    input: int | None = None
    output: int | None = None
    cached: int = 0
    """Input tokens read from the provider's prompt cache."""
    cache_write: int = 0
    """Anthropic: input tokens written to it."""
    reasoning: int = 0
    """Output tokens spent on reasoning."""


class Behaviour(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a call is answered. Every field has a default; an empty object is a plain answer."""

    # What the answer says.
    tokens: int = 20
    """Length of the answer in tokens, where no text is given. One token is one stream event."""
    text: str | None = None
    """The answer's text, cut into tokens of at most four characters."""
    pieces: list[str] | None = None
    """The answer's tokens, exactly as given."""
    echo: bool = False
    """Answer with the last user message's text (without its script)."""
    thinking: str | None = None
    """Think this before the answer: a signed block in Anthropic's format, `reasoning_content` in
    OpenAI's, as compatible servers have it."""
    tool_calls: list[ToolCall] | None = None
    """Call these tools instead of answering with text."""
    finish: str | None = None
    """The finish reason, in the dialect's words. Null: the one that fits."""
    model: str | None = None
    """The model the answer names. Null: the one asked for."""
    usage: Usage = Usage()
    report_usage: bool = True
    """False leaves the usage out, as some compatible servers do."""
    dimensions: int = 1536
    """Length of an embedding, where the request does not say."""

    # When it says it.
    head_ms: float = 0.0
    """Wait before the response head."""
    ttft_ms: float = 0.0
    """Wait between the head and the first token."""
    gap_ms: float = 0.0
    """Wait between two tokens. A whole answer waits as long as its stream would take."""

    # How the bytes go out.
    framing: Literal["auto", "length", "chunked", "close"] = "auto"
    """`auto`: content-length for whole answers, chunked for streams. `close`: until the end of
    the connection."""
    writes: Literal["burst", "each", "one"] = "burst"
    """Streams without gaps: `burst` frames each event as its own HTTP chunk and hands all of them
    to the socket at once; `each` makes one write per event, a turn of the event loop apart; `one`
    puts the whole stream into one HTTP chunk."""
    split: list[int] | int | Literal["utf8"] | None = None
    """Cut the body's bytes, whatever the events: at these offsets, into pieces of n bytes, or
    (`utf8`) inside every multi-byte character. Each piece is its own HTTP chunk and write."""
    split_gap_ms: float = 0.0
    """Wait between two such pieces."""
    eol: Literal["lf", "crlf"] = "lf"
    """Line ends of the event stream."""
    comment_every: int = 0
    """An SSE comment (`: keep-alive`) before every nth event; 0 for none."""
    keep_alive: bool = True
    """False sends `connection: close` and closes after the answer."""

    # Head.
    status: int = 200
    """Any other than 2xx answers with the provider's error body for it: 401, 500, 503, 529."""
    headers: dict[str, str] = {}
    """More response headers; the same name replaces."""
    date_skew_s: float = 0.0
    """How far the provider's clock (the Date header and all dates) is off."""
    require_key: str | None = None
    """When set, a request with another key is refused with 401."""

    fault: AnyFault | None = None

    @property
    def is_plain(self) -> bool:
        """Answered from precomputed bytes: no fault, no wait, nothing unusual on the wire."""
        return self._is_bare and self.gap_ms == self.ttft_ms == self.head_ms == 0

    @property
    def _is_bare(self) -> bool:
        return (
            self.fault is None
            and self.status == 200
            and self.framing == "auto"
            and self.writes == "burst"
            and self.split is None
            and self.eol == "lf"
            and not self.comment_every
            and self.keep_alive
            and not self.headers
            and not self.date_skew_s
            and self.require_key is None
        )


def behaviour_from(overlay: Mapping[str, Any] | Behaviour, base: Behaviour) -> Behaviour:
    """`base` with the fields that `overlay` gives. A fault may be given by name alone.

    Raises msgspec.ValidationError (a sentence that names the field) on an unknown field or value.
    """
    if isinstance(overlay, Behaviour):
        return overlay
    given = dict(overlay)
    if isinstance(given.get("fault"), str):
        given["fault"] = {"kind": given["fault"]}
    merged = {name: getattr(base, name) for name in base.__struct_fields__} | given
    return msgspec.convert(msgspec.to_builtins(merged), Behaviour)
