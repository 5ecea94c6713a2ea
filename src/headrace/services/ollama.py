"""Ollama, by its OpenAI-compatible API.

https://docs.ollama.com/api/openai-compatibility says what it takes; of all else it says nothing and
takes no notice, so that it is refused or named in the header here: choices of tools, several
answers, `logit_bias`, end users. Thinking comes as `reasoning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Raw

from headrace.nouns import Operation
from headrace.services.dialects.omissions import Omissions
from headrace.services.openai_like import OpenAILikeService
from headrace.services.vllm import with_reasoning_content

_COMMON = {
    "model", "frequency_penalty", "presence_penalty", "seed", "stop", "stream", "stream_options",
    "temperature", "top_p", "max_tokens",
}  # fmt: skip
_SAID_ANYWAY = {"tool_choice": b'"auto"', "n": b"1", "parallel_tool_calls": b"true"}
"""Values by which these ask for what is done without them."""


class OllamaService(OpenAILikeService):
    """One server."""

    whose = "Ollama's API"
    taken: Mapping[Operation, frozenset[str]] = MappingProxyType(
        {
            Operation.CHAT: frozenset(
                _COMMON
                | {
                    "messages", "response_format", "tools", "reasoning_effort", "reasoning",
                    "logprobs", "top_logprobs",
                }
            ),
            Operation.COMPLETIONS: frozenset(_COMMON | {"prompt", "suffix"}),
            Operation.EMBEDDINGS: frozenset({"model", "input", "encoding_format", "dimensions"}),
        }
    )  # fmt: skip
    renamed: Mapping[str, str] = MappingProxyType({"max_completion_tokens": "max_tokens"})

    def _without(self, name: str, value: Raw, lost: Omissions) -> None:
        if bytes(value) != _SAID_ANYWAY.get(name):
            lost.lose(name)

    def plain(self, data: bytes) -> bytes:
        return with_reasoning_content(data)
