"""The config as it is in force, for a person to read."""

from __future__ import annotations

import msgspec
import yaml

from headrace.config.loading import Loaded


def as_json(loaded: Loaded) -> str:
    """The same for machines, with `source`: the file, null where there is none."""
    source = None if loaded.source is None else str(loaded.source)
    return msgspec.json.encode({"source": source, "config": loaded.config}).decode()


def show(loaded: Loaded) -> str:
    """YAML with every default and left-out model filled in, which `load` reads back as the same.

    Holds references to secrets (`env:NAME`), never a secret.
    """
    source = "what was found, without a file" if loaded.source is None else str(loaded.source)
    body = yaml.safe_dump(
        msgspec.to_builtins(loaded.config), sort_keys=False, allow_unicode=True, width=100
    )
    return f"# In force, from {''.join(c for c in source if c.isprintable())}\n{body}"
