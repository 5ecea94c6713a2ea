"""What a worker process and its parent say to each other: one order in, then lines of events out.

The order goes by stdin, not by argv, because it holds the key and argv is readable by every user
of the machine.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from headrace.services.local.catalogue import FileRole, Kind


class WorkerOrder(Struct, frozen=True, kw_only=True):
    """What one worker process is to load and how to serve it. Never shown by repr: the key."""

    model: str
    kind: Kind
    files: dict[FileRole, str]
    port: int
    key: str
    parent_pid: int
    context_tokens: int
    """Context window of each call."""
    parallel: int
    queue: int
    threads: int
    """0 takes half of the cores this process may use."""
    chat_template: str | None = None
    """Jinja; None takes the one inside the model's file."""

    def __repr__(self) -> str:
        return f"WorkerOrder({self.model}, port {self.port})"


class Loading(Struct, frozen=True, tag_field="event", tag="loading"):
    """`fraction` from 0 to 1 of the way to ready."""

    model: str
    fraction: float


class Ready(Struct, frozen=True, tag_field="event", tag="ready"):
    """The worker answers on its port from now on."""

    model: str


class Failed(Struct, frozen=True, tag_field="event", tag="failed"):
    """The worker gives up and exits. `hint` says what mends it."""

    model: str
    problem: str
    hint: str | None = None


Event = Loading | Ready | Failed

encode_line = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(Event).decode
decode_order = msgspec.json.Decoder(WorkerOrder).decode
