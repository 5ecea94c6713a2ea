"""What the journal holds: the records of calls, as JSON lines."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from headrace.nouns import Usage

Tags = tuple[tuple[str, str], ...]


class SegmentHead(Struct, frozen=True, tag="segment", tag_field="kind"):
    """The first line of each file."""

    run: str
    """Name of the process's life: 24 hex digits, the first 16 its beginning in nanoseconds."""
    segment: int
    """0, 1, 2, ... of the run."""
    window_bytes: int
    """Lines do not lie across multiples of this; what a line leaves before one is zeros."""
    next_seq: int
    """Of the first record that follows."""


class Intent(Struct, frozen=True, tag="intent", tag_field="kind", omit_defaults=True, gc=False):
    """A call that is about to be sent to a backend: all that is needed to account for it, should
    nothing more be heard of it."""

    seq: int
    """Of this record in its run."""
    number: int
    """Of the call: `seq` of its first record."""
    attempt: int
    """Of this call: each attempt has an intent of its own."""
    at_us: int
    """Unix microseconds."""
    call: str
    """The client's request id, which it may use twice."""
    dialect: str
    operation: str
    model: str
    """As the client wrote it."""
    key: str
    tenant: str
    backend: str
    provider: str
    """Whose prices apply."""
    priced_as: str
    """The model's name for prices."""
    region: str | None = None
    used_model: str | None = None
    """The backend's own name of the model, where it has one."""
    team: str | None = None
    user: str | None = None
    tags: Tags = ()
    stream: bool = False
    input_tokens: int = 0
    """Reserved, or estimated from the body's length."""
    output_tokens: int | None = None
    """Reserved; None where nothing bounds it."""
    bound_microusd: int | None = None
    """Reserved: what it can cost at most; None where nobody has reckoned it."""


class Settlement(
    Struct, frozen=True, tag="settlement", tag_field="kind", omit_defaults=True, gc=False
):
    """How a call ended: the ledger's row. It holds all of it, so that it needs no intent."""

    seq: int
    number: int
    at_us: int
    """Unix microseconds of the call's end."""
    call: str
    dialect: str
    operation: str
    model: str
    key: str
    tenant: str
    status: int
    finish: str
    """complete, incomplete, refused, client_gone."""
    answered_by: str
    """upstream, cache, shared, repeat, message or nobody."""
    attempts: int
    latency_us: int
    backend: str | None = None
    """The last that was asked."""
    region: str | None = None
    used_model: str | None = None
    team: str | None = None
    user: str | None = None
    tags: Tags = ()
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    usage_source: Literal["upstream", "estimated", "none"] = "none"
    cost_microusd: int | None = 0
    """None: tokens were used and their price is not known."""
    saved_microusd: int = 0
    """What the answer would have cost, had it not been at hand."""
    price_version: str = ""
    ttft_us: int | None = None
    """From the request to the first content of its answer."""
    reason: str | None = None
    """Why it was refused or failed: a `Reason` value."""
    cache_write_tokens: int = 0
    cache_tier: str | None = None
    """Of an answer from a cache: exact, semantic, or kept (for the day when no backend answers)."""
    cut_at: int | None = None
    """The cap of tokens, by rule, that the answer reached: it may have ended there."""
    cut_tokens: int | None = None
    """By how many the client had asked for more than that; None if it had named no number."""
    cut_microusd: int | None = None
    """What these would have cost at most; None if their price is not known."""

    def usage(self) -> Usage:
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.audio_input_tokens,
            self.audio_output_tokens,
            self.usage_source,
            self.cache_write_tokens,
        )


Record = Intent | Settlement


class Opening(Struct, frozen=True, gc=False):
    """An intent that is read no further than it must be: most are settled soon after."""

    seq: int
    number: int
    attempt: int
    line: bytes = b""
    """The intent as it was written."""

    def intent(self) -> Intent:
        return _intents.decode(self.line)


_intents = msgspec.json.Decoder(Intent)
