"""Headrace as a user starts it: `headrace serve --config FILE`, one worker, its journal on."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.base import CLIENT_KEY, UPSTREAM_KEY, Command, Endpoint

_BACKEND = "  up{n}: {{provider: openai, url: {url}, credential: env:UP_KEY}}\n"
_CONFIG = """\
server: {{port: {port}}}
store: {{folder: {folder}/store}}
keys:
  bench: {{secret: env:BENCH_KEY}}
backends:
{backends}
models:
  gpt-4o-mini: {{pools: [[{names}]]}}
"""


def command_of(
    program: list[str], upstream_url: str, port: int, folder: Path, pool: int = 1
) -> Command:
    """How a Headrace is started before a pool of so many backends, all the same upstream."""
    config = folder / "headrace.yaml"
    backends = "".join(_BACKEND.format(n=n, url=upstream_url) for n in range(pool))
    names = ", ".join(f"up{n}" for n in range(pool))
    config.write_text(_CONFIG.format(port=port, folder=folder, backends=backends, names=names))
    secrets = {"BENCH_KEY": CLIENT_KEY, "UP_KEY": UPSTREAM_KEY}
    return Command([*program, "serve", "--config", str(config)], secrets)


class Headrace:
    name = "headrace"
    title = "Headrace"

    def missing(self) -> str | None:
        return None if _program().exists() else "make install"

    def version(self) -> str:
        return version("headrace")

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        return command_of([str(_program())], upstream_url, port, folder)

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{port}/v1")


def _program() -> Path:
    return Path(sys.executable).parent / "headrace"
