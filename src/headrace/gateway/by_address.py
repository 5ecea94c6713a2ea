"""Whether anything that is decided of a call goes by its client's address. Pure."""

from __future__ import annotations

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.limit_rules import terms_in
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms
from headrace.config.units import UnitTerms
from headrace.data.registry.records import UnitRecord
from headrace.gateway.limits.rulebook import goes_by


def is_by_address(config: Config) -> bool:
    """As far as the configuration says."""
    rules: tuple[LimitRule | BudgetRule, ...] = (*config.limits, *config.budgets)
    return any(goes_by(rule, "ip") for rule in rules) or any(map(brings_address, terms_in(config)))


def brings_address(terms: KeyTerms | UnitTerms | UnitRecord) -> bool:
    """What belongs to one key, token, tenant, team or user."""
    if isinstance(terms, KeyTerms) and terms.ip_ranges is not None:
        return True
    rules: tuple[LimitRule | BudgetRule, ...] = (*terms.limits, *terms.budgets)
    return any(goes_by(rule, "ip") for rule in rules)
