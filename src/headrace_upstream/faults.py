"""The faults a provider can show, by name, each with its parameters.

A fault is written as JSON with its name in `kind`: `{"kind": "cut", "after": 3, "how": "rst"}`.
`F1`..`F20` are the numbers of the fault list in the reliability notes.

`after` always counts content events: those that carry a token of the answer. `0` means after the
stream's preamble (OpenAI's role chunk, Anthropic's `message_start`) and before the first token;
`-1` means after the response head and before any event at all.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Number = int | float


class Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """The base of all faults; `kind` is the name in JSON."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class RateLimited(Fault, frozen=True, tag="rate_limited"):
    """F1. Too many requests, with every form of "come back later" seen in the wild.

    A field that is null sends no such header. Strings go out verbatim, so junk is possible:
    `"retry_after": "-1"`, `"soon"`, `0`.
    """

    status: int = 429
    retry_after: Number | str | None = None
    """`retry-after`: seconds (`20`), a float (`1.5`), or any text."""
    retry_after_ms: Number | str | None = None
    """`retry-after-ms`, as Azure and OpenAI send it."""
    retry_after_date_s: float | None = None
    """`retry-after` as an HTTP-date this many seconds after the response's own Date."""
    reset_requests: str | int | None = None
    """`x-ratelimit-reset-requests`: OpenAI `"6m0s"`, `"12ms"`; Azure `60`; junk `-1`."""
    reset_tokens: str | int | None = None
    """`x-ratelimit-reset-tokens`."""
    reset_rfc3339_s: float | None = None
    """`anthropic-ratelimit-requests-reset`: RFC 3339, this many seconds after the Date."""
    retry_delay_s: float | None = None
    """Google's `RetryInfo` in the body."""
    message: str | None = None
    """The provider's own words when null."""


class Money(Fault, frozen=True, tag="money"):
    """F2. A refusal that waiting does not cure: the account is out of money. No retry-after."""

    form: Literal["insufficient_quota", "spend_limit", "credit_balance", "payment_required"] | (
        None
    ) = None
    """Null takes the dialect's own: `insufficient_quota` (OpenAI, Azure: 429), `spend_limit`
    (Anthropic: 429 `enforced_spend_limit_reached`). `credit_balance` is Anthropic's 400,
    `payment_required` a 402."""


class Reset(Fault, frozen=True, tag="reset"):
    """F4. The request is read, then the connection is reset before any byte of an answer."""


class Hangup(Fault, frozen=True, tag="hangup"):
    """F4. The request is read, then the connection is closed (FIN) without any byte."""


class Silent(Fault, frozen=True, tag="silent"):
    """F5. The request is read and never answered: no head, no byte, until the client leaves."""


class SlowFirstToken(Fault, frozen=True, tag="slow_first_token"):
    """F5. The head comes at once, the first token only after `wait_ms`."""

    wait_ms: float = 20_000.0


class Stall(Fault, frozen=True, tag="stall"):
    """F6. The stream stops after some events, and the connection stays open."""

    after: int = 3
    pings_every_ms: float | None = None
    """Keep-alive comments (OpenAI, Azure) or `ping` events (Anthropic) go on meanwhile."""
    for_ms: float | None = None
    """Go on after this long. Null: stall until the client leaves."""


class Cut(Fault, frozen=True, tag="cut"):
    """F7. The answer ends early, without the protocol's terminal event.

    `how`: `eof` closes (close-delimited unless the behaviour's `framing` says otherwise); `rst`
    resets; `clean_end` ends a chunked body properly; `broken_chunk` announces a chunk, sends half
    of it and closes. A whole answer is cut in the middle of its body.
    """

    after: int = 3
    how: Literal["eof", "rst", "clean_end", "broken_chunk"] = "eof"
    at_byte: int | None = None
    """Cut at this offset of the body's bytes instead of after an event."""


class BadSse(Fault, frozen=True, tag="bad_sse"):
    """F8. After some events comes one that is not what the protocol allows, then the rest.

    `bad_json`: `data: {"id": ` and no more; `garbage`: a line that is not an SSE field, holding
    bytes that are not UTF-8; `no_blank_line`: two events run together; `huge_event`: one valid
    event of `bytes` bytes; `html`: a proxy's error page in the middle of the stream.
    """

    after: int = 3
    form: Literal["bad_json", "garbage", "no_blank_line", "huge_event", "html"] = "bad_json"
    bytes: int = 2 * 1024 * 1024


