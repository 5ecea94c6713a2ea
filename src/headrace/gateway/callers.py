"""From what is written of a key to the caller that it proves: made once, not for each call. Pure.

What a tenant, a team and a user allow are ceilings: a key gets what all of them allow. Their
limits and budgets hold beside the key's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import IpNetwork, KeyTerms, instant_of, networks_of
from headrace.data.registry.records import KeyRecord, UnitRecord
from headrace.errors import Reason, Refused
from headrace.nouns import Caller, Operation, Priority

PRIORITIES = {
    "batch": Priority.BATCH,
    "normal": Priority.NORMAL,
    "critical": Priority.CRITICAL,
}


class Conditions(Struct, frozen=True):
    """What a call must meet beside its key being right. Most keys have none."""

    until_unix_s: float | None = None
    """From then on the key is refused."""
    networks: tuple[IpNetwork, ...] | None = None
    """Where it may be used from; None for everywhere."""
    refusal: str | None = None
    """Why it is refused whatever the call is."""

    def check(self, now_unix_s: float, ip: str) -> None:
        """Raises Refused(UNAUTHENTICATED, ADDRESS_FORBIDDEN)."""
        if self.refusal is not None:
            raise Refused(Reason.UNAUTHENTICATED, self.refusal)
        if self.until_unix_s is not None and now_unix_s >= self.until_unix_s:
            raise Refused(
                Reason.UNAUTHENTICATED,
                "This API key has expired. Whoever runs this gateway can give you a new one.",
            )
        if self.networks is not None and not is_from(ip, self.networks):
            raise Refused(
                Reason.ADDRESS_FORBIDDEN,
                "This API key may not be used from your address. Whoever runs this gateway can "
                "say from where it may.",
            )


class WrittenUnit(UnitRecord, frozen=True, kw_only=True):
    """A tenant, a team or a user of the configuration. The registry may have one of the same name:
    then both hold, each with counts of its own."""


class Known(Struct, frozen=True):
    """Whom a key proves."""

    caller: Caller
    conditions: Conditions | None = None


def is_from(ip: str, networks: Iterable[IpNetwork]) -> bool:
    """Whether an address is in one of the ranges; an IPv4 address in IPv6's clothes counts as
    IPv4. What is no address is in none."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def known_by_terms(key_id: str, terms: KeyTerms) -> Known:
    """Whom a key of the configuration proves. Raises ValueError for what is no date or range."""
    until = None if terms.expires is None else instant_of(terms.expires)
    networks = None if terms.ip_ranges is None else networks_of(terms.ip_ranges)
    caller = _caller(key_id, terms, ())
    if until is None and networks is None:
        return Known(caller)
    return Known(caller, Conditions(until, networks))


def known_by_record(record: KeyRecord, units: Sequence[UnitRecord]) -> list[tuple[bytes, Known]]:
    """Whom each secret of a key proves, and what it is looked up by. `units` are the tenant, the
    team and the user that the key belongs to, as far as they are registered. Raises ValueError."""
    caller = _caller(record.id, record.terms, units)
    refusal = _refusal(record, units)
    terms = record.terms
    expires = None if terms.expires is None else instant_of(terms.expires)
    networks = None if terms.ip_ranges is None else networks_of(terms.ip_ranges)
    found = []
    for version in record.versions:
        ends = [end for end in (expires, version.until_unix_s) if end is not None]
        until = min(ends, default=None)
        plain = until is None and networks is None and refusal is None
        conditions = None if plain else Conditions(until, networks, refusal)
        found.append((version.digest, Known(caller, conditions)))
    return found


def under(known: Known, units: Sequence[UnitRecord]) -> Known:
    """The same caller under what its tenant, team and user allow: of an access token or a key of
    the configuration, which have no record of their own."""
    if not units:
        return known
    caller, conditions, refusal = known.caller, known.conditions, _suspension(units)
    if refusal is not None:
        conditions = replace(conditions or Conditions(), refusal=refusal)
    bounded = replace(
        caller,
        models=_all_of([caller.models, *(unit.models for unit in units)]),
        regions=_all_of([caller.regions, *(unit.regions for unit in units)]),
        shared_limits=_limits_of(units),
        shared_budgets=_budgets_of(units),
    )
    return Known(bounded, conditions)


def _refusal(record: KeyRecord, units: Sequence[UnitRecord]) -> str | None:
    if record.revoked_unix_s is not None:
        return "This API key was revoked. Whoever runs this gateway can give you a new one."
    return _suspension(units)


def _suspension(units: Sequence[UnitRecord]) -> str | None:
    for unit in units:
        if unit.suspended:
            return (
                f"The {unit.kind} that this API key or token belongs to is suspended. Please ask "
                "whoever runs this gateway."
            )
    return None


def _caller(key_id: str, terms: KeyTerms, units: Sequence[UnitRecord]) -> Caller:
    return Caller(
        key_id=key_id,
        user=terms.user,
        team=terms.team,
        tenant=terms.tenant,
        models=_all_of([terms.models, *(unit.models for unit in units)]),
        regions=_all_of([terms.regions, *(unit.regions for unit in units)]),
        tags=tuple(sorted(terms.tags.items())),
        limits=tuple(terms.limits),
        budgets=tuple(terms.budgets),
        shared_limits=_limits_of(units),
        shared_budgets=_budgets_of(units),
        operations=None if terms.operations is None else _operations(terms.operations),
        priority=PRIORITIES[terms.priority],
    )


def _limits_of(units: Iterable[UnitRecord]) -> tuple[tuple[str, LimitRule], ...]:
    return tuple((_whose(unit), rule) for unit in units for rule in unit.limits)


def _budgets_of(units: Iterable[UnitRecord]) -> tuple[tuple[str, BudgetRule], ...]:
    return tuple((_whose(unit), rule) for unit in units for rule in unit.budgets)


def _whose(unit: UnitRecord) -> str:
    where = "written-" if isinstance(unit, WrittenUnit) else ""
    return f"{where}{unit.kind}:{quote(unit.tenant, safe='')}/{quote(unit.name, safe='')}"


def _operations(names: Iterable[str]) -> frozenset[Operation]:
    found = frozenset(map(Operation, names))
    # Who may chat may do so in any dialect, and ask how long the prompt is.
    return found | _CHATS if Operation.CHAT in found else found


_CHATS = {
    Operation.MESSAGES,
    Operation.COUNT_TOKENS,
    Operation.RESPONSES,
    Operation.RESPONSE,
}


def _all_of(allowed: Iterable[Collection[str] | None]) -> frozenset[str] | None:
    """What is in all of the lists that are there; None if there is none."""
    sets = [frozenset(names) for names in allowed if names is not None]
    return frozenset.intersection(*sets) if sets else None
