"""Headrace as a source tree has it, installed or not: to be measured beside another."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.base import Command, Endpoint
from benchmarks.peers.headrace import command_of

_PROGRAM = "import sys; from headrace.cli import main; sys.exit(main())"


class SourceTree:
    """In front of a pool of backends (all the same upstream)."""

    def __init__(self, name: str, source: Path, pool: int = 1) -> None:
        self.name = self.title = name
        self._source = source
        self._pool = pool

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return self.name

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        program = [sys.executable, "-c", _PROGRAM]
        command = command_of(program, upstream_url, port, folder, self._pool)
        command.env["PYTHONPATH"] = str(self._source)
        return command

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{port}/v1")
