"""Portkey's open-source gateway on Node: headless, `NODE_ENV=production`, one process.

Its provider and upstream are told by headers on each call; it passes the client's key on.
`make bench-peers` installs it with @hono/node-server 1.13.8, as with newer ones its streams fail
("TypeError: immutable", Portkey-AI/gateway issue 1389).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.peers.base import BENCH_FOLDER, CLIENT_KEY, Command, Endpoint

_PACKAGE = BENCH_FOLDER / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
_PROGRAM = _PACKAGE / "build" / "start-server.js"


class Portkey:
    name = "portkey"
    title = "Portkey"

    def missing(self) -> str | None:
        return None if _PROGRAM.exists() and shutil.which("node") else "make bench-peers"

    def version(self) -> str:
        version: str = json.loads((_PACKAGE / "package.json").read_text())["version"]
        return version

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        return Command(
            ["node", str(_PROGRAM), f"--port={port}", "--headless"],
            {"NODE_ENV": "production"},
        )

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(
            f"http://127.0.0.1:{port}/v1",
            {
                "Authorization": f"Bearer {CLIENT_KEY}",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": upstream_url,
            },
        )
