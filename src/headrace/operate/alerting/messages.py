"""Alerts in the forms of those who are told. Pure."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

from headrace.operate.alerting.rules import Rule
from headrace.operate.alerting.states import Change, Notice

WORDS = {Change.BEGINS: "ALERT", Change.LASTS: "STILL", Change.ENDS: "OK"}
_PAGER = {Change.BEGINS: "trigger", Change.LASTS: "trigger", Change.ENDS: "resolve"}


def title(notice: Notice) -> str:
    """One line."""
    reading = notice.reading
    return f"[{WORDS[notice.change]}] {reading.rule.name}: {reading.subject}"


def sentence(notice: Notice) -> str:
    reading = notice.reading
    written = reading.rule.unit.written
    return (
        f"{reading.rule.about}: {written(reading.value)}, threshold {written(reading.threshold)} "
        f"({reading.subject})."
    )


def link(rule: Rule, runbook_url: str | None) -> str | None:
    return None if runbook_url is None else f"{runbook_url.rstrip('#')}#{rule.name}"


def plain(notice: Notice, gateway: str, runbook_url: str | None) -> dict[str, Any]:
    """For a webhook of one's own."""
    reading = notice.reading
    return {
        "change": notice.change.value,
        "rule": reading.rule.name,
        "severity": reading.rule.severity,
        "subject": reading.subject,
        "value": reading.value,
        "threshold": reading.threshold,
        "about": sentence(notice),
        "do": reading.rule.do,
        "runbook": link(reading.rule, runbook_url),
        "gateway": gateway,
    }


def text(notice: Notice, gateway: str, runbook_url: str | None) -> str:
    """Several lines."""
    parts = [sentence(notice), notice.reading.rule.do, f"Gateway: {gateway}"]
    where = link(notice.reading.rule, runbook_url)
    return "\n".join(parts if where is None else [*parts, where])


def slack(notice: Notice, gateway: str, runbook_url: str | None) -> dict[str, Any]:
    """https://api.slack.com/messaging/webhooks"""
    body = text(notice, gateway, runbook_url)
    for sign, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        body = body.replace(sign, escape)
    return {"text": f"*{title(notice)}*\n{body}"}


def teams(notice: Notice, gateway: str, runbook_url: str | None) -> dict[str, Any]:
    """An adaptive card, as the workflow "post to a channel when a webhook request is received"
    takes it."""
    color = "Good" if notice.change is Change.ENDS else "Attention"
    blocks = [
        {"type": "TextBlock", "text": title(notice), "weight": "Bolder", "color": color,
         "wrap": True},
        *({"type": "TextBlock", "text": line, "wrap": True}
          for line in text(notice, gateway, runbook_url).splitlines()),
    ]  # fmt: skip
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def pagerduty(
    notice: Notice, gateway: str, runbook_url: str | None, routing_key: str
) -> dict[str, Any]:
    """https://developer.pagerduty.com/docs/events-api-v2/overview/"""
    reading = notice.reading
    where = link(reading.rule, runbook_url)
    return {
        "routing_key": routing_key,
        "event_action": _PAGER[notice.change],
        "dedup_key": f"headrace:{gateway}:{reading.rule.name}:{reading.subject}"[:255],
        "payload": {
            "summary": f"{title(notice)}. {sentence(notice)}"[:1024],
            "source": gateway,
            "severity": reading.rule.severity,
            "custom_details": plain(notice, gateway, runbook_url),
        },
        "links": [] if where is None else [{"href": where, "text": "what to do"}],
    }


def mail(
    notice: Notice, gateway: str, runbook_url: str | None, sender: str, recipients: list[str]
) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = " ".join(f"{title(notice)} ({gateway})".split())
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message.set_content(text(notice, gateway, runbook_url) + "\n")
    return message
