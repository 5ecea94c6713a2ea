"""What is measured and told of calls. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is measured and told of calls. Never a word of a prompt or an answer."""

    metrics: bool | None = None
    """Count calls, times, tokens and cost for `/metrics` on the admin port. Leave out to do so if
    there is an admin port."""
    tenant_labels: Annotated[int, Meta(ge=0, le=10_000)] = 100
    """Tenants that metrics tell apart; all further ones are counted as `other`."""
