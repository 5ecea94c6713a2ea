"""When somebody is called. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.config.references import SecretRef
from headrace.config.terms import Name

Above = Annotated[float, Meta(gt=0, le=1_000_000)]
Part = Annotated[float, Meta(gt=0, le=1, description="a share above 0, at most 1")]


class WebhookNotice(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="webhook"
):
    """JSON to a URL, by POST."""

    url: SecretRef
    """Where the URL is: `env:NAME` or `file:PATH`."""


class SlackNotice(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="slack"
):
    """A message to Slack, by an incoming webhook."""

    url: SecretRef
    """Where the webhook's URL is: `env:NAME` or `file:PATH`. Who has it can post."""


class TeamsNotice(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="teams"
):
    """A card to Microsoft Teams, by a workflow that posts what its webhook gets."""

    url: SecretRef
    """Where the workflow's URL is: `env:NAME` or `file:PATH`. Who has it can post."""


class PagerDutyNotice(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="pagerduty"
):
    """An incident at PagerDuty, which ends when the alert does."""

    routing_key: SecretRef
    """Where the integration's key (Events API v2) is: `env:NAME` or `file:PATH`."""
    url: str = "https://events.pagerduty.com/v2/enqueue"
    """Another region's, or a proxy's."""


class MailNotice(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="email"
):
    """A mail, by a server that speaks SMTP."""

    host: str
    """The mail server."""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted. `none` only on this machine or a network that you trust."""
    username: str | None = None
    """The user; leave out for servers without."""
    password: SecretRef | None = None
    """Where that user's password is: `env:NAME` or `file:PATH`."""
    sender: str
    """The address it is from."""
    recipients: list[str]
    """Addresses it goes to."""


AnyNotice = WebhookNotice | SlackNotice | TeamsNotice | PagerDutyNotice | MailNotice


class Alerts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is watched, and who is told. Rates and times must be past their threshold in a short
    and a long window at once; the log has each alert too."""

    enabled: bool = True
    """Watch. Without metrics nothing is watched."""
    latency_p95_s: Above = 5.0
    """P95 of a model's calls, in seconds."""
    error_share: Part = 0.05
    """Share of a model's calls that ended with 429, 5xx or a content filter."""
    tokens_over_budget: Above = 1.2
    """Tokens used, as a share of their budget."""
    cost_over_budget: Above = 1.1
    """Dollars used, as a share of their budget."""
    groundedness_mean: Annotated[float, Meta(ge=1, le=5)] = 4.0
    """Mean groundedness of a model's judged answers, from 1 to 5; less is an alert. Without
    scores there is none."""
    least_scores: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Fewer scores within the short window say nothing."""
    ledger_behind_s: Above = 60.0
    """Time since the ledger last held all settled calls, in seconds."""
    redis_away_s: Above = 30.0
    """How long Redis may not answer a worker before somebody is told, in seconds."""
    breaker_open_s: Above = 30.0
    """How long a backend's breaker may be open before somebody is told, in seconds."""
    short_window_s: Annotated[float, Meta(ge=60, le=86_400)] = 300.0
    """The window that ends an alert."""
    long_window_s: Annotated[float, Meta(ge=60, le=86_400)] = 3600.0
    """The window that keeps a short burst from being one."""
    least_calls: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Fewer calls within the short window say nothing."""
    remind_s: Annotated[float, Meta(ge=60, le=604_800)] = 14_400.0
    """An alert that lasts is told again after this time, in seconds."""
    runbook_url: str | None = None
    """Where your own instructions are; the rule's name is added as in `#breaker-open`."""
    notify: dict[Name, AnyNotice] = field(default_factory=dict)
    """Who is told, by a name of your choice."""
