"""OpenAI's Responses API, read as little as policy needs.

Whole responses and their events: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming. All that is forwarded keeps its
bytes.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from headrace.nouns import Usage
from headrace.services.answer_json import ANYTHING, answer_of, event_of, present
from headrace.services.counts import Count
from headrace.services.openai_wire import DONE_DATA
from headrace.services.service import BadAnswer, EventRead, StreamReader, WholeRead

SEALED = b"headrace-"
"""Begins `encrypted_content` that the gateway made of other providers' signatures."""
COMPLETED = "completed"
INCOMPLETE = "incomplete"


class _InputDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: Count | None = None


class UsageRead(Struct, gc=False):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None

    @property
    def tokens(self) -> Usage:
        of_input = self.input_tokens_details or _InputDetails()
        of_output = self.output_tokens_details or _OutputDetails()
        return Usage(
            self.input_tokens or 0,
            self.output_tokens or 0,
            of_input.cached_tokens or 0,
            of_output.reasoning_tokens or 0,
            cache_write_tokens=of_input.cache_write_tokens or 0,
        )


class _Why(Struct, gc=False):
    reason: str | None = None


class _Response(Struct, gc=False):
    status: str | None = None
    output: list[Raw] | None = None
    usage: UsageRead | None = None
    incomplete_details: _Why | None = None
    error: Raw = Raw(b"")

    @property
    def finish(self) -> str:
        """Why it ended."""
        if self.status == INCOMPLETE and self.incomplete_details is not None:
            return self.incomplete_details.reason or INCOMPLETE
        return self.status or COMPLETED

    @property
    def tokens(self) -> Usage | None:
        return None if self.usage is None else self.usage.tokens


class _Item(Struct, gc=False):
    type: str = ""


class _Event(Struct, gc=False):
    type: str
    response: _Response | None = None
    item: _Item | None = None
    error: Raw = Raw(b"")


_wholes = msgspec.json.Decoder(_Response, strict=False)
_events = msgspec.json.Decoder(_Event, strict=False)

EMPTY_ITEMS = frozenset({"message", "reasoning"})
"""Items that begin with nothing in them: what they say comes in deltas."""
_BEFORE_CONTENT = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
_FAULTS = ("response.failed", "response.cancelled")
_DELTA = b'{"type":"response.output_text.delta"'


class _Thought(Struct, gc=False):
    type: str | None = None
    encrypted_content: str | None = None


_items = msgspec.json.Decoder(list[Raw])
_thoughts = msgspec.json.Decoder(_Thought, strict=False)
_REASONING = b'"reasoning"'
DROPPED = b"x-headrace-dropped: input.reasoning\r\n"


def without_foreign_thinking(members: dict[str, Raw], *, kept: bool) -> bytes:
    """Takes out of `input` the thinking that another provider sealed, which OpenAI refuses, or any
    if the gateway `kept` it: OpenAI looks for such items among its own. Returns the header line
    that tells; b"" if nothing went."""
    given = bytes(members.get("input", b""))
    if _REASONING not in given or not (kept or SEALED in given):
        return b""
    items = _items.decode(given)
    left = [item for item in items if not _is_foreign(item, kept)]
    if len(left) == len(items):
        return b""
    members["input"] = Raw(msgspec.json.encode(left))
    return DROPPED


def _is_foreign(item: Raw, kept: bool) -> bool:
    try:
        thought = _thoughts.decode(item)
    except msgspec.MsgspecError:
        return False
    sealed = (thought.encrypted_content or "").startswith(SEALED.decode())
    return thought.type == "reasoning" and (kept or sealed)


def read_whole(body: bytes) -> WholeRead:
    """Reads a 200. Raises BadAnswer if it is no response that has ended."""
    whole = answer_of(_wholes, body)
    if present(whole.error):
        return WholeRead(usage=None, error=bytes(whole.error))
    if whole.output is None or whole.status not in (None, COMPLETED, INCOMPLETE):
        raise BadAnswer("a JSON object without the answer's members")
    return WholeRead(whole.tokens, whole.finish)


class ResponsesStreamReader(StreamReader):
    """Reads the events of a response. All reach the client as they came, but for a fault."""

    __slots__ = ()

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is None:
            return EventRead(event)
        if data.startswith(_DELTA):  # nearly every event; that it is JSON is all that matters
            event_of(ANYTHING, data)
            return EventRead(event, content=True)
        if data == DONE_DATA:
            return EventRead(b"")  # what some servers send behind the end decides nothing
        read = event_of(_events, data)
        kind = read.type
        if kind in ("response.completed", "response.incomplete"):
            return _end(event, read)
        if kind == "error":
            shown = bytes(read.error) if read.error else data
            return EventRead(b"", special=True, error=shown)
        if kind in _FAULTS:
            shown = data if read.response is None else bytes(read.response.error) or data
            return EventRead(b"", special=True, error=shown)
        if kind == "response.output_item.added":
            return EventRead(event, read.item is not None and read.item.type not in EMPTY_ITEMS)
        known = kind.startswith("response.") and kind not in _BEFORE_CONTENT
        return EventRead(event, content=known)


def _end(event: bytes, read: _Event) -> EventRead:
    response = read.response
    if response is None:
        raise BadAnswer("an end without its response")
    if present(response.error):
        return EventRead(b"", special=True, error=bytes(response.error))
    return EventRead(
        event, special=True, terminal=True, finish=response.finish, usage=response.tokens
    )
