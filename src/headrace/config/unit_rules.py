"""What must fit between tenants, teams, users and the keys under them that types can't say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms
from headrace.config.units import DEFAULT_TENANT, UnitTerms
from headrace.config.words import suggestion


class Written(Struct, frozen=True):
    """A tenant, a team or a user, and where it stands in the file."""

    kind: Literal["tenant", "team", "user"]
    tenant: str
    name: str
    terms: UnitTerms
    path: KeyPath


_Units = dict[tuple[str, str], Written]
"""Of one tenant, by kind and name."""


def units_in(config: Config) -> Iterator[Written]:
    """All that are written. Teams at the top are of the tenant `default`."""
    for name, tenant in config.tenants.items():
        path: KeyPath = ("tenants", name)
        yield Written("tenant", name, name, tenant, path)
        for team, terms in tenant.teams.items():
            yield Written("team", name, team, terms, (*path, "teams", team))
        for user, theirs in tenant.users.items():
            yield Written("user", name, user, theirs, (*path, "users", user))
    for team, terms in config.teams.items():
        yield Written("team", DEFAULT_TENANT, team, terms, ("teams", team))


def check_units(config: Config, located: Located) -> None:
    """The lists of models and regions are checked with those of keys, limits with all limits."""
    default = config.tenants.get(DEFAULT_TENANT)
    for team in config.teams:
        if default is not None and team in default.teams:
            located.problem(
                ("teams", team),
                f"it stands under `tenants.{DEFAULT_TENANT}.teams` too",
                "Remove one of the two.",
            )
    by_tenant: dict[str, _Units] = {}
    for unit in units_in(config):
        by_tenant.setdefault(unit.tenant, {})[unit.kind, unit.name] = unit
        above = config.tenants.get(unit.tenant)
        if above is not None and unit.kind != "tenant":
            whose = f"the tenant {quoted(unit.tenant)}"
            _check_ceiling(unit.terms, above, whose, unit.path, located)
    for name, key in config.keys.items():
        _check_belonging(key, ("keys", name), config, by_tenant, located)
    for issuer_name, issuer in config.oidc.issuers.items():
        for i, grant in enumerate(issuer.grants):
            path: KeyPath = ("oidc", "issuers", issuer_name, "grants", i)
            _check_belonging(grant, path, config, by_tenant, located)


def _check_belonging(
    terms: KeyTerms,
    path: KeyPath,
    config: Config,
    by_tenant: Mapping[str, _Units],
    located: Located,
) -> None:
    """Those who name a tenant, a team or a user that is not written are told, for it may be a
    mistake; but it may be in the registry."""
    if config.tenants and terms.tenant not in (*config.tenants, DEFAULT_TENANT):
        _tell_unknown("tenant", terms.tenant, config.tenants, path, located)
    known = by_tenant.get(terms.tenant, {})
    for kind, name in (("team", terms.team), ("user", terms.user)):
        if name is None or (kind, name) in known:
            continue
        others = [n for k, n in known if k == kind]
        if others:
            _tell_unknown(kind, name, others, path, located)
    for kind, name in (("tenant", terms.tenant), ("team", terms.team), ("user", terms.user)):
        unit = known.get((kind, name or ""))
        if unit is not None:
            _check_ceiling(terms, unit.terms, f"the {kind} {quoted(unit.name)}", path, located)


def _tell_unknown(
    kind: str, name: str, known: Iterable[str], path: KeyPath, located: Located
) -> None:
    located.warning(
        (*path, kind),
        f"no {kind} {quoted(name)} is written here, so only the registry's ceilings hold for it",
        suggestion(name, known, f"Write it among the {kind}s."),
    )


def _check_ceiling(
    terms: KeyTerms | UnitTerms, above: UnitTerms, whose: str, path: KeyPath, located: Located
) -> None:
    for field in ("models", "regions"):
        asked, allowed = getattr(terms, field), getattr(above, field)
        beyond = sorted(set(asked or ()) - set(allowed or ())) if allowed is not None else []
        if beyond:
            located.warning(
                (*path, field),
                f"{whose} may not use {', '.join(map(quoted, beyond[:5]))}, so it has no effect",
                "Remove it here, or add it there.",
            )
