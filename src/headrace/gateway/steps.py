"""What a call's plan says to do next, and what it has done."""

from __future__ import annotations

import enum

from msgspec import Struct

from headrace.errors import Refused
from headrace.gateway.fleet import BackendState
from headrace.gateway.health import Permit


class Move(enum.StrEnum):
    """Why a backend is asked. Strings, for an `Enum` is hashed in Python."""

    FIRST = "first"
    RETRY = "retry"
    """The same backend again."""
    FAILOVER = "failover"
    PROBE = "probe"
    """To see whether a backend has recovered."""
    CONTEXT_FALLBACK = "context_fallback"
    """A backend with a larger context window."""
    RESUME = "resume"
    """Another backend, to go on with the text of a stream that broke off."""
    HEDGE = "hedge"
    """A second backend, since the first takes long."""


class Go:
    """Ask this backend now. Times are monotonic seconds."""

    __slots__ = ("backend", "began", "ended", "move", "permit", "result")

    def __init__(self, backend: BackendState, move: Move, permit: Permit, began: float) -> None:
        self.backend = backend
        self.move = move
        self.permit = permit
        self.began = began
        self.ended: float | None = None
        self.result = "running"


class Wait(Struct, frozen=True):
    """Come back after so many seconds."""

    seconds: float
    why: str


class GiveUp(Struct, frozen=True):
    """No attempt is left. `refused` is what the client is told, None if no backend was asked or
    the last failure is no answer for a client; `retry_after_s` is when a new call makes sense."""

    why: str
    refused: Refused | None
    retry_after_s: float | None


Step = Go | Wait | GiveUp


class Decision(Struct, frozen=True, omit_defaults=True):
    """One line of the explanation of a call."""

    at_s: float
    """Seconds since the call's plan was made."""
    did: str
    """A `Move`, "skipped", "waits" or "gives up"; of a story's end, "refused"."""
    backend: str | None = None
    why: str = ""
    """Of an attempt: its result. Of a refusal: the sentence that the client got."""
    took_s: float | None = None
