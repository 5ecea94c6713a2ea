"""Whether anything that is decided of a call goes by its client's address, and whether addresses
can tell clients apart. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.config.address_ranges import LOOPBACK
from headrace.config.limit_rules import terms_in
from headrace.config.loading import Loaded
from headrace.config.located import Located
from headrace.config.problems import Findings, KeyPath, Problem
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms, is_within, networks_of
from headrace.config.units import UnitTerms
from headrace.config.urls import is_loopback
from headrace.data.registry.records import UnitRecord
from headrace.gateway.limits.rulebook import goes_by


def is_by_address(config: Config) -> bool:
    """As far as the configuration says."""
    return brings_address(config) or any(brings_address(terms) for _, terms in terms_in(config))


def brings_address(terms: Config | KeyTerms | UnitTerms | UnitRecord) -> bool:
    """What belongs to one key, token, tenant, team or user, or to all calls."""
    return bool(_ranges(terms)) or next(_rules_by_address(terms, ()), None) is not None


def shared_address(loaded: Loaded, host: str) -> list[Problem]:
    """A warning where things go by addresses and all clients have one: `host`, on which the gateway
    listens, is reached from this machine alone, and no proxy there is believed. A proxy that tells
    nobody's address could not be noticed later."""
    config = loaded.config
    path = next(_by_address(config), None) if is_loopback(host) else None
    own = ("127.0.0.1", "::1") if host.endswith("localhost") else (host.strip("[]"),)
    believed = networks_of(config.server.trusted_proxies)
    if path is None or any(is_within(one, believed) for one in networks_of(own)):
        return []
    findings = Findings(str(loaded.source))
    Located(dict(loaded.places), findings).warning(
        path,
        f"it goes by clients' addresses, but all who come to {host} have this machine's own",
        "Name the proxy that stands in front, as in `server: {trusted_proxies: "
        f"['{own[0]}']}}`, or listen where clients come directly, as in `server: {{host: "
        "0.0.0.0}`.",
    )
    return findings.warnings


def _by_address(config: Config) -> Iterator[KeyPath]:
    """Where the file lets something go by addresses other than this machine's."""
    yield from _rules_by_address(config, ())
    for path, terms in terms_in(config):
        ranges = networks_of(_ranges(terms))
        if not all(is_within(one, LOOPBACK) for one in ranges):
            yield (*path, "ip_ranges")
        yield from _rules_by_address(terms, path)


def _ranges(terms: Config | KeyTerms | UnitTerms | UnitRecord) -> list[str]:
    return (terms.ip_ranges or []) if isinstance(terms, KeyTerms) else []


def _rules_by_address(
    terms: Config | KeyTerms | UnitTerms | UnitRecord, path: KeyPath
) -> Iterator[KeyPath]:
    for i, limit in enumerate(terms.limits):
        if goes_by(limit, "ip"):
            yield (*path, "limits", i)
    for i, budget in enumerate(terms.budgets):
        if goes_by(budget, "ip"):
            yield (*path, "budgets", i)
