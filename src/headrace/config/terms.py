"""What is agreed with the holder of a key: the same in `headrace.yaml` and in the registry."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.allowances import BudgetRule, LimitRule

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$",
        description="a name of letters, digits and `. _ : / @ -`, at most 128 characters",
    ),
]
Capability = Literal["vision", "tools", "json_schema"]
Operation = Literal[
    "chat", "completions", "embeddings", "image_generations", "image_edits", "image_variations",
    "speech", "transcriptions", "translations", "rerank", "moderations", "files",
    "realtime",
]  # fmt: skip
PriorityName = Literal["batch", "normal", "critical"]
IpRange = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$",
        description="an address or a range such as `10.0.0.0/8` or `2001:db8::/32`",
    ),
]
Instant = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?$",
        description='a day or an instant in quotes, such as `"2030-12-31"` or '
        '`"2030-12-31T18:00:00Z"`',
    ),
]
TagValue = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@ -]{0,127}$",
        description="a word of letters, digits, blanks and `. _ : / @ -`, at most 128 characters",
    ),
]
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class KeyTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a key belongs to and what it may do."""

    team: Name | None = None
    """The team that calls with this key are counted for."""
    tenant: Name = "default"
    """The tenant that calls with this key are counted for."""
    user: Name | None = None
    """The user that calls with this key are counted for."""
    models: list[Name] | None = None
    """Names of models that this key may use; leave out to allow all."""
    regions: list[Name] | None = None
    """Regions, as backends name them, that may answer this key: no other is ever asked. Backends
    without a `region` count as none of them. Leave out to allow all."""
    ip_ranges: list[IpRange] | None = None
    """Addresses that this key may be used from, such as `10.0.0.0/8`; leave out to allow all."""
    operations: list[Operation] | None = None
    """Request types that this key may make; leave out to allow all."""
    priority: PriorityName = "normal"
    """How important its calls are when the gateway is overloaded; a call may ask for less by
    `x-headrace-priority`."""
    expires: Instant | None = None
    """From when the key is refused: a day (its midnight, UTC) or an instant; leave out for
    never."""
    limits: list[LimitRule] = field(default_factory=list)
    """Limits for this key's calls, beside those under `limits`."""
    budgets: list[BudgetRule] = field(default_factory=list)
    """Budgets for this key's calls, beside those under `budgets`."""
    tags: dict[Name, TagValue] = field(default_factory=dict)
    """Words to sort calls by, in limits, budgets and the ledger."""


def instant_of(text: str) -> float:
    """Unix seconds of a day or an instant. Raises ValueError if there is no such day or time."""
    made = datetime.fromisoformat(text)
    return (made if made.tzinfo is not None else made.replace(tzinfo=UTC)).timestamp()


def written_instant(unix_s: float) -> str:
    """As `instant_of` reads it, to the second."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def network_of(text: str) -> IpNetwork:
    """Raises ValueError for what is no address or range, or has bits set right of its prefix."""
    return ipaddress.ip_network(text)


def networks_of(texts: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Raises ValueError."""
    return tuple(network_of(text) for text in texts)


def is_within(inner: IpNetwork, outer: Iterable[IpNetwork]) -> bool:
    """Whether one of the outer ranges holds all of the inner one."""
    return any(_holds(one, inner) for one in outer)


def _holds(outer: IpNetwork, inner: IpNetwork) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)
