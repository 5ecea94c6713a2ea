"""What must fit in an export's settings that types can't say."""

from __future__ import annotations

from headrace.config.exporting import KafkaExport
from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.urls import is_loopback

EVENT_HUBS = ".servicebus.windows.net"
CONNECTION_STRING = "$ConnectionString"


def check_kafka(export: KafkaExport, path: KeyPath, located: Located) -> None:
    if not export.servers:
        located.problem(
            (*path, "servers"), "there is no server", "Write one or more, as `[HOST:PORT]`."
        )
    for i, server in enumerate(export.servers):
        if int(server.rpartition(":")[2]) > 65_535:
            located.problem((*path, "servers", i), "there is no such port", "Write `HOST:PORT`.")
    for one, other in (("username", "password"), ("password", "username")):
        if getattr(export, one) is not None and getattr(export, other) is None:
            located.problem(
                (*path, one),
                f"there is no `{other}` for it",
                f"Add `{other}: {'env:NAME' if other == 'password' else 'NAME'}`, or remove it.",
            )
    _check_tls(export, path, located)
    _check_event_hubs(export, path, located)


def _check_tls(export: KafkaExport, path: KeyPath, located: Located) -> None:
    hosts = [server.rpartition(":")[0] for server in export.servers]
    if not export.tls and not all(map(is_loopback, hosts)):
        with_it = " and the password" if export.password is not None else ""
        located.warning(
            (*path, "tls"),
            f"what calls used{with_it} travels unencrypted to another machine",
            "Remove the line unless you trust the network between.",
        )
    if not export.tls and export.ca is not None:
        located.warning(
            (*path, "ca"), "it has no effect without TLS", "Remove it, or `tls: false`."
        )


def _check_event_hubs(export: KafkaExport, path: KeyPath, located: Located) -> None:
    """Its Kafka endpoint is one port, with TLS, and takes a connection string as password."""
    ours = [s for s in export.servers if s.rpartition(":")[0].lower().endswith(EVENT_HUBS)]
    if not ours:
        return
    if any(not server.endswith(":9093") for server in ours):
        located.problem(
            (*path, "servers"),
            "Event Hubs speaks Kafka on port 9093 alone",
            f"Write {quoted(ours[0].rpartition(':')[0] + ':9093', 200)}.",
        )
    if not export.tls:
        located.problem((*path, "tls"), "Event Hubs takes no plain connection", "Remove the line.")
    if export.username != CONNECTION_STRING or export.mechanism != "plain":
        located.problem(
            path,
            "Event Hubs takes a connection string as password",
            f'Write `username: "{CONNECTION_STRING}"` and `password: env:NAME`, with '
            "`mechanism: plain`.",
        )
