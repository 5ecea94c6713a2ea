"""Headrace as a user starts it: `headrace serve --config FILE`, one worker, its journal on."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.base import CLIENT_KEY, UPSTREAM_KEY, Command, Endpoint

_CONFIG = """\
server: {{port: {port}}}
store: {{folder: {folder}/store}}
keys:
  bench: {{secret: env:BENCH_KEY}}
backends:
  up: {{provider: openai, url: {url}, credential: env:UP_KEY}}
models:
  gpt-4o-mini: {{pools: [[up]]}}
"""


class Headrace:
    name = "headrace"
    title = "Headrace"

    def missing(self) -> str | None:
        return None if _program().exists() else "make install"

    def version(self) -> str:
        return version("headrace")

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        config = folder / "headrace.yaml"
        config.write_text(_CONFIG.format(port=port, url=upstream_url, folder=folder))
        return Command(
            [str(_program()), "serve", "--config", str(config)],
            {"BENCH_KEY": CLIENT_KEY, "UP_KEY": UPSTREAM_KEY},
        )

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{port}/v1")


def _program() -> Path:
    return Path(sys.executable).parent / "headrace"
