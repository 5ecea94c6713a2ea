"""Brings alerts to those who are to be told. Blocks."""

from __future__ import annotations

import http.client
import smtplib
import ssl
import time
from collections.abc import Callable
from typing import Any, assert_never
from urllib.parse import urlsplit

import msgspec

from headrace.config.alerting import (
    AnyNotice,
    MailNotice,
    PagerDutyNotice,
    SlackNotice,
    TeamsNotice,
    WebhookNotice,
)
from headrace.operate.alerting import messages
from headrace.operate.alerting.states import Notice
from headrace.platform.secrets import Secrets

TIMEOUT_S = 10.0


class NotDelivered(Exception):  # noqa: N818 - the name says what happened
    """`str()` is for the log: it never holds a URL, which may be a secret."""


class Courier:
    """Tells of alerts as one configuration says."""

    def __init__(self, gateway: str, runbook_url: str | None, secrets: Secrets) -> None:
        """`gateway` is this one's name, for people who have several."""
        self._gateway = gateway
        self._runbook_url = runbook_url
        self._secrets = secrets

    def deliver(self, to: AnyNotice, notice: Notice) -> None:
        """Raises NotDelivered, and Setup for a secret that cannot be read."""
        about = (notice, self._gateway, self._runbook_url)
        match to:
            case WebhookNotice():
                _post(self._secret(to.url), messages.plain(*about))
            case SlackNotice():
                _post(self._secret(to.url), messages.slack(*about))
            case TeamsNotice():
                _post(self._secret(to.url), messages.teams(*about))
            case PagerDutyNotice():
                _post(to.url, messages.pagerduty(*about, self._secret(to.routing_key)))
            case MailNotice():
                password = None if to.password is None else self._secret(to.password)
                message = messages.mail(*about, to.sender, to.recipients)
                _guarded(lambda: _mail(to, password, message))
            case _:
                assert_never(to)

    def _secret(self, reference: str) -> str:
        return self._secrets.get(reference, time.monotonic()).reveal()


def _post(url: str, body: dict[str, Any]) -> None:
    _guarded(lambda: _posted(url, msgspec.json.encode(body)))


def _posted(url: str, data: bytes) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotDelivered("the URL does not begin with https:// and a host")
    made: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        made = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_S, context=context
        )
    else:
        made = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        made.request("POST", path, data, {"content-type": "application/json"})
        status = made.getresponse().status
    finally:
        made.close()
    if not 200 <= status < 300:
        raise NotDelivered(f"it answered {status}")


def _mail(to: MailNotice, password: str | None, message: Any) -> None:
    context = ssl.create_default_context()
    made: smtplib.SMTP
    if to.security == "tls":
        made = smtplib.SMTP_SSL(to.host, to.port, timeout=TIMEOUT_S, context=context)
    else:
        made = smtplib.SMTP(to.host, to.port, timeout=TIMEOUT_S)
    with made:
        if to.security == "starttls":
            made.starttls(context=context)
        if to.username is not None and password is not None:
            made.login(to.username, password)
        made.send_message(message)


def _guarded(act: Callable[[], None]) -> None:
    try:
        act()
    except smtplib.SMTPException as error:
        code = getattr(error, "smtp_code", None)
        raise NotDelivered(f"the mail server did not take it ({code or type(error).__name__})"
                           ) from error  # fmt: skip
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(f"{type(error).__name__}: {getattr(error, 'strerror', None)}") from error
