"""What must fit in a key's terms that types can't say."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.references import references
from headrace.config.schema import Config
from headrace.config.terms import KeyTerms, instant_of, network_of
from headrace.config.unit_rules import units_in
from headrace.config.units import UnitTerms
from headrace.config.words import suggestion

ANY_MODEL = "*"


class KeyRules:
    """Checks the section `keys`, what grants of access tokens give, and what tenants, teams and
    users allow theirs."""

    def __init__(self, config: Config, located: Located) -> None:
        self._config = config
        self._located = located

    def check(self) -> None:
        used: dict[str, str] = {}
        upstream = {
            reference: name
            for name, backend in self._config.backends.items()
            for _, reference in references(backend)
        }
        for name, key in self._config.keys.items():
            path: KeyPath = ("keys", name, "secret")
            if key.secret in used:
                self._located.problem(
                    path,
                    f"this is the secret of the key {quoted(used[key.secret])} too",
                    "Give each key a secret of its own.",
                )
            used.setdefault(key.secret, name)
            if key.secret in upstream:
                self._located.warning(
                    path,
                    f"this is the credential of the backend {quoted(upstream[key.secret])} too, "
                    "so clients know the provider's key",
                    "Give clients a secret of their own.",
                )
            self._terms(("keys", name), key, "the key is")
        for name, issuer in self._config.oidc.issuers.items():
            for i, grant in enumerate(issuer.grants):
                self._terms(("oidc", "issuers", name, "grants", i), grant, "the grant is")
        for unit in units_in(self._config):
            self._lists(unit.path, unit.terms, ("models", "regions"), f"the {unit.kind}'s keys are")

    def _lists(
        self, path: KeyPath, terms: KeyTerms | UnitTerms, fields: Iterable[str], whose: str
    ) -> None:
        for field in fields:
            if getattr(terms, field) == []:
                self._located.problem(
                    (*path, field),
                    f"the list is empty, so {whose} of no use",
                    "Remove the line to allow all.",
                )
        self._models((*path, "models"), terms.models or [])
        self._regions((*path, "regions"), terms.regions or [])

    def _terms(self, path: KeyPath, key: KeyTerms, whose: str) -> None:
        self._lists(path, key, ("models", "regions", "ip_ranges", "operations"), whose)
        for i, text in enumerate(key.ip_ranges or []):
            try:
                network_of(text)
            except ValueError:
                self._located.problem(
                    (*path, "ip_ranges", i),
                    f"{quoted(text)} is no address or range",
                    "Write one such as `10.0.0.0/8` or `192.0.2.7`, whose bits right of the "
                    "prefix are 0.",
                )
        if key.expires is not None:
            try:
                instant_of(key.expires)
            except ValueError:
                self._located.problem(
                    (*path, "expires"),
                    f"{quoted(key.expires)} is in no calendar",
                    'Write a day such as `"2030-12-31"`.',
                )

    def _models(self, path: KeyPath, models: list[str]) -> None:
        known = self._located.names("models")
        if not known or ANY_MODEL in known:
            return
        for i, model in enumerate(models):
            if model not in known:
                self._located.problem(
                    (*path, i),
                    f"there is no model {quoted(model)}",
                    suggestion(model, known, "Add it under `models`."),
                )

    def _regions(self, path: KeyPath, regions: list[str]) -> None:
        known = {b.region for b in self._config.backends.values() if b.region is not None}
        for i, region in enumerate(regions):
            if region not in known:
                self._located.warning(
                    (*path, i),
                    f"no backend is in the region {quoted(region)}",
                    suggestion(region, known, "Write the `region` of a backend."),
                )
