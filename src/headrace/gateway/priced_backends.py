"""By which provider's prices a backend's calls are paid, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headrace.config.backends import (
    AnthropicBackend,
    AnyBackend,
    AzureOpenAIBackend,
    BedrockBackend,
    CohereBackend,
    GoogleBackend,
    LocalBackend,
    MistralBackend,
    OllamaBackend,
    OpenAIBackend,
    VllmBackend,
    model_of,
)
from headrace.gateway.prices import LOCAL, PriceBook

UNKNOWN = "unknown"
"""The provider of servers of one's own: only the operator's own prices hold there."""
_OF_KIND: Mapping[type, str] = MappingProxyType(
    {
        AnthropicBackend: "anthropic",
        AzureOpenAIBackend: "azure",
        BedrockBackend: "aws",
        CohereBackend: "cohere",
        GoogleBackend: "google",
        LocalBackend: LOCAL,
        MistralBackend: "mistral",
        OllamaBackend: "ollama",
        VllmBackend: "vllm",
    }
)


def seller_of(backend: AnyBackend, prices: PriceBook) -> tuple[str, str | None]:
    """Provider, and its name of the model; None where that is the client's."""
    written: str | None = getattr(backend, "priced_as", None)
    provider, _, model = (written or "").partition("/")
    if not provider:
        provider = _OF_KIND.get(type(backend), UNKNOWN)
    if isinstance(backend, OpenAIBackend) and not written:
        provider = prices.provider_of_url(backend.url) or UNKNOWN
    return provider, model or model_of(backend)
