"""The configuration that a command works with.

Imports no part of the gateway: commands that only need to know where things are begin without it.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from headrace.config.loading import Loaded, discovered, load, locate, with_found


def local_available() -> bool:
    """Whether the extra for embedded models is installed."""
    return find_spec("xllamacpp") is not None


def find_config(option: Path | None) -> Loaded:
    """The file that is named or found, else what the environment offers. Raises Setup."""
    path = locate(option, os.environ, Path.cwd())
    if path is None:
        return discovered(os.environ, local_available())
    return with_found(load(path), os.environ, local_available())
