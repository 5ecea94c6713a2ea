"""What is said of tenants, teams and users that do not fit the keys under them."""

from __future__ import annotations

from pathlib import Path

from headrace.config.loading import loaded

TEXT = b"""
backends: {a: {provider: local}}
models: {m: {pools: [[a]]}, n: {pools: [[a]]}}
tenants: {acme: {models: [m], teams: {red: {models: [n]}}, users: {ann: {}}}}
keys:
  k: {secret: env:A, tenant: acne}
  l: {secret: env:B, tenant: acme, team: rad, models: [n, m]}
  fits: {secret: env:C, tenant: acme, user: ann, models: [m]}
  free: {secret: env:D, team: of-the-registry}
"""


def test_what_has_no_effect_is_told() -> None:
    told = [str(w).partition(": ")[2] for w in loaded(TEXT, Path("f.yaml")).warnings]
    unknown = "is written here, so only the registry's ceilings hold for it"
    assert told == [
        'tenants.acme.teams.red.models: the tenant "acme" may not use "n", so it has no effect. '
        "Remove it here, or add it there.",
        f'keys.k.tenant: no tenant "acne" {unknown}. Did you mean "acme"?',
        f'keys.l.team: no team "rad" {unknown}. Did you mean "red"?',
        'keys.l.models: the tenant "acme" may not use "n", so it has no effect. Remove it here, or '
        "add it there.",
    ]
