"""What is known of a call while it is on its way."""

from __future__ import annotations

from msgspec import Struct, field

from headrace.gateway.models import Target
from headrace.nouns import Usage

BYTES_PER_TOKEN = 4
"""For estimates where an upstream told nothing: English text in common BPE vocabularies
(https://platform.openai.com/tokenizer). The ledger marks what rests on it."""


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
    cost_microusd: int | None = None
    """Integer micro-dollars; None until priced, or if the price is not known."""
    priced: bool = False
    """The cost is of the upstream's own figures, and will not change."""
    content_events: int = 0
    reason: str | None = None
    sent_upstream: bool = False
    troubles: list[str] = field(default_factory=list)
    """What went wrong on the way, for the log alone."""
    explanation: bytes = b""
    """Header lines for a client that asked why."""

    def usage_or_estimate(self, body_bytes: int) -> Usage:
        """The upstream's own figures, else what can be known without it."""
        if self.usage is not None:
            return self.usage
        if not self.sent_upstream or self.finish == "refused":
            return Usage(source="none")  # an attempt that failed gave no tokens that we know of
        return Usage(
            input_tokens=body_bytes // BYTES_PER_TOKEN,
            output_tokens=self.content_events,
            source="estimated",
        )
