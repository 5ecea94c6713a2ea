"""No gateway: the upstream itself. Latencies of the others are told as added to this one's."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.base import Command, Endpoint


class Direct:
    name = "direct"
    title = "no gateway"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return ""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        return None

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(upstream_url)
