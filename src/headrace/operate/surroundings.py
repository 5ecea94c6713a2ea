"""What a good file still needs around it: secrets, packages, models, certificates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from headrace.config.backends import LocalBackend
from headrace.config.exporting import KafkaExport
from headrace.config.loading import Loaded
from headrace.config.problems import KeyPath, Place, Problem, rendered_path
from headrace.config.references import references
from headrace.errors import Setup
from headrace.gateway.own_keys import own_key_text
from headrace.platform.secrets import Secrets


def lacking(loaded: Loaded, environ: Mapping[str, str]) -> list[Problem]:
    """Everything that `serve` would stumble over, each by the key of the file that asks for it."""
    secrets = Secrets(environ, loaded.folder)
    found: dict[str, Problem] = {}
    for path, check in (*_secrets(loaded, secrets), *_packages(loaded), *_files(loaded)):
        try:
            check()
        except Setup as fault:
            text = fault.problem.rstrip(".")
            key = rendered_path(path)
            at = loaded.places.get(path, Place())
            hint = fault.hint or ""
            problem = Problem(str(loaded.source), at.line, at.column, key, text, hint)
            found.setdefault(key, problem)
    return list(found.values())


Checks = Iterator[tuple[KeyPath, Callable[[], object]]]
"""Where the file asks for it, and what raises Setup if it is not there."""


def _secrets(loaded: Loaded, secrets: Secrets) -> Checks:
    config, now = loaded.config, time.monotonic()
    for name, key in config.keys.items():
        path: KeyPath = ("keys", name, "secret")
        yield path, partial(own_key_text, name, key.secret, secrets, now)
    for path, reference in references(config):
        if path[0] != "keys":
            yield path, partial(secrets.get, reference, now)


def _packages(loaded: Loaded) -> Checks:
    config = loaded.config
    if config.redis is not None:
        from headrace.data.redis_link import require_client

        yield ("redis",), require_client
    if config.store.url is not None or config.store.url_secret is not None:
        from headrace.data.postgres import require_client as require_postgres

        yield ("store",), require_postgres
    if config.mcp is not None:
        from headrace.services.tool_server import require_sdk

        yield ("mcp",), require_sdk
    for name, model in config.models.items():
        if model.structured_output.repair:
            from headrace.services.schema_check import require_validator

            yield ("models", name, "structured_output"), require_validator
    for name, export in config.export.items():
        if isinstance(export, KafkaExport):
            from headrace.data.export.kafka import require_client as require_kafka

            yield ("export", name), require_kafka


def _files(loaded: Loaded) -> Checks:
    for name, backend in loaded.config.backends.items():
        if isinstance(backend, LocalBackend):
            from headrace.services.local.catalogue import resolve

            yield ("backends", name, "model"), partial(resolve, backend.model)
    tls = loaded.config.server.tls
    if tls is not None:
        from headrace.platform.http.certificates import server_context

        certificate, key = loaded.folder / tls.certificate, loaded.folder / tls.key
        yield ("server", "tls"), partial(server_context, certificate, key)
