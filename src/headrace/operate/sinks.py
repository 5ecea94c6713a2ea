"""From what the configuration says of an export to what takes its rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import assert_never

from headrace.config.exporting import AnyExport, FileExport, KafkaExport, WebhookExport
from headrace.data.export.file import FileSink
from headrace.data.export.kafka import KafkaSink, Login
from headrace.data.export.sink import Sink
from headrace.platform.secrets import Secret, Secrets


def sink_of(export: AnyExport, base: Path, secrets: Secrets) -> Sink:
    """`base` is where its paths start. Raises Setup for a secret that cannot be read, and for what
    is not installed."""
    match export:
        case FileExport():
            return FileSink(base / Path(export.path).expanduser())
        case WebhookExport():
            from headrace.data.export.webhook import WebhookSink  # few need it, each start pays

            secret = _secret(export.secret, secrets)
            return WebhookSink(export.url, secret, export.batch, export.timeout_s)
        case KafkaExport():
            return _kafka(export, base, secrets)
        case _:
            assert_never(export)


def _kafka(export: KafkaExport, base: Path, secrets: Secrets) -> KafkaSink:
    login = None
    if export.username is not None and export.password is not None:
        password = _secret(export.password, secrets)
        login = Login(export.mechanism.upper(), export.username, password)
    return KafkaSink(
        export.servers,
        export.topic,
        security=("SASL_" if login else "") + ("SSL" if export.tls else "PLAINTEXT"),
        ca=None if export.ca is None else str(base / Path(export.ca).expanduser()),
        login=login,
        batch=export.batch,
        timeout_s=export.timeout_s,
    )


def _secret(reference: str, secrets: Secrets) -> Callable[[], Secret]:
    """How to ask for it at any time. Raises Setup if it cannot be read now."""
    secret = partial(_secret_now, secrets, reference)
    secret()
    return secret


def _secret_now(secrets: Secrets, reference: str) -> Secret:
    return secrets.get(reference, time.monotonic())
