"""This tree with steps taken out of a call's way, or with more in it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.peers.base import REPO, Command
from benchmarks.source_tree import SourceTree

ALONE = """\
from headrace.gateway.identity import Identity
from headrace.gateway.metering import Metering
from headrace.nouns import Caller

anybody = Caller(key_id="bench")
Identity.identify = lambda self, credential, ip="", printed=None: anybody
Metering.intend = lambda self, call, target, progress: None
Metering.price = lambda self, call, progress: None
Metering.settle = lambda self, call, progress, usage, now: None
"""
"""Forwards alone, by all policies: no identity, limits, prices, ledger. No mode of Headrace."""
IN_PYTHON = """\
import os

os.environ["HEADRACE_COMPILED"] = "0"
"""
"""Takes no step in C."""
UNSHED = """
resilience: {shedding: {batch_lag_ms: 60000, all_lag_ms: 60000}}
"""
"""A gateway that refuses no call, however busy the machine is."""


class Variant(SourceTree):
    """This tree, with more or less in a call's way."""

    def __init__(
        self,
        name: str,
        *,
        site: str = "",
        more: str = "",
        pool: int = 1,
        source: Path = REPO / "src",
    ) -> None:
        super().__init__(name, source, pool)
        self._site = site
        self._more = more

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        config = folder / "headrace.yaml"
        priced = config.read_text().replace("env:UP_KEY}", "env:UP_KEY, priced_as: openai/gpt-4o}")
        config.write_text(priced + self._more)
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(self._site)
        path = [str(folder / "site"), command.env["PYTHONPATH"]]
        command.env["PYTHONPATH"] = os.pathsep.join(path)
        return command
