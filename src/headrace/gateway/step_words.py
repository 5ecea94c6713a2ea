"""Decisions in words for people: `headrace why` and the console say the same."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

IN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "first": "asked first",
        "retry": "asked again",
        "failover": "asked instead",
        "probe": "asked to see whether it is well",
        "context_fallback": "asked for its larger window",
        "resume": "asked to go on",
        "hedge": "asked beside",
    }
)
"""What an attempt was for. All else that a `Decision` did is in words already."""
