"""How each gateway is set up: A first, B when A fails, by its own documented means.

A gets every call and B is the reserve, because a gateway that spreads calls by chance would meet
the fault in half of them only, and not the same half. Every case has a model name and backends of
its own. Where a gateway has no limit of time by default, it gets Headrace's: 15 s without a byte
for a stream, 60 s for a whole answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from benchmarks.faults.backends import Backends
from benchmarks.faults.cases import Case
from benchmarks.peers import PEERS
from benchmarks.peers.base import CLIENT_KEY, UPSTREAM_KEY, Command, Peer

STREAM_S, WHOLE_S = 15, 60


@dataclass(frozen=True)
class Site:
    """Where a gateway stands."""

    backends: Backends
    cases: Sequence[Case]
    port: int
    folder: Path


class Setup(Protocol):
    """A gateway in front of A and B."""

    @property
    def peer(self) -> Peer:
        """How it is installed and started."""

    @property
    def how(self) -> str:
        """For people: what it was told about retries and fallback."""

    def command(self, site: Site) -> Command:
        """Write its configuration; how it is started."""

    def headers(self, site: Site, case: Case) -> dict[str, str]:
        """Of each call of this case."""


def _command(peer: Peer, site: Site) -> Command:
    command = peer.command(site.backends.url(site.cases[0], "b"), site.port, site.folder)
    if command is None:
        raise RuntimeError(f"{peer.title} has nothing to start")
    return command


class HeadraceSetup:
    peer = PEERS["headrace"]
    how = "`pools: [[a], [b]]`, everything else at its default."

    def command(self, site: Site) -> Command:
        command = _command(self.peer, site)
        file = site.folder / "headrace.yaml"
        config = yaml.safe_load(file.read_text())
        config["backends"] = {
            f"{case.model}-{backend}": {
                "provider": "openai",
                "url": site.backends.url(case, backend),
                "credential": "env:UP_KEY",
            }
            for case in site.cases
            for backend in "ab"
        }
        config["models"] = {
            case.model: {"pools": [[f"{case.model}-a"], [f"{case.model}-b"]]} for case in site.cases
        }
        file.write_text(yaml.safe_dump(config))
        return command

    def headers(self, site: Site, case: Case) -> dict[str, str]:
        return {}


class LiteLLMSetup:
    peer = PEERS["litellm"]
    how = (
        "two deployments in one model group with `order: 1` and `order: 2`, `num_retries: 2`, "
        f"`timeout: {WHOLE_S}`, `stream_timeout: {STREAM_S}` (its default is 6,000 s), cooldowns "
        "at their default."
    )

    def command(self, site: Site) -> Command:
        command = _command(self.peer, site)
        file = site.folder / "litellm.yaml"
        config = yaml.safe_load(file.read_text())
        config["model_list"] = [
            {
                "model_name": case.model,
                "litellm_params": {
                    "model": f"openai/{case.model}",
                    "api_base": site.backends.url(case, backend),
                    "api_key": "os.environ/UP_KEY",
                    "order": order,
                },
            }
            for case in site.cases
            for order, backend in enumerate("ab", start=1)
        ]
        config["litellm_settings"].pop("request_timeout")
        config["router_settings"] = {
            "num_retries": 2,
            "timeout": WHOLE_S,
            "stream_timeout": STREAM_S,
        }
        file.write_text(yaml.safe_dump(config))
        return command

    def headers(self, site: Site, case: Case) -> dict[str, str]:
        return {}


class PortkeySetup:
    peer = PEERS["portkey"]
    how = (
        "`x-portkey-config` with `strategy: {mode: fallback}` and two targets, each with "
        f"`retry: {{attempts: 2}}` and a `request_timeout` of {WHOLE_S} s for whole answers and "
        f"{STREAM_S} s for streams (it has none by default)."
    )

    def command(self, site: Site) -> Command:
        return _command(self.peer, site)

    def headers(self, site: Site, case: Case) -> dict[str, str]:
        targets = [
            {
                "provider": "openai",
                "api_key": UPSTREAM_KEY,
                "custom_host": site.backends.url(case, backend),
                "retry": {"attempts": 2},
                "request_timeout": (STREAM_S if case.stream else WHOLE_S) * 1000,
            }
            for backend in "ab"
        ]
        config = {"strategy": {"mode": "fallback"}, "targets": targets}
        return {"x-portkey-config": json.dumps(config)}


SETUPS: dict[str, Setup] = {
    setup.peer.name: setup for setup in (HeadraceSetup(), LiteLLMSetup(), PortkeySetup())
}

__all__ = ["CLIENT_KEY", "SETUPS", "Setup", "Site"]
