"""What a process under test has of the environment that the tests run in."""

from __future__ import annotations

import os


def ambient() -> dict[str, str]:
    """No provider's key of whoever runs the tests."""
    return {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
