"""Services that speak OpenAI's API, by the names people know them by."""

from __future__ import annotations

from types import MappingProxyType

OPENAI_COMPATIBLE = MappingProxyType(
    {
        "cerebras": "https://api.cerebras.ai/v1",
        "deepseek": "https://api.deepseek.com/v1",
        "fireworks": "https://api.fireworks.ai/inference/v1",
        "groq": "https://api.groq.com/openai/v1",
        "llama.cpp": "http://127.0.0.1:8080/v1",
        "lmstudio": "http://127.0.0.1:1234/v1",
        "openrouter": "https://openrouter.ai/api/v1",
        "together": "https://api.together.xyz/v1",
        "xai": "https://api.x.ai/v1",
    }
)
"""Base URLs to suggest when somebody writes such a name as `provider`."""

ALSO_CALLED = MappingProxyType(
    {"aws": "bedrock", "azure": "azure_openai", "claude": "anthropic", "gemini": "google"}
)
"""Providers, by other names that people know them by."""
