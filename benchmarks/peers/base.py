"""What a compared gateway has to tell: whether it is there, how it is started and called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

REPO = Path(__file__).resolve().parent.parent.parent
BENCH_FOLDER = REPO / ".bench"
"""Where `make bench-peers` installs the peers."""

CLIENT_KEY = "sk-benchmark-client-key-0000000000"
UPSTREAM_KEY = "sk-benchmark-upstream-key-00000000"


@dataclass(frozen=True)
class Endpoint:
    """Where a gateway is called and with which headers."""

    base_url: str
    """With its `/v1`."""
    headers: dict[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {CLIENT_KEY}"}
    )


@dataclass(frozen=True)
class Command:
    """How a gateway is started."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


class Peer(Protocol):
    """A gateway that can be measured."""

    @property
    def name(self) -> str:
        """As `--only` spells it."""

    @property
    def title(self) -> str:
        """As tables spell it."""

    def missing(self) -> str | None:
        """How to install it, if it is not there."""

    def version(self) -> str:
        """The installed version."""

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        """Write what it needs into `folder`; how to start it. None: there is nothing to start."""

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        """Where and how it is called once it runs."""
