"""Words that mean the same in two dialects."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from headrace.services.dialects.neutral import Finish

V = TypeVar("V")


def _inverted(table: Mapping[str, V]) -> Mapping[V, str]:
    """The first of several words is the one that is written."""
    return MappingProxyType({table[word]: word for word in reversed(list(table))})


OPENAI_FINISH = MappingProxyType(
    {
        "stop": Finish.STOP,
        "length": Finish.LENGTH,
        "tool_calls": Finish.TOOLS,
        "function_call": Finish.TOOLS,
        "content_filter": Finish.REFUSED,
    }
)
ANTHROPIC_FINISH = MappingProxyType(
    {
        "end_turn": Finish.STOP,
        "stop_sequence": Finish.STOP_SEQUENCE,
        "max_tokens": Finish.LENGTH,
        "tool_use": Finish.TOOLS,
        "refusal": Finish.REFUSED,
        "pause_turn": Finish.PAUSED,
        "model_context_window_exceeded": Finish.WINDOW,
    }
)
TO_OPENAI_FINISH = MappingProxyType(
    {
        **_inverted(OPENAI_FINISH),
        Finish.STOP_SEQUENCE: "stop",
        Finish.PAUSED: "stop",
        Finish.WINDOW: "length",
    }
)
TO_ANTHROPIC_FINISH = _inverted(ANTHROPIC_FINISH)

STANDARD = "standard"
AUTO = "auto"
OPENAI_TIERS = MappingProxyType(
    {"auto": AUTO, "default": STANDARD, "flex": "flex", "priority": "priority"}
)
ANTHROPIC_TIERS = MappingProxyType({"auto": AUTO, "standard_only": STANDARD})
"""Of requests. Other words each dialect has for itself alone."""
TO_OPENAI_TIERS = _inverted(OPENAI_TIERS)
TO_ANTHROPIC_TIERS = _inverted(ANTHROPIC_TIERS)
OPENAI_TIERS_USED = MappingProxyType({"default": STANDARD, "priority": "priority", "flex": "batch"})
"""Of answers, which say what was had."""
TO_OPENAI_TIERS_USED = _inverted(OPENAI_TIERS_USED)

OPENAI_EFFORTS = MappingProxyType({"max": "xhigh"})
"""What is near to a word that the dialect does not have."""
ANTHROPIC_EFFORTS = MappingProxyType({"minimal": "low"})
