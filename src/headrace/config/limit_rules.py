"""Limits, budgets and caps that say nothing, or contradict themselves or each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

from headrace.allowances import BudgetRule, Dimension, LimitRule
from headrace.config.caps import TokenCapRule
from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms
from headrace.config.unit_rules import units_in
from headrace.config.units import UnitTerms
from headrace.config.words import suggestion

DIMENSIONS: tuple[str, ...] = get_args(Dimension)
CAP_DIMENSIONS = ("type", "operation", "model", "key", "user", "team", "tenant")
TAG = "tag:"
ANY_MODEL = "*"
OPERATIONS = ("chat", "completions", "messages", "responses")


class LimitRules:
    """Checks the sections `limits`, `budgets`, `token_caps` and `counting`."""

    def __init__(self, config: Config, located: Located) -> None:
        self._config = config
        self._located = located

    def check(self) -> None:
        self._rules(self._config.limits, self._config.budgets, ())
        for path, terms in terms_in(self._config):
            self._rules(terms.limits, terms.budgets, path)
        for i, cap in enumerate(self._config.token_caps):
            self._cap(cap, ("token_caps", i))
        self._twins("limits", self._config.limits)
        self._twins("budgets", self._config.budgets)
        self._workers()
        self._assumed()

    def _rules(
        self, limits: Sequence[LimitRule], budgets: Sequence[BudgetRule], path: KeyPath
    ) -> None:
        for i, limit in enumerate(limits):
            self._limit(limit, (*path, "limits", i))
        for i, budget in enumerate(budgets):
            self._budget(budget, (*path, "budgets", i))

    def _limit(self, rule: LimitRule, path: KeyPath) -> None:
        self._counted(rule.per, rule.only, path)
        if rule.requests is None and rule.tokens is None and rule.concurrent is None:
            self._located.problem(
                path,
                "the rule limits nothing",
                "Add `requests: NUMBER`, `tokens: NUMBER` or `concurrent: NUMBER`.",
            )
            return
        burst: KeyPath = (*path, "burst_s")
        if rule.requests is None and rule.tokens is None:
            for member in ("every_s", "burst_s"):
                if self._located.is_written((*path, member)):
                    self._located.warning(
                        (*path, member),
                        "it has no effect on calls at once",
                        "Remove the line, or add `requests` or `tokens`.",
                    )
        elif rule.burst_s is not None and rule.burst_s > rule.every_s:
            self._located.problem(
                burst,
                f"{rule.burst_s:g} is above `every_s`, which is {rule.every_s:g}: more than the "
                "limit could be used at once",
                f"Write at most {rule.every_s:g}.",
            )

    def _budget(self, rule: BudgetRule, path: KeyPath) -> None:
        self._counted(rule.per, rule.only, path)
        if rule.usd is None and rule.tokens is None:
            self._located.problem(
                path, "the budget has no amount", "Add `usd: AMOUNT` or `tokens: NUMBER`."
            )
        if rule.usd is not None and not Decimal(rule.usd):
            self._located.problem(
                (*path, "usd"), "the amount is 0, so every call is refused", "Write a larger one."
            )
        try:
            ZoneInfo(rule.timezone)
        except (KeyError, ValueError, OSError):
            self._located.problem(
                (*path, "timezone"),
                f"there is no time zone {quoted(rule.timezone)}",
                suggestion(
                    rule.timezone, available_timezones(), "Write a name such as `Europe/Rome`."
                ),
            )
        if rule.usd is None and self._located.is_written((*path, "unpriced")):
            self._located.warning(
                (*path, "unpriced"),
                "it has no effect on a budget in tokens",
                "Remove the line.",
            )

    def _cap(self, rule: TokenCapRule, path: KeyPath) -> None:
        self._only(rule.only, CAP_DIMENSIONS, path)
        for value in _values(rule.only.get("operation", [])):
            if value not in OPERATIONS:
                self._located.problem(
                    (*path, "only", "operation"),
                    f"{quoted(value)} is no operation with `max_tokens`",
                    suggestion(
                        value, OPERATIONS, "Write chat, completions, messages or responses."
                    ),
                )
        if rule.default is None and rule.most is None:
            self._located.problem(
                path, "the rule caps nothing", "Add `default: NUMBER` or `most: NUMBER`."
            )
        elif rule.default is not None and rule.most is not None and rule.default > rule.most:
            self._located.problem(
                (*path, "default"),
                f"{rule.default} is above `most`, which is {rule.most}",
                f"Write at most {rule.most}, or raise `most`.",
            )
        if rule.most is None and self._located.is_written((*path, "above")):
            self._located.warning(
                (*path, "above"), "it has no effect without `most`", "Add `most: NUMBER`."
            )

    def _counted(
        self, per: str | Sequence[str], only: Mapping[str, str | list[str]], path: KeyPath
    ) -> None:
        where: KeyPath = (*path, "per")
        if not isinstance(per, str):
            if not per:
                self._located.problem(
                    where, "the list is empty", "Write `gateway` to count all calls together."
                )
            if len(set(per)) < len(per):
                self._located.problem(where, "a name stands there twice", "Remove one of them.")
            if "gateway" in per and len(per) > 1:
                self._located.problem(
                    where, "`gateway` puts all calls into one count", "Remove it from the list."
                )
        self._only(only, DIMENSIONS, path)

    def _only(
        self, only: Mapping[str, str | list[str]], dimensions: Sequence[str], path: KeyPath
    ) -> None:
        for name, values in only.items():
            where: KeyPath = (*path, "only", name)
            if name == "gateway" or (name not in dimensions and not name.startswith(TAG)):
                self._located.problem(
                    where,
                    f"calls can't be chosen by {quoted(name)}",
                    suggestion(
                        name,
                        [d for d in dimensions if d != "gateway"],
                        f"Write one of: {', '.join(d for d in dimensions if d != 'gateway')}, or "
                        "`tag:NAME`.",
                    ),
                )
            if not values:
                self._located.problem(
                    where, "no value is written, so no call fits", "Write one, or remove the line."
                )
            if name == "model":
                self._models(_values(values), where)

    def _models(self, names: Sequence[str], where: KeyPath) -> None:
        known = self._located.names("models")
        if not known or ANY_MODEL in known:
            return
        for name in names:
            if name not in known:
                self._located.problem(
                    where,
                    f"there is no model {quoted(name)}",
                    suggestion(name, known, "Add it under `models`."),
                )

    def _twins(self, section: str, rules: Sequence[LimitRule | BudgetRule]) -> None:
        """Two rules that would share one count."""
        named: dict[str, int] = {}
        alike: dict[object, int] = {}
        for i, rule in enumerate(rules):
            if rule.name is not None:
                first = named.setdefault(rule.name, i)
                if first != i:
                    self._located.problem(
                        (section, i, "name"),
                        f"{section}[{first}] has this name too",
                        "Give each a name of its own, or none.",
                    )
                continue
            for measure in _measures(rule):
                first = alike.setdefault(measure, i)
                if first != i:
                    self._located.problem(
                        (section, i),
                        f"{section}[{first}] counts the same calls for the same time, so one of "
                        "the two never matters",
                        "Remove the looser one.",
                    )
                    break

    def _workers(self) -> None:
        workers = self._config.server.workers
        if workers == 1 or not counts_apart(self._config):
            return
        self._located.problem(
            (self._section_counted(),),
            f"{workers} workers have to count together, and nothing is set by which they could",
            "Add `redis: {url: ...}`, or write `workers: 1` under `server`.",
        )

    def _section_counted(self) -> str:
        config = self._config
        if config.limits or config.budgets:
            return "limits" if config.limits else "budgets"
        if any(unit.terms.limits or unit.terms.budgets for unit in units_in(config)):
            return "tenants" if config.tenants else "teams"
        return "keys" if config.keys else "oidc"

    def _assumed(self) -> None:
        path: KeyPath = ("counting", "assumed_answer_tokens")
        if self._located.is_written(path) and not any(r.tokens for r in self._config.limits):
            self._located.warning(
                path, "it has no effect without a limit of tokens", "Remove the line."
            )


def _measures(rule: LimitRule | BudgetRule) -> list[object]:
    """What must differ between two rules."""
    per = tuple(sorted(_values(rule.per)))
    only = tuple(sorted((name, tuple(sorted(_values(v)))) for name, v in rule.only.items()))
    if isinstance(rule, BudgetRule):
        amounts = [("usd", rule.usd), ("tokens", rule.tokens)]
        return [
            (per, only, unit, rule.every, rule.timezone)
            for unit, amount in amounts
            if amount is not None
        ]
    found: list[object] = []
    if rule.requests is not None:
        found.append((per, only, "requests", rule.every_s))
    if rule.tokens is not None:
        found.append((per, only, "tokens", rule.every_s))
    if rule.concurrent is not None:
        found.append((per, only, "concurrent"))
    return found


def _values(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def terms_in(config: Config) -> Iterator[tuple[KeyPath, KeyTerms | UnitTerms]]:
    """Of keys, of those that access tokens are granted, and of what they are under; each with where
    it stands in the file."""
    for name, key in config.keys.items():
        yield ("keys", name), key
    for name, issuer in config.oidc.issuers.items():
        for i, grant in enumerate(issuer.grants):
            yield ("oidc", "issuers", name, "grants", i), grant
    for unit in units_in(config):
        yield unit.path, unit.terms


def any_bounded(config: Config) -> bool:
    """Whether a key, a token or what they are under brings limits or budgets with it."""
    return any(terms.limits or terms.budgets for _, terms in terms_in(config))


def counts_apart(config: Config) -> bool:
    """Whether several workers would each count what they should count together."""
    bounded = bool(config.limits or config.budgets) or any_bounded(config)
    return bounded and config.redis is None
