"""What a translation leaves out: refused or told, never silent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from headrace.errors import Reason, Refused
from headrace.services.dialects.neutral import Asked

Policy = Literal["by_meaning", "refuse", "drop"]

HARMLESS = frozenset(
    {
        # tuning
        "seed", "logit_bias", "frequency_penalty", "presence_penalty", "top_k", "temperature",
        "verbosity", "prediction", "reasoning_effort", "thinking", "effort", "service_tier",
        "speed", "detail", "truncation", "max_tool_calls", "phase",
        # marks for the provider's own records and caches
        "store", "metadata", "user", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "cache_control", "diagnostics",
        # of a conversation: what the text beside it says too, or what only its own provider reads
        "name", "is_error", "citations", "annotations", "thinking_blocks", "reasoning_content",
        "eager_input_streaming", "input_examples", "title", "description", "encrypted_content",
        # litellm's note of what an answer held, most of which stands beside it too
        "provider_specific_fields",
    }
)  # fmt: skip
"""Without these the answer is of the same kind. Last parts of members' names."""
_NAMES = {"cache": "cache_control"}
"""Of members, where the neutral form has another."""
_MOST_TOLD = 20
_UNFIT = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_INDEX = re.compile(r"\[\d+\]")


class Omissions:
    """Collects what one request loses. `by_meaning` refuses what would change the meaning."""

    __slots__ = ("_policy", "_whose", "dropped")

    def __init__(self, policy: Policy, whose: str) -> None:
        """`whose` names the dialect that cannot say it."""
        self._policy = policy
        self._whose = whose
        self.dropped: dict[str, None] = {}

    def lose(self, name: str, instead: str = "") -> None:
        """Tells of a member that cannot be expressed. Raises Refused(UNSUPPORTED_BY_PROVIDER)."""
        last = name.rpartition(".")[2]
        harmless = _INDEX.sub("", last) in HARMLESS
        if self._policy == "refuse" or (self._policy == "by_meaning" and not harmless):
            shown = _UNFIT.sub("?", name)[:100]
            raise Refused(
                Reason.UNSUPPORTED_BY_PROVIDER,
                f"{shown!r} cannot be expressed in {self._whose}, which the backend of this model "
                f"speaks. {instead or 'Leave it out, or use a model that has it.'}",
                param=shown,
            )
        self.dropped[_UNFIT.sub("?", _INDEX.sub("", name))[:64]] = None

    def lose_members(self, asked: Asked, unknown: Iterable[str]) -> None:
        """Tells of what has no place in the neutral form, and of `unknown` members of that, which
        the dialect does not have, if they were said. Raises Refused."""
        for name in asked.others:
            self.lose(name)
        for name in unknown:
            if getattr(asked, name) is not None:
                self.lose(_NAMES.get(name, name))

    def headers(self) -> bytes:
        """A header line that names what was dropped; b"" if nothing was."""
        if not self.dropped:
            return b""
        names = list(self.dropped)[:_MOST_TOLD]
        more = [] if len(self.dropped) <= _MOST_TOLD else ["..."]
        return b"x-headrace-dropped: %b\r\n" % ", ".join(names + more).encode()
