"""An event of the audit log, and its form in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, field

from headrace.data.audit_said import commit, encode_said

TEXT_LIMIT = 200
"""Characters of one text of an event."""
DETAILS_LIMIT = 8
PERSONAL_BYTES = 500
PERSONAL_CUT = 40
IMPERSONAL = ("key:", "config:")
"""Actors that are no persons by name."""
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


class _Told(AuditEvent, frozen=True, kw_only=True, omit_defaults=True):
    """As it stands in the file."""

    kept: dict[str, str] = {}
    """Commitments to what stands beside it, by field: see `audit_said`."""


_encode = msgspec.json.Encoder().encode


def encoded(
    event: AuditEvent, n: int, at_unix_s: float, scrub: Callable[[str], str]
) -> tuple[bytes, bytes | None]:
    """The event as JSON, with its number and time, and what it commits to. `scrub` takes secrets
    out of each text."""

    def text(said: str) -> str:
        return scrub(said)[:TEXT_LIMIT]  # cut only after, lest half of a secret remain

    personal = {name: text(getattr(event, name)) for name in _personal(event)}
    if len(_encode(personal)) > PERSONAL_BYTES:
        personal = {name: said[:PERSONAL_CUT] for name, said in personal.items()}
    kept, said = commit(personal)
    known = _Told(
        action=text(event.action),
        actor="" if "actor" in kept else text(event.actor),
        target="" if "target" in kept else text(event.target),
        outcome=event.outcome,
        kept=kept,
        tenant=None if event.tenant is None else text(event.tenant),
        detail={text(k): text(v) for k, v in list(event.detail.items())[:DETAILS_LIMIT]},
    )
    prefix = b'{"n":%d,"at":%.3f,' % (n, at_unix_s)
    body = prefix + _encode(known)[1:]
    if len(body) > EVENT_BYTES:
        short = msgspec.structs.replace(known, detail={"cut": "the details were too long"})
        body = prefix + _encode(short)[1:]
    return body, encode_said(said) if said else None


def _personal(event: AuditEvent) -> Iterator[str]:
    """The fields that say who a person is or where: keys have ids, which say it to nobody who does
    not know the registry."""
    if event.actor and not event.actor.startswith(IMPERSONAL):
        yield "actor"
    if event.target and event.action.startswith("users."):
        yield "target"
    if event.ip:
        yield "ip"
