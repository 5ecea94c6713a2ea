"""The keys that the configuration itself names."""

from __future__ import annotations

from headrace.errors import Setup
from headrace.platform.secrets import Secrets

SHORTEST_KEY = 16


def own_key_text(name: str, reference: str, secrets: Secrets, now: float) -> str:
    """Raises Setup if it cannot be read or can be guessed. `now` is monotonic seconds."""
    text = secrets.get(reference, now).reveal()
    if len(text) < SHORTEST_KEY:
        raise Setup(
            f"The key {name!r} ({reference}) is shorter than {SHORTEST_KEY} characters.",
            "Make one that cannot be guessed: `openssl rand -hex 32`.",
        )
    return text
