"""Where administration tells what it did."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct, field

Outcome = Literal["done", "refused", "failed"]


class AuditEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done. None of the texts is a secret."""

    action: str
    """What, as `keys.create`, `auth.refused`."""
    actor: str = ""
    """Who: `key:ID`, `local:USER` of the command line, "" if not known."""
    target: str = ""
    """To what: the id of a key, a team, ..."""
    outcome: Outcome = "done"
    ip: str = ""
    """The address it came from."""
    tenant: str | None = None
    detail: dict[str, str] = field(default_factory=dict)
    """Further facts by name: what changed, why it was refused."""


class AuditSink(Protocol):
    """Keeps events."""

    def append(self, event: AuditEvent) -> None:
        """It is kept when this returns. Raises OSError: what cannot be told must not be done."""
        ...


class NoAudit:
    """Keeps none."""

    def append(self, event: AuditEvent) -> None:
        pass
