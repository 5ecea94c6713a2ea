"""How an attempt on a backend can fail, sorted by what has to follow from it."""

from __future__ import annotations

import enum

from msgspec import Struct

from headrace.errors import Refused


class Kind(enum.Enum):
    """What went wrong. F-numbers are those of the faults in docs/faults.md."""

    THROTTLED = "throttled"
    """429: leave the backend alone until an instant; no fault of its health (F1)."""
    SPENT = "spent"
    """429 or 402 that means money: out for long, never retried (F2)."""
    SERVER = "server"
    """500, 502, 503, 504, 529, or an error object where an answer was due (F3, F10, F11)."""
    UNREACHABLE = "unreachable"
    """Refused, DNS, TLS, reset before any byte: surely not worked on, safe to repeat (F4)."""
    STALE = "stale"
    """A kept connection had ended, as far as can be told: no fault of the backend. It may have got
    the request all the same."""
    SLOW = "slow"
    """No first token, or no whole answer, in time (F5)."""
    CUT = "cut"
    """Broke off or went silent before its end, or malformed (F6, F7, F8)."""
    DENIED = "denied"
    """401 or 403: the gateway's own credential is not accepted."""
    BUSY_HERE = "busy_here"
    """The local queue or the concurrency limit in front of the backend is full."""
    CONTEXT = "context"
    """The conversation is longer than the model's window (F13)."""
    FILTERED = "filtered"
    """The provider's content filter refused it (F12)."""
    UNSUPPORTED = "unsupported"
    """The backend's dialect cannot express the request: it was not sent. Another may."""
    REJECTED = "rejected"
    """The request itself is at fault: another backend would say the same."""
    NO_SUCH_MODEL = "no_such_model"
    """404: this backend does not have the model it is configured with."""


class Failure(Struct, frozen=True):
    """One failed attempt. `refused` is what the client is told if it was the last one."""

    kind: Kind
    refused: Refused
    retry_after_s: float | None = None
    """Seconds that the upstream asked to be left alone, None if it said nothing usable."""


class AttemptFailed(Exception):  # noqa: N818 - says what happened
    """Raised by an attempt before its commit point."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind.value)
        self.failure = failure
