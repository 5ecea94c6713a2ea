"""The configuration that a command works with.

Imports no part of the gateway: commands that only need to know where things are begin without it.
"""

from __future__ import annotations

import contextlib
import os
from importlib.util import find_spec
from pathlib import Path

from headrace.config.loading import Loaded, discovered, load, locate, with_found
from headrace.config.local_url import local_url
from headrace.edge.worker_sockets import ask_one
from headrace.errors import Misused


def local_available() -> bool:
    """Whether the extra for embedded models is installed."""
    return find_spec("xllamacpp") is not None


def find_config(option: Path | None) -> Loaded:
    """The file that is named or found, else what the environment offers. Raises Setup."""
    path = locate(option, os.environ, Path.cwd())
    if path is None:
        return discovered(os.environ, local_available())
    return with_found(load(path), os.environ, local_available())


def named_once(file: Path | None, config: Path | None) -> Path | None:
    """The file of a command that takes its name with and without `--config`. Raises Misused."""
    if file is not None and config is not None:
        raise Misused(
            f"Two files are named: {file}, and {config} by --config.",
            "Name one. Both mean the same.",
        )
    return config if file is None else file


def gateway_url(loaded: Loaded) -> str:
    """The base URL of the gateway that runs with this store, wherever its options put it; if none
    does, the one that the configuration would have."""
    with contextlib.suppress(OSError, ValueError):  # another user's, or one that is ending
        answer = ask_one(loaded.store_folder, "GET", "/workers")
        if answer is not None and answer[0] == 200 and answer[1]["url"]:
            return f"{answer[1]['url']}/v1"
    server = loaded.config.server
    return f"{local_url(server, server.port)}/v1"
