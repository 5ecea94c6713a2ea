"""Where a gateway is for whoever is on its machine."""

from __future__ import annotations

from headrace.config.schema import Server


def local_url(server: Server, port: int) -> str:
    """By which this machine reaches the port for calls, without a path."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104
    return f"{'https' if server.tls else 'http'}://{host}:{port}"
