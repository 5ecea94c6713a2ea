"""Where settled calls are told of. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from headrace.config.references import SecretRef


class FileExport(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="file"
):
    """Lines of JSON in a file."""

    path: str
    """The file; a relative one starts at this file's folder. It is appended to, and opened anew
    when it was moved away."""


class WebhookExport(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="webhook"
):
    """Batches as JSON to a URL, by POST."""

    url: str
    """Where to. An answer from 200 to 299 says that the batch was taken."""
    secret: SecretRef
    """Where the secret is that batches are signed with: `env:NAME` or `file:PATH`."""
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Rows in one POST at most."""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    """An answer that takes longer is a failure."""


KafkaServer = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$",
        description="a server as `HOST:PORT`",
    ),
]
Topic = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="a topic's name, of letters, digits and `. _ -`",
    ),
]


class KafkaExport(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="to", tag="kafka"
):
    """Messages to a topic of Kafka, or of Azure Event Hubs by its Kafka endpoint. Needs
    `pip install 'headrace[kafka]'`."""

    servers: list[KafkaServer]
    """Where to begin, such as `[NAME.servicebus.windows.net:9093]` for Event Hubs."""
    topic: Topic
    """The topic, or the event hub. It must be there."""
    tls: bool = True
    """Encrypt. Switch off only for servers on this machine or a network that you trust."""
    ca: str | None = None
    """Path of the PEM certificates that vouch for the servers'; leave out to trust the system's."""
    username: str | None = None
    """The user; for Event Hubs this is `$ConnectionString`. Leave out for servers without users."""
    password: SecretRef | None = None
    """Where that user's password is, `env:NAME` or `file:PATH`; for Event Hubs this is the
    connection string."""
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] = "plain"
    """How the password is shown."""
    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Rows sent at once at most."""
    timeout_s: Annotated[float, Meta(ge=1, le=300)] = 30.0
    """A message that is not acknowledged for this long is a failure; its batch is sent again."""


AnyExport = FileExport | WebhookExport | KafkaExport
