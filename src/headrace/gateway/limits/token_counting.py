"""The prompt's size, estimated, or counted where that was asked for and can be done."""

from __future__ import annotations

from headrace.gateway.limits.prompt_size import PromptSize, prompt_size
from headrace.nouns import Call


class PromptCounter:
    """Estimates."""

    def prompt_size(self, call: Call) -> PromptSize:
        return prompt_size(call.body)
