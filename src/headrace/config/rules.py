"""What the types can't say: names that must exist, and values that must fit each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from headrace.config.admin_rules import check_admin
from headrace.config.alerting import MailNotice
from headrace.config.backends import (
    AnthropicBackend,
    AzureOpenAIBackend,
    BedrockBackend,
    CohereBackend,
    GoogleBackend,
    HostedBackend,
    OpenAIBackend,
    model_of,
)
from headrace.config.contradictions import check_resilience, check_timeouts
from headrace.config.export_rules import check_kafka
from headrace.config.exporting import KafkaExport, WebhookExport
from headrace.config.key_rules import KeyRules
from headrace.config.limit_rules import LimitRules
from headrace.config.located import Located
from headrace.config.masking import quoted, shown
from headrace.config.model_cards import check_card
from headrace.config.model_rules import ModelRules
from headrace.config.oidc_rules import check_oidc
from headrace.config.passed_operations import foreign
from headrace.config.problems import Findings, KeyPath, Place
from headrace.config.schema import Config
from headrace.config.telemetry import OtlpTraces
from headrace.config.tool_rules import check_tools
from headrace.config.unit_rules import check_units
from headrace.config.urls import (
    anthropic_url_fault,
    azure_url_fault,
    cohere_url_fault,
    google_url_fault,
    is_loopback,
    is_plain_to_another_machine,
    postgres_url_fault,
    redis_url_fault,
    url_fault,
)

URL_FAULTS: Mapping[type[HostedBackend], Callable[[str], tuple[str, str] | None]] = (
    MappingProxyType(
        {
            AzureOpenAIBackend: azure_url_fault,
            AnthropicBackend: anthropic_url_fault,
            CohereBackend: cohere_url_fault,
            GoogleBackend: google_url_fault,
        }
    )
)
"""For backends of whose URL more can be said than `url_fault` does."""


class Rules:
    """Checks a config as it was written. `places` says where each key stands in the file."""

    def __init__(self, config: Config, places: dict[KeyPath, Place], findings: Findings) -> None:
        self._config = config
        self._located = Located(places, findings)

    def check(self) -> None:
        self._server()
        KeyRules(self._config, self._located).check()
        check_units(self._config, self._located)
        check_oidc(self._config, self._located)
        self._backends()
        models = ModelRules(self._config, self._located)
        for name, model in self._config.models.items():
            models.check(name, model)
        LimitRules(self._config, self._located).check()
        self._prices()
        check_resilience(self._config, self._located)
        self._redis()
        self._store()
        check_admin(self._config, self._located)
        check_tools(self._config, self._located)
        self._export()
        self._traces()
        self._alerts()
        self._unlisted()

    def _server(self) -> None:
        server = self._config.server
        if any(c.isspace() for c in server.host) or "://" in server.host:
            self._located.problem(
                ("server", "host"), "this is not an address", "Write one such as `127.0.0.1`."
            )
        elif not (is_loopback(server.host) or self._config.keys or self._config.oidc.issuers):
            self._located.warning(
                ("server", "host"),
                "other machines can reach this address, but no `keys` are written",
                "A single key is generated and printed at the start; write `keys` to name callers.",
            )
        for field in ("certificate", "key"):
            if server.tls is not None and "-----BEGIN" in getattr(server.tls, field):
                self._located.problem(
                    ("server", "tls", field), "a path is expected", "Write a file's path."
                )

        self._trusted_proxies(server.trusted_proxies)

    def _trusted_proxies(self, ranges: list[str]) -> None:
        header: KeyPath = ("server", "client_address_header")
        if not ranges and self._located.is_written(header):
            self._located.warning(
                header,
                "it has no effect without `trusted_proxies`: no proxy is believed",
                "Name your proxies, as in `trusted_proxies: [10.0.0.0/8]`, or remove the line.",
            )
        for i, text in enumerate(ranges):
            path: KeyPath = ("server", "trusted_proxies", i)
            try:
                network = ipaddress.ip_network(text)
            except ValueError:
                self._located.problem(
                    path,
                    "this is not a range of addresses, or has bits set right of its prefix",
                    "Write one such as `10.0.0.0/8` or `192.0.2.10`.",
                )
                continue
            if network.prefixlen == 0:
                self._located.warning(
                    path,
                    "every client is believed what it says of its own address",
                    "Name the ranges of your proxies alone.",
                )

    def _backends(self) -> None:
        for name, backend in self._config.backends.items():
            path: KeyPath = ("backends", name)
            check_card(backend.card, (*path, "card"), self._located)
            if isinstance(backend, HostedBackend) and backend.url is not None:
                fault_of = URL_FAULTS.get(type(backend), url_fault)
                self._url((*path, "url"), backend.url, fault_of(backend.url))
            if isinstance(backend, OpenAIBackend):
                self._openai(backend, path)
            elif isinstance(backend, BedrockBackend):
                self._bedrock(backend, path)
            if getattr(backend, "operations", None) == []:
                self._located.problem(
                    (*path, "operations"),
                    "the list is empty, so the backend is of no use",
                    "Remove the line to let all be tried.",
                )
            for operation in foreign(backend):
                self._located.problem(
                    (*path, "operations"),
                    f"this provider's API has no {operation}",
                    "Remove it, or name a backend that has it.",
                )
            check_timeouts(backend.timeouts, (*path, "timeouts"), self._located)

    def _openai(self, backend: OpenAIBackend, path: KeyPath) -> None:
        if backend.credential is None and backend.url == "https://api.openai.com/v1":
            self._located.problem(
                path,
                "OpenAI needs a `credential`",
                "Add `credential: env:OPENAI_API_KEY`, or the `url` of another server.",
            )

    def _bedrock(self, backend: BedrockBackend, path: KeyPath) -> None:
        key = (backend.access_key_id, backend.secret_access_key)
        if (backend.credential is None) == (None in key) or key.count(None) == 1:
            self._located.problem(
                path,
                "Bedrock needs either a `credential` or an access key",
                "Write `credential: env:AWS_BEARER_TOKEN_BEDROCK`, or `access_key_id` and "
                "`secret_access_key`.",
            )

    def _url(self, path: KeyPath, url: str, fault: tuple[str, str] | None) -> None:
        if fault is not None:
            self._located.problem(path, *fault)
        elif is_plain_to_another_machine(url):
            self._located.warning(
                path,
                "prompts and the credential travel unencrypted to another machine",
                "Use `https://` unless you trust the network between.",
            )

    def _redis(self) -> None:
        redis = self._config.redis
        if redis is None:
            return
        path: KeyPath = ("redis", "url")
        fault = redis_url_fault(redis.url)
        if fault is not None:
            self._located.problem(path, *fault)
        elif redis.password is not None and is_plain_to_another_machine(redis.url):
            self._located.warning(
                path,
                "the password travels unencrypted to another machine",
                "Use `rediss://` unless you trust the network between.",
            )
        if redis.username is not None and redis.password is None:
            self._located.problem(
                ("redis", "username"),
                "a user name alone opens nothing",
                "Add `password: env:NAME`, or remove the line.",
            )
        if redis.ca is not None and fault is None and not redis.url.startswith("rediss:"):
            self._located.warning(
                ("redis", "ca"),
                "it has no effect without TLS",
                "Write `rediss://` in the URL, or remove the line.",
            )

    def _store(self) -> None:
        store = self._config.store
        if store.url is not None:
            fault = postgres_url_fault(store.url)
            if fault is not None:
                self._located.problem(("store", "url"), *fault)
            if store.url_secret is not None:
                self._located.problem(
                    ("store", "url_secret"),
                    "`url` names a server too",
                    "Remove one of the two.",
                )
        for field in ("username", "password"):
            if getattr(store, field) is not None and store.url is None:
                self._located.problem(
                    ("store", field),
                    "there is no `url` that it is for",
                    "Write `url: postgresql://HOST/DATABASE`, or remove the line.",
                )

    def _prices(self) -> None:
        written: dict[str, str] = {}
        for name in self._config.prices:
            first = written.setdefault(name.lower(), name)
            if first != name:
                self._located.problem(
                    ("prices", name),
                    f"this is {quoted(first)} again: capitals make no other model",
                    "Remove one of the two.",
                )

    def _export(self) -> None:
        for name, export in self._config.export.items():
            path: KeyPath = ("export", name)
            if isinstance(export, WebhookExport):
                self._url((*path, "url"), export.url, url_fault(export.url))
            elif isinstance(export, KafkaExport):
                check_kafka(export, path, self._located)

    def _alerts(self) -> None:
        alerts = self._config.alerts
        path: KeyPath = ("alerts",)
        if alerts.short_window_s > alerts.long_window_s:
            self._located.problem(
                (*path, "short_window_s"),
                "the short window is longer than the long one",
                "Write less than `long_window_s`.",
            )
        for name, to in alerts.notify.items():
            if not isinstance(to, MailNotice):
                continue
            where: KeyPath = (*path, "notify", name)
            if not to.recipients:
                self._located.problem((*where, "recipients"), "the list is empty", "Write one.")
            if (to.username is None) is not (to.password is None):
                self._located.problem(
                    where, "`username` and `password` need each other", "Write both, or none."
                )
            if to.security == "none" and not is_loopback(to.host):
                self._located.warning(
                    (*where, "security"),
                    "mail travels unencrypted to another machine",
                    "Use `starttls` or `tls`.",
                )

    def _traces(self) -> None:
        traces = self._config.telemetry.traces
        if isinstance(traces, OtlpTraces):
            self._url(("telemetry", "traces", "url"), traces.url, url_fault(traces.url))
        if traces is not None and traces.capture_content:
            self._located.warning(
                ("telemetry", "traces", "capture_content"),
                "prompts and answers go to wherever traces do",
                "Remove the line unless whoever reads traces may read what users write.",
            )
        metrics = self._config.telemetry.send_metrics
        if metrics is not None:
            place = ("telemetry", "send_metrics", "url")
            self._url(place, metrics.url, url_fault(metrics.url))

    def _unlisted(self) -> None:
        backends, models = self._config.backends, self._config.models
        if not models and self._located.names("models"):
            return
        if not backends and not models:
            self._located.warning(
                (),
                "no `backends` are written",
                "Headrace serves what it finds in the environment, else its embedded models.",
            )
        if models:
            named = {
                name
                for model in models.values()
                for tier in (*model.pools, model.context_fallback)
                for name in tier
            }
            for name in backends:
                if name not in named:
                    self._located.warning(
                        ("backends", name),
                        "no model uses this backend",
                        "Name it in a model's `pools`, or remove it.",
                    )
            return
        passing = list(open_backends(self._config))
        if len(passing) > 1:
            first = shown(passing[0])
            self._located.problem(
                ("backends", passing[1]),
                f"like {quoted(passing[0])}, this backend has no `model`, so Headrace can't tell "
                "which of them a client's model is for",
                f'Give each a `model`, or write `models: {{"*": {{pools: [[{first}]]}}}}`.',
            )


def open_backends(config: Config) -> Iterator[str]:
    """Names of backends that pass on whatever name of a model the client used."""
    for name, backend in config.backends.items():
        if model_of(backend) is None:
            yield name
