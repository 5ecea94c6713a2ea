"""Tenants, teams and users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec
from msgspec import UNSET

from headrace.config.terms import KeyTerms
from headrace.config.units import DEFAULT_TENANT
from headrace.data.registry.records import UnitKind, UnitRecord, unit_of
from headrace.data.registry.rows import Position, Row, Wanted
from headrace.gateway.administration.checks import check_ceiling, check_list, check_rules, invalid
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.administration.wishes import NewTeam, NewTenant, NewUser, UnitChange


class Units:
    """Each method raises Denied."""

    def __init__(self, desk: Desk, written: Iterable[UnitRecord] = ()) -> None:
        """`written` are those of the configuration: they are there, but not to be changed here."""
        self._desk = desk
        self._written = {(unit.kind, unit.tenant, unit.name): unit for unit in written}

    def create_tenant(self, by: Grant, new: NewTenant) -> UnitRecord:
        by.need(Role.ADMIN)
        by.need_all_tenants()
        return self._create(by, "tenant", new.name, new, None)

    def create_team(self, by: Grant, tenant: str, new: NewTeam) -> UnitRecord:
        by.need(Role.ADMIN)
        self._need_tenant(by, tenant)
        return self._create(by, "team", tenant, new, None)

    def create_user(self, by: Grant, tenant: str, new: NewUser) -> UnitRecord:
        by.need(Role.ADMIN)
        self._need_tenant(by, tenant)
        if new.team is not None and not self._known("team", tenant, new.team):
            raise _missing("team", new.team, tenant)
        return self._create(by, "user", tenant, new, new.team)

    def get(self, by: Grant, kind: UnitKind, tenant: str, name: str) -> UnitRecord:
        by.need(Role.VIEWER)
        return unit_of(self._find(by, kind, tenant, name))

    def has_tenant(self, tenant: str) -> bool:
        """Whether it was made, or the configuration names it."""
        return tenant == DEFAULT_TENANT or bool(self._known("tenant", tenant, tenant))

    def page(
        self, by: Grant, kind: UnitKind, tenant: str | None, after: Position | None, limit: int
    ) -> list[UnitRecord]:
        by.need(Role.VIEWER)
        tenants = by.tenants
        if tenant is not None:
            if tenants is not None and tenant not in tenants:
                raise Denied(Why.NOT_FOUND, f"There is no tenant {tenant!r}.")
            tenants = frozenset((tenant,))
        return [unit_of(row) for row in self._desk.page(Wanted(kind, tenants), after, limit)]

    def update(
        self, by: Grant, kind: UnitKind, tenant: str, name: str, change: UnitChange
    ) -> UnitRecord:
        by.need(Role.ADMIN)
        if kind == "tenant" and by.tenants is not None:
            self._find(by, kind, tenant, name)  # another's is not there
            by.need_all_tenants()  # nobody lifts the own ceiling
        row = self._find(by, kind, tenant, name)
        asked = msgspec.structs.asdict(change)
        values = {field: value for field, value in asked.items() if value is not UNSET}
        unit = msgspec.structs.replace(unit_of(row), **values)
        self._check(unit)
        self._desk.keep(by, f"{kind}s.update", unit, row.revision, sorted(values))
        return unit

    def above(self, terms: KeyTerms) -> list[UnitRecord]:
        """What a key with these terms is under. Raises Denied(INVALID) for what is not there."""
        found: list[UnitRecord] = []
        names: list[tuple[UnitKind, str | None]] = [
            ("tenant", terms.tenant),
            ("team", terms.team),
            ("user", terms.user),
        ]
        for kind, name in names:
            if name is None:
                continue
            units = self._known(kind, terms.tenant, name)
            found += units
            if not units and not (kind == "tenant" and name == DEFAULT_TENANT):
                raise _missing(kind, name, terms.tenant)
        return found

    def _known(self, kind: UnitKind, tenant: str, name: str) -> list[UnitRecord]:
        """The registry's and the configuration's, as far as they are there."""
        rows = self._desk.page(Wanted(kind, frozenset((tenant,)), id=name), None, 1)
        written = self._written.get((kind, tenant, name))
        return [unit_of(row) for row in rows] + ([] if written is None else [written])

    def _need_tenant(self, by: Grant, tenant: str) -> None:
        """Another's tenant is not there for whoever may not see it."""
        seen = by.tenants is None or tenant in by.tenants
        if not seen or not self.has_tenant(tenant):
            raise Denied(Why.NOT_FOUND, f"There is no tenant {tenant!r}.")

    def _create(
        self, by: Grant, kind: UnitKind, tenant: str, new: NewTenant, team: str | None
    ) -> UnitRecord:
        unit = UnitRecord(
            kind=kind,
            name=new.name,
            tenant=tenant,
            team=team,
            models=new.models,
            regions=new.regions,
            limits=new.limits,
            budgets=new.budgets,
            created_unix_s=self._desk.clock(),
        )
        self._check(unit)
        self._desk.keep(by, f"{kind}s.create", unit, 0)
        return unit

    def _check(self, unit: UnitRecord) -> None:
        check_list("models", unit.models)
        check_list("regions", unit.regions)
        check_rules(unit.limits, unit.budgets, self._desk.counts_apart)
        if unit.kind != "tenant":
            tenant = self._known("tenant", unit.tenant, unit.tenant)
            check_ceiling("models", unit.models, tenant)
            check_ceiling("regions", unit.regions, tenant)

    def _find(self, by: Grant, kind: UnitKind, tenant: str, name: str) -> Row:
        if by.tenants is not None and tenant not in by.tenants:
            raise Denied(Why.NOT_FOUND, f"There is no {kind} {name!r}.")
        return self._desk.find(Wanted(kind, frozenset((tenant,)), id=name), f"{kind} {name!r}")


def _missing(kind: UnitKind, name: str, tenant: str) -> Denied:
    match kind:
        case "tenant":
            return invalid(
                kind,
                f"There is no tenant {name!r}. Make it first: `headrace tenants create {name}`.",
            )
        case "team" | "user":
            what = f"There is no {kind} {name!r} in {tenant!r}."
            where = "" if tenant == DEFAULT_TENANT else f" --tenant {tenant}"
            return invalid(kind, f"{what} Make it first: `headrace {kind}s create {name}{where}`.")
        case _:
            assert_never(kind)
