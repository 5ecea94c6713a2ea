"""An event of the audit log, and its form in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct, field

TEXT_LIMIT = 200
"""Characters of one text of an event."""
DETAILS_LIMIT = 8
EVENT_BYTES = 1500
"""Of an event on disk: what keeps a proof for one below 4 KB."""


class AuditEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done. Texts are cut to `TEXT_LIMIT`; none may be a secret."""

    action: str
    """What, as `keys.create`, `auth.refused`."""
    actor: str = ""
    """Who: `key:NAME`, `user:NAME`, `local:USER` of the command line, "" if not known."""
    target: str = ""
    """To what: the id of a key, a team, ..."""
    outcome: Literal["done", "refused", "failed"] = "done"
    ip: str = ""
    """The address it came from."""
    tenant: str | None = None
    detail: dict[str, str] = field(default_factory=dict)
    """Further facts by name: what changed, why it was refused."""


_encode = msgspec.json.Encoder().encode


def encoded(event: AuditEvent, n: int, at_unix_s: float, scrub: Callable[[str], str]) -> bytes:
    """The event as JSON, with its number and time. `scrub` takes secrets out of each text."""

    def text(said: str) -> str:
        return scrub(said)[:TEXT_LIMIT]  # cut only after, lest half of a secret remain

    known = AuditEvent(
        action=text(event.action),
        actor=text(event.actor),
        target=text(event.target),
        outcome=event.outcome,
        ip=text(event.ip),
        tenant=None if event.tenant is None else text(event.tenant),
        detail={text(k): text(v) for k, v in list(event.detail.items())[:DETAILS_LIMIT]},
    )
    prefix = b'{"n":%d,"at":%.3f,' % (n, at_unix_s)
    body = prefix + _encode(known)[1:]
    if len(body) > EVENT_BYTES:
        short = msgspec.structs.replace(known, detail={"cut": "the details were too long"})
        body = prefix + _encode(short)[1:]
    return body