class ErrorEvent(Fault, frozen=True, tag="error_event"):
    """F10. The provider reports an error inside the stream, in its own words."""

    after: int = 3
    then: Literal["end", "done", "rst"] = "end"
    """`end`: the body ends there; `done`: the terminal event follows all the same."""
    message: str = "The server had an error while processing your request. Sorry about that!"


class WrongBody(Fault, frozen=True, tag="wrong_body"):
    """F11. A success status on something that is no answer."""

    form: Literal["error_object", "html", "empty", "other_json", "truncated_json", "text"] = (
        "error_object"
    )
    status: int = 200


class ContentFilter(Fault, frozen=True, tag="content_filter"):
    """F12. The provider's safety system speaks.

    `refused`: 400 in the provider's words (Anthropic has no such status and answers with
    `stop_reason: refusal`); `finish`: the answer stops after some tokens with
    `finish_reason: content_filter`; `filter_error`: Azure answers 200 and says in
    `content_filter_results` that the filter did not run; `late`: Azure's asynchronous filter shows
    the whole text and condemns it afterwards.
    """

    form: Literal["refused", "finish", "filter_error", "late"] = "refused"
    after: int = 3


class ContextTooLong(Fault, frozen=True, tag="context_too_long"):
    """F13. More tokens than the model can hold, in each provider's words.

    `input` is the dialect's usual message; `max_tokens` and `request_too_large` (413) are
    Anthropic's other two, `bedrock` is Bedrock's.
    """

    form: Literal["input", "max_tokens", "request_too_large", "bedrock"] = "input"
    limit: int = 128_000
    tokens: int = 130_001


class BadToolJson(Fault, frozen=True, tag="bad_tool_json"):
    """F14. A tool call whose arguments are not valid JSON."""

    name: str | None = None
    """Null takes the request's first tool."""
    arguments: str = '{"city": "Zürich", "days": '


class Endless(Fault, frozen=True, tag="endless"):
    """F20. An answer that goes on and on: a valid stream (or a whole body) of `bytes` bytes,
    made as it is sent and never held in memory."""

    bytes: int = 10 * 1024**3
    event_bytes: int = 16 * 1024


class Bomb(Fault, frozen=True, tag="bomb"):
    """F20. A small compressed body that inflates to `bytes` bytes."""

    bytes: int = 1024**3
    encoding: Literal["gzip", "deflate"] = "gzip"


class Hostile(Fault, frozen=True, tag="hostile"):
    """F3. An error body that must not reach a user. `canary` stands in it several times."""

    form: Literal["html", "stack_trace", "hostnames", "keys", "control_characters"] = "html"
    status: int = 502
    canary: str = "CANARY-7f3a"


class WrongContentType(Fault, frozen=True, tag="wrong_content_type"):
    """F11. The right answer under the wrong content type."""

    content_type: str = "text/plain"


class MissingDone(Fault, frozen=True, tag="missing_done"):
    """F7. Every token and the finish reason arrive, the terminal event does not, and the body
    ends cleanly."""


class HugeHeaders(Fault, frozen=True, tag="huge_headers"):
    """F20. `bytes` bytes of response headers over `count` headers, then the right answer."""

    bytes: int = 1024 * 1024
    count: int = 64


class Redirect(Fault, frozen=True, tag="redirect"):
    """A redirect, which must not be followed with a credential."""

    status: int = 302
    location: str = "http://169.254.169.254/latest/meta-data/"


AnyFault = (
    RateLimited
    | Money
    | Reset
    | Hangup
    | Silent
    | SlowFirstToken
    | Stall
    | Cut
    | BadSse
    | ErrorEvent
    | WrongBody
    | ContentFilter
    | ContextTooLong
    | BadToolJson
    | Endless
    | Bomb
    | Hostile
    | WrongContentType
    | MissingDone
    | HugeHeaders
    | Redirect
)
