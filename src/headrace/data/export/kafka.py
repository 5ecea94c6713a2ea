"""Rows as messages to a topic, by Kafka's protocol: Kafka, Event Hubs and what else speaks it.

A row's id is its message's key: what is sent again has the same key, lands in the same partition,
and takes the place of the first in a compacted topic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from headrace.data.export.sink import Undelivered
from headrace.errors import Setup, install_extra
from headrace.platform.secrets import Secret

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger("headrace.export")

GRACE_S = 5.0
"""The client gives each message up by its own clock; this is for its last words."""
OFTEN_ENOUGH_MS = 180_000
"""Event Hubs closes connections that idle for 240 s (learn.microsoft.com, Event Hubs: recommended
configurations for Apache Kafka clients)."""


class Login(Struct, frozen=True):
    """Who the gateway is to the servers."""

    mechanism: str
    username: str
    password: Callable[[], Secret]
    """Asked at each batch, so that it may rotate."""


class _Row(Struct):
    id: str


_id_of = msgspec.json.Decoder(_Row).decode


class KafkaSink:
    """A batch is taken when the servers have acknowledged all of it (`acks=all`)."""

    def __init__(
        self,
        servers: Sequence[str],
        topic: str,
        *,
        security: str,
        ca: str | None,
        login: Login | None,
        batch: int,
        timeout_s: float,
    ) -> None:
        """`security` is Kafka's `security.protocol`. Raises Setup if the client is not installed
        or cannot use the settings."""
        self.batch = batch
        self._client = client()
        self._topic = topic
        self._login = login
        self._timeout_s = timeout_s
        self._settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(servers),
            "client.id": "headrace",
            "security.protocol": security,
            "acks": "all",
            # A repeated batch must not overtake the next one.
            "max.in.flight": 1,
            "linger.ms": 5,
            "message.timeout.ms": int(timeout_s * 1000),
            "request.timeout.ms": max(1000, int(timeout_s * 1000)),
            "socket.keepalive.enable": True,
            "connections.max.idle.ms": OFTEN_ENOUGH_MS,
            "metadata.max.age.ms": OFTEN_ENOUGH_MS,
            "log.connection.close": False,
            "error_cb": self._hear,
        }
        if ca is not None:
            self._settings["ssl.ca.location"] = ca
        self._producer: Producer | None = None
        self._secret: Secret | None = None
        self._last_error = ""
        try:
            self._connected()
        except self._client.KafkaException as error:
            raise Setup(
                f"The export to Kafka cannot be used: {error.args[0].str()}.",
                "Correct its settings under `export` in headrace.yaml.",
            ) from None

    def send(self, rows: Sequence[bytes]) -> None:
        try:
            producer = self._connected()
            self._send(producer, rows)
        except (self._client.KafkaException, BufferError) as error:
            self.close()
            raise Undelivered(f"{self._last_error or error}") from None
        except Undelivered:
            self.close()
            raise

    def _send(self, producer: Producer, rows: Sequence[bytes]) -> None:
        self._last_error, faults = "", []
        taken = 0

        def told(error: Any, _: Any) -> None:
            nonlocal taken
            if error is None:
                taken += 1
            else:
                faults.append(error)

        for row in rows:
            producer.produce(self._topic, row, key=_id_of(row).id, on_delivery=told)
        producer.flush(self._timeout_s + GRACE_S)
        if taken != len(rows):
            cause = faults[0].str() if faults else "no answer in time"
            why = f"{cause}; {self._last_error}" if self._last_error else cause
            raise Undelivered(f"{taken} of {len(rows)} rows were taken: {why}")

    def _connected(self) -> Producer:
        """With the password as it is now. Kept from batch to batch."""
        secret = None if self._login is None else self._login.password()
        if self._producer is not None and secret == self._secret:
            return self._producer
        self.close()
        settings = dict(self._settings)
        if self._login is not None and secret is not None:
            settings["sasl.mechanism"] = self._login.mechanism
            settings["sasl.username"] = self._login.username
            settings["sasl.password"] = secret.reveal()
        # Its own words go to our log, which keeps secrets out, not to standard error.
        self._producer = self._client.Producer(settings, logger=_quiet())
        self._secret = secret
        return self._producer

    def _hear(self, error: Any) -> None:
        """What is wrong with a connection, which a message's own fault does not say."""
        self._last_error = error.str()

    def close(self) -> None:
        """What was not acknowledged is given up: it is sent again by the next one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(GRACE_S)


def require_client() -> None:
    """Raises Setup if the library is not installed. It is not loaded by this."""
    if find_spec("confluent_kafka") is None:
        raise Setup(
            "An export to Kafka or Event Hubs needs the package confluent-kafka.",
            install_extra("kafka"),
        )


def client() -> Any:
    """The library. Raises Setup if it is not installed."""
    require_client()
    import confluent_kafka

    return confluent_kafka


def _quiet() -> logging.Logger:
    """The client's complaints repeat each second; `the export fails` says the last of them."""
    logger = logging.getLogger("headrace.export.kafka")
    logger.setLevel(logging.CRITICAL)
    return logger
