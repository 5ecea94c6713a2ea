"""The words in which a backend's health is told: states, outcomes, permits, changes."""

from __future__ import annotations

import enum

import msgspec
from msgspec import Struct


class State(enum.Enum):
    """What a breaker lets through: all, nothing, one probe at a time, nothing by hand."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"


class Outcome(enum.Enum):
    """What an attempt says about its backend."""

    OK = "ok"
    FAILED = "failed"
    DENIED = "denied"
    """The gateway's own credential was refused."""
    NEUTRAL = "neutral"
    """Nothing: the request was at fault, or the backend asked for a pause."""


class Availability(Struct, frozen=True):
    """Whether a backend may be asked. `until` is the monotonic instant at which that may change,
    None if only a person changes it."""

    ok: bool
    why: str = ""
    until: float | None = None


class Transition(Struct, frozen=True):
    """A change that a person may want to hear of; `why` is "denied" for the one to alert on."""

    before: State
    after: State
    why: str


class Snapshot(Struct, frozen=True):
    """A breaker's state for other workers and replicas, whose clocks differ: only durations."""

    state: State
    hand: int = 0
    """How often persons isolated or restored it, as far as is known: the higher number wins."""
    why: str = ""
    since_s: float = 0.0
    """Seconds since it opened or closed: the newer news wins."""
    open_s: float = 0.0
    """Seconds that it stays open."""
    doublings: int = 0
    paused_s: float = 0.0
    """Seconds that it stays throttled or spent."""
    paused_why: str = ""

    def aged(self, seconds: float) -> Snapshot:
        """The same, so much later."""
        return msgspec.structs.replace(
            self,
            since_s=self.since_s + seconds,
            open_s=max(0.0, self.open_s - seconds),
            paused_s=max(0.0, self.paused_s - seconds),
        )


class Permit:
    """Leave for one attempt; goes back to `record` or `cancel`."""

    __slots__ = ("began", "epoch", "probe", "serial", "used")

    def __init__(self, began: float, epoch: int, serial: int, probe: bool) -> None:
        self.began = began
        self.epoch = epoch
        self.serial = serial
        self.probe = probe
        self.used = False
