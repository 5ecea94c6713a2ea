"""The keys that one worker knows, by digest: virtual ones, kept up with the registry by the rows
that changed, and those of the configuration. A call looks up here and nowhere else.

Equal parts of callers (what a team's keys have in common) are held once, so that a hundred
thousand keys take little memory.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from headrace.allowances import BudgetRule
from headrace.data.registry.records import KeyRecord, UnitRecord, key_of, unit_of
from headrace.data.registry.rows import Row
from headrace.gateway.by_address import brings_address
from headrace.gateway.callers import Known, known_by_record, under

log = logging.getLogger("headrace.keyring")

UnitName = tuple[str, str, str]
"""Kind, tenant and name."""
T = TypeVar("T", bound=Hashable)


class Keyring:
    """`known` and `own` are what calls look up in. Not for use from several threads at once, but
    for reads."""

    def __init__(self, written: Mapping[UnitName, UnitRecord] | None = None) -> None:
        """`written` are the tenants, teams and users of the configuration."""
        self.known: dict[bytes, Known] = {}
        """Of the registry."""
        self.own: dict[bytes, Known] = {}
        """Of the configuration."""
        self._own_written: Mapping[bytes, Known] = {}
        """The same, without what is above them."""
        self._written = {} if written is None else written
        self._taken_under = self._written
        """What was written when `known` was made."""
        self.revision = 0
        self.bounded_by: str | None = None
        """One of them that brings limits or budgets with it, in words."""
        self.by_address = False
        """Any of them, now or before, went by the client's address."""
        self._digests: dict[str, tuple[bytes, ...]] = {}
        """By key id, for those that change."""
        self._units: dict[UnitName, UnitRecord] = {}
        self._shared: dict[Hashable, Hashable] = {}

    @property
    def bounded(self) -> bool:
        """Any of them brings limits or budgets with it."""
        return self.bounded_by is not None

    def __len__(self) -> int:
        return len(self._digests)

    @property
    def stale(self) -> bool:
        """What is written above the registry's keys has changed: they are to be read again."""
        return self._taken_under is not self._written

    def write(self, units: Mapping[UnitName, UnitRecord], own: Mapping[bytes, Known]) -> None:
        """What the configuration says from now on."""
        if units != self._written:
            self._written = units
        self._own_written = own
        self._settle_own()

    def empty(self) -> Keyring:
        """Another, for the same configuration."""
        return Keyring(self._written)

    def concerns_units(self, rows: Iterable[Row]) -> bool:
        """Whether the rows change what holds for keys that are not among them."""
        return any(row.kind in ("tenant", "team", "user") for row in rows)

    def become(self, other: Keyring) -> None:
        """Takes over what another knows, at once. The other is of no more use."""
        self.known, self.revision = other.known, other.revision
        self.bounded_by, self.by_address = other.bounded_by, other.by_address
        self._digests, self._units, self._shared = other._digests, other._units, other._shared
        self._taken_under = other._taken_under
        self._settle_own()

    def take(self, rows: Iterable[Row]) -> None:
        """Takes up rows that changed, in the order of their changes. A unit among them changes
        only the keys that come after it: the caller gives all rows then."""
        keys: list[KeyRecord] = []
        for row in rows:
            try:
                if row.kind == "key":
                    keys.append(key_of(row))
                elif row.kind != "admin_key":
                    unit = unit_of(row)
                    self._units[unit.kind, unit.tenant, unit.name] = unit
                    # Also without a key: callers with access tokens may be under it.
                    if unit.limits or unit.budgets:
                        self.bounded_by = f"the {unit.kind} {unit.name!r}"
                        self.by_address |= brings_address(unit)
            except msgspec.MsgspecError as error:
                self._leave_out(row, error)
            self.revision = max(self.revision, row.revision)
        for key in keys:
            self._take_key(key)

    def _take_key(self, key: KeyRecord) -> None:
        try:
            found = known_by_record(key, self._units_of(key))
        except ValueError as error:
            log.error("a key is left out", extra={"detail": f"{key.id}: {error}"})
            found = []
        self.by_address |= key.revoked_unix_s is None and brings_address(key.terms)
        for digest in self._digests.pop(key.id, ()):
            self.known.pop(digest, None)
        for digest, known in found:
            self.known[digest] = self._with_shared(known)
            if known.caller.bounded and key.revoked_unix_s is None:
                self.bounded_by = f"the key {key.name!r} ({key.id})"
        self._digests[key.id] = tuple(digest for digest, _ in found)

    def _leave_out(self, row: Row, error: Exception) -> None:
        """A key that cannot be read opens nothing, not even what it did before."""
        log.error("a row is left out", extra={"detail": f"{row.kind} {row.id}: {error}"})
        if row.kind == "key":
            for digest in self._digests.pop(row.id, ()):
                self.known.pop(digest, None)

    def _units_of(self, key: KeyRecord) -> list[UnitRecord]:
        return self.units(key.terms.tenant, key.terms.team, key.terms.user)

    def units(self, of: str, team: str | None, user: str | None) -> list[UnitRecord]:
        """The tenant, the team and the user of a caller, as far as they are registered or
        written."""
        names = (("tenant", of, of), ("team", of, team), ("user", of, user))
        return [
            unit
            for kind, tenant, name in names
            if name is not None
            for units in (self._units, self._written)
            if (unit := units.get((kind, tenant, name))) is not None
        ]

    def budgets(self) -> Iterator[tuple[str, frozenset[str] | None, BudgetRule]]:
        """The registry's own, of whoever is not refused: whose each is, in words; the models that
        its calls can be for, None for all; and the budget."""
        for unit in self._units.values():
            models = None if unit.models is None else frozenset(unit.models)
            for rule in () if unit.suspended else unit.budgets:
                yield f"the {unit.kind} {unit.name!r}", models, rule
        for key_id, digests in self._digests.items():
            known = self.known[digests[0]] if digests else None
            if known is None or not known.caller.budgets:
                continue
            if known.conditions is None or known.conditions.refusal is None:
                for rule in known.caller.budgets:
                    yield f"the key {key_id}", known.caller.models, rule

    def _settle_own(self) -> None:
        """Puts the configuration's keys under what is above them now."""
        settled = {}
        for digest, known in self._own_written.items():
            caller, before = known.caller, self.own.get(digest)
            now = under(known, self.units(caller.tenant, caller.team, caller.user))
            # The same object, not its twin: what is kept by caller finds it at a glance.
            settled[digest] = before if before is not None and before == now else now
        self.own = settled

    def _with_shared(self, known: Known) -> Known:
        caller = known.caller
        one = msgspec.structs.replace(
            caller,
            user=self._once(caller.user),
            team=self._once(caller.team),
            tenant=self._once(caller.tenant),
            models=self._once(caller.models),
            regions=self._once(caller.regions),
            tags=self._once(caller.tags),
            operations=self._once(caller.operations),
        )
        return msgspec.structs.replace(known, caller=one)

    def _once(self, value: T) -> T:
        return self._shared.setdefault(value, value)  # type: ignore[return-value]
