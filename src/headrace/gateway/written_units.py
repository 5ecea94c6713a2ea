"""The tenants, teams and users of the configuration, in the registry's form."""

from __future__ import annotations

from headrace.config.schema import Config
from headrace.config.unit_rules import units_in
from headrace.gateway.callers import WrittenUnit
from headrace.gateway.keyring import UnitName


def written_units(config: Config) -> dict[UnitName, WrittenUnit]:
    """By kind, tenant and name."""
    return {
        (unit.kind, unit.tenant, unit.name): WrittenUnit(
            kind=unit.kind,
            name=unit.name,
            tenant=unit.tenant,
            models=unit.terms.models,
            regions=unit.terms.regions,
            limits=unit.terms.limits,
            budgets=unit.terms.budgets,
            suspended=unit.terms.suspended,
        )
        for unit in units_in(config)
    }
