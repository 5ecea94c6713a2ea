"""What is known of a call while it is on its way."""

from __future__ import annotations

from msgspec import Struct, field

from headrace.gateway.models import Target
from headrace.gateway.telemetry.trace import Trace
from headrace.nouns import Usage

BYTES_PER_TOKEN = 4
"""For estimates where an upstream told nothing: English text in common BPE vocabularies
(https://platform.openai.com/tokenizer). The ledger marks what rests on it."""


class Beside(Struct, frozen=True):
    """What other attempts of a call used and cost than the one that ends it: streams that broke
    off and were continued elsewhere, the loser of two that were asked."""

    usage: Usage
    cost_microusd: int | None


class Progress(Struct):
    """Filled in step by step; the settlement is made of it."""

    status: int = 499
    """What the client saw. 499, as nginx has it, until there is something to see."""
    finish: str = "client_gone"
    target: Target | None = None
    """The last backend that was asked."""
    attempts: int = 0
    first_content_at: float | None = None
    """Monotonic seconds."""
    usage: Usage | None = None
    """Of the attempt that runs or ended the call."""
    cost_microusd: int | None = None
    """Integer micro-dollars, of all attempts; None until priced, or if the price is not known."""
    priced: bool = False
    """The cost is of the upstream's own figures, and will not change."""
    number: int = 0
    """The call's own in the journal; 0 until it has a record there."""
    answered_by: str = ""
    """cache, shared, replay or message, where no backend gave this answer."""
    saved_microusd: int = 0
    """What this answer cost when it was made for another call."""
    cache_tier: str | None = None
    """exact, semantic or kept, where a cache gave this answer."""
    content_events: int = 0
    reason: str | None = None
    sent_upstream: bool = False
    troubles: list[str] = field(default_factory=list)
    """What went wrong on the way, for the log alone."""
    explanation: bytes = b""
    """Header lines for a client that asked why."""
    note: bytes = b""
    """Header lines that tell what of the request the last backend was not sent."""
    estimate: Usage | None = None
    """What stands for the usage while nobody tells it, where that does not go by the body."""
    beside: Beside | None = None
    trace: Trace | None = None
    """None if nobody wants traces."""
    resumes: int = 0
    """Times that another backend was asked to go on with a broken stream."""

    def usage_or_estimate(self, body_bytes: int) -> Usage:
        """Of the last attempt: the upstream's own figures, else what can be known without it."""
        if self.usage is not None:
            return self.usage
        if not self.sent_upstream or self.finish == "refused" or self.answered_by:
            return Usage(source="none")  # an attempt that failed gave no tokens that we know of
        if self.estimate is not None:
            return self.estimate
        return Usage(
            input_tokens=body_bytes // BYTES_PER_TOKEN,
            output_tokens=self.content_events,
            source="estimated",
        )

    def usage_in_all(self, body_bytes: int) -> Usage:
        """Of all attempts."""
        usage = self.usage
        if usage is None:
            usage = self.usage_or_estimate(body_bytes)
        return usage if self.beside is None else added(self.beside.usage, usage)

    def set_aside(self, usage: Usage, cost_microusd: int | None) -> None:
        """Adds what another attempt used and cost."""
        before = self.beside
        if before is not None:
            usage = added(before.usage, usage)
            cost_microusd = total(before.cost_microusd, cost_microusd)
        self.beside = Beside(usage, cost_microusd)
        self.cost_microusd = cost_microusd

    def doubt(self) -> None:
        """The upstream told a usage that no answer can have: it is as if it had told none."""
        self.usage = None
        name = "" if self.target is None else f"{self.target.name} "
        self.troubles.append(f"{name}told a usage that no answer can have: it is estimated")

    def begin_again(self) -> None:
        """The next attempt starts from nothing; what the client saw of the last one remains."""
        self.usage, self.priced = None, False
        self.content_events, self.sent_upstream = 0, False


def added(one: Usage, other: Usage) -> Usage:
    """The sum. It is an estimate if a part of it is."""
    known = other.source if one.source == "none" else one.source
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        audio_input_tokens=one.audio_input_tokens + other.audio_input_tokens,
        audio_output_tokens=one.audio_output_tokens + other.audio_output_tokens,
        source="estimated" if "estimated" in (one.source, other.source) else known,
    )


def total(one: int | None, other: int | None) -> int | None:
    """Micro-dollars; unknown if a part is."""
    return None if one is None or other is None else one + other
