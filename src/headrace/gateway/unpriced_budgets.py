"""Budgets in dollars over models whose price is not known: such a budget refuses each of their
calls, which is seldom meant, and is told before the first call comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace.allowances import BudgetRule
from headrace.config.backends import AzureOpenAIBackend
from headrace.config.key_rules import ANY_MODEL
from headrace.config.loading import Loaded
from headrace.config.located import Located
from headrace.config.masking import quoted, shown
from headrace.config.problems import Findings, KeyPath, Problem
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms
from headrace.config.unit_rules import units_in
from headrace.gateway.own_prices import own_prices
from headrace.gateway.priced_backends import seller_of
from headrace.gateway.prices import PriceBook

MOST_NAMED = 3
Names = frozenset[str] | None
"""Of models; None for all."""


def unpriced_budgets(loaded: Loaded) -> list[Problem]:
    """A warning for each budget that refuses calls since it cannot reckon what they cost."""
    config = loaded.config
    found = [(path, rule, names) for path, rule, names in _budgets(config) if needs_price(rule)]
    if not found:
        return []
    unpriced = UnpricedModels(config)
    findings = Findings(str(loaded.source))
    located = Located(dict(loaded.places), findings)
    for path, rule, names in found:
        models = unpriced.of(_both(names, _listed(rule.only.get("model"))))
        if models:
            located.warning(path, unpriced.told(models), unpriced.remedy(models))
    return sorted(findings.warnings, key=lambda p: (p.line, p.column))


def unpriced_in_registry(
    config: Config, budgets: Iterable[tuple[str, Names, BudgetRule]]
) -> list[str]:
    """The same for budgets that stand in no file, each with whose it is and the models that it can
    be for: a sentence for each set of models without a price."""
    found = [(whose, names, rule) for whose, names, rule in budgets if needs_price(rule)]
    if not found:
        return []
    unpriced = UnpricedModels(config)
    known: dict[Names, dict[str, list[str]]] = {}
    told: dict[str, dict[str, None]] = {}
    for whose, own, rule in found:
        names = _both(own, _listed(rule.only.get("model")))
        if names not in known:  # many keys are for the same models
            known[names] = unpriced.of(names)
        if models := known[names]:
            told.setdefault(f"{unpriced.told(models)}. {unpriced.remedy(models)}", {})[whose] = None
    return [f"budgets of {_first(list(who))}: {sentence}" for sentence, who in told.items()]


def _first(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join((*names[:MOST_NAMED], *((f"{more:,} more",) if more > 0 else ())))


def needs_price(rule: BudgetRule) -> bool:
    """Whether it refuses what it knows no price of."""
    return rule.usd is not None and rule.stop and rule.unpriced == "refuse"


class UnpricedModels:
    """Which models of a configuration have a backend whose price is not known."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._prices = PriceBook.shipped(own_prices(config.prices))
        self._sellers = {
            name: seller_of(backend, self._prices) for name, backend in config.backends.items()
        }

    def of(self, names: Names) -> dict[str, list[str]]:
        """Backends without a known price by model, of these models or of all. Of a model that has
        any, each call is refused: another attempt may be paid to any backend."""
        models = self._config.models
        found = {}
        for name in models if names is None else sorted(names):
            model = models.get(name) or models.get(ANY_MODEL)
            tiers = () if model is None else (*model.pools, model.context_fallback)
            backends = dict.fromkeys(b for tier in tiers for b in tier if self._lacks(b, name))
            if backends:
                found[name] = list(backends)
        return found

    def told(self, models: Mapping[str, Sequence[str]]) -> str:
        """For a sentence: the models, and the backends that lack a price."""
        texts = [
            f"{quoted(n)} (at {', '.join(map(shown, b[:MOST_NAMED]))})" for n, b in models.items()
        ]
        if len(texts) > MOST_NAMED:
            texts = [*texts[:MOST_NAMED], f"{len(texts) - MOST_NAMED} more"]
        model = "model" if len(models) == 1 else "models"
        its = "its" if len(models) == 1 else "their"
        return (
            f"no price is known of the {model} {', '.join(texts)}, so all {its} calls are refused"
        )

    def remedy(self, models: Mapping[str, Sequence[str]]) -> str:
        """What to write for the first of them; the others go the same way."""
        name, backends = next(iter(models.items()))
        first = backends[0]
        model = self._sellers[first][1] or ("MODEL" if name == ANY_MODEL else name)
        azure = isinstance(self._config.backends[first], AzureOpenAIBackend)
        other = "`model: NAME`" if azure else "`priced_as: PROVIDER/MODEL`"
        return (
            f'Write what you pay, as in `prices: {{"{shown(model)}": {{input: 0.50, output: '
            f"1.50}}}}` (US dollars for a million tokens), or {other} at the backend "
            f"{quoted(first)}; or bound `tokens` in place of `usd`."
        )

    def _lacks(self, backend: str, name: str) -> bool:
        if backend not in self._sellers:
            return False
        provider, model = self._sellers[backend]
        if model is None and name == ANY_MODEL:
            return not self._prices.knows_any(provider)
        return self._prices.price_of(provider, model or name) is None


def _budgets(config: Config) -> Iterator[tuple[KeyPath, BudgetRule, Names]]:
    """All that are written, with the models that their calls can be for."""
    ceilings: dict[tuple[str, str, str | None], Names] = {
        (u.kind, u.tenant, u.name): _listed(u.terms.models) for u in units_in(config)
    }

    def of_terms(terms: KeyTerms) -> Names:
        names, tenant = _listed(terms.models), terms.tenant
        above = (("tenant", tenant), ("team", terms.team), ("user", terms.user))
        for kind, name in above:
            names = _both(names, ceilings.get((kind, tenant, name)))
        return names

    yield from _numbered(config.budgets, (), None)
    for name, key in config.keys.items():
        yield from _numbered(key.budgets, ("keys", name), of_terms(key))
    for name, issuer in config.oidc.issuers.items():
        for i, grant in enumerate(issuer.grants):
            path: KeyPath = ("oidc", "issuers", name, "grants", i)
            yield from _numbered(grant.budgets, path, of_terms(grant))
    for unit in units_in(config):
        yield from _numbered(unit.terms.budgets, unit.path, _listed(unit.terms.models))


def _numbered(
    rules: Iterable[BudgetRule], path: KeyPath, names: Names
) -> Iterator[tuple[KeyPath, BudgetRule, Names]]:
    for i, rule in enumerate(rules):
        yield (*path, "budgets", i), rule, names


def _listed(names: str | Sequence[str] | None) -> Names:
    return None if names is None else frozenset((names,) if isinstance(names, str) else names)


def _both(some: Names, others: Names) -> Names:
    if some is None or others is None:
        return others if some is None else some
    return some & others
