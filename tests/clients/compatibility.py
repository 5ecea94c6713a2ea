"""docs/compatibility.md: its clients and providers, what is lost between them, and its text."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
CHATS = {
    "OpenAI": "gpt-4o",
    "Azure OpenAI": "azure-dated",
    "Anthropic": "claude-sonnet",
    "Google": "gemini",
    "AWS Bedrock": "bedrock",
    "Cohere": "cohere",
    "Mistral": "mistral",
    "Ollama": "ollama",
    "vLLM": "vllm",
}
RESPONDING = "openai, responses"
RESPONSES = {
    "OpenAI": "responding",
    "Azure OpenAI": "azure-responding",
    "A server of chats alone": "gpt-4o",
    **{name: CHATS[name] for name in ("Anthropic", "Google", "Mistral", "Ollama", "vLLM")},
}
CLIENTS = {"openai": CHATS, "AzureOpenAI": CHATS, "anthropic": CHATS, RESPONDING: RESPONSES}
"""Each client's providers, and the models that lead to them."""
PAIRS = [(client, provider) for client, providers in CLIENTS.items() for provider in providers]
YES, DROPPED, REFUSED = "yes", "left out, told", "refused"
ABSENT = "–"
"""The client's own API has no way to ask for it."""
NOT_OF_CLIENT = {
    "anthropic": ("JSON mode", "seed", "log probabilities"),
    RESPONDING: ("stop sequences", "cache marks", "seed"),
}
LOST: dict[tuple[str, ...], str] = {
    ("JSON mode", "Anthropic"): REFUSED,
    ("seed", "Anthropic"): DROPPED,
    ("log probabilities", "Anthropic"): REFUSED,
    ("cache marks", "OpenAI", "anthropic"): DROPPED,
    ("cache marks", "Azure OpenAI", "anthropic"): DROPPED,
    ("documents (PDF)", "Google", "openai"): DROPPED,
    ("documents (PDF)", "Google", "AzureOpenAI"): DROPPED,
    ("documents (PDF)", "Cohere"): REFUSED,
    ("cache marks", "Cohere"): DROPPED,
    ("end user", "Cohere"): DROPPED,
    ("effort of reasoning", "Cohere"): DROPPED,
    ("log probabilities", "Cohere"): REFUSED,
    ("JSON mode", "AWS Bedrock"): REFUSED,
    ("log probabilities", "AWS Bedrock"): REFUSED,
    ("seed", "AWS Bedrock"): DROPPED,
    ("images, URL", "AWS Bedrock"): REFUSED,
    ("cache marks", "vLLM", "anthropic"): DROPPED,
    ("cache marks", "Ollama", "anthropic"): DROPPED,
    ("cache marks", "Mistral"): DROPPED,
    ("end user", "Mistral"): DROPPED,
    ("end user", "Ollama"): DROPPED,
    ("documents (PDF)", "Google", RESPONDING): DROPPED,
    ("cache marks", "Google"): DROPPED,
    ("end user", "Google"): DROPPED,
}
"""What is not simply `yes`, by feature, provider and, where they differ, client."""


MORE = "## More SDKs"
"""Begins the part of the page that `make test-sdks` makes: tests/sdks/compatibility.py."""


PASSED: dict[str, dict[str, str]] = {
    "images/generations": {
        "OpenAI": "/v1/images/generations",
        "Azure OpenAI": "/openai/deployments/east/images/generations",
    },
    "images/edits": {
        "OpenAI": "/v1/images/edits",
        "Azure OpenAI": "/openai/deployments/east/images/edits",
    },
    "images/variations": {"OpenAI": "/v1/images/variations"},
    "audio/speech": {
        "OpenAI": "/v1/audio/speech",
        "Azure OpenAI": "/openai/deployments/east/audio/speech",
    },
    "audio/transcriptions": {
        "OpenAI": "/v1/audio/transcriptions",
        "Azure OpenAI": "/openai/deployments/east/audio/transcriptions",
        "Mistral": "/mistral/v1/audio/transcriptions",
        "vLLM": "/v1/audio/transcriptions",
    },
    "audio/translations": {
        "OpenAI": "/v1/audio/translations",
        "Azure OpenAI": "/openai/deployments/east/audio/translations",
        "vLLM": "/v1/audio/translations",
    },
    "moderations": {"OpenAI": "/v1/moderations", "Mistral": "/mistral/v1/moderations"},
    "rerank": {"Cohere": "/v2/rerank", "vLLM": "/v1/rerank"},
    "files": {
        "OpenAI": "/v1/files",
        "Azure OpenAI": "/openai/files",
        "Mistral": "/mistral/v1/files",
    },
}
"""What is passed on as it came, by provider: where it arrives."""
PASSED_TO = ("OpenAI", "Azure OpenAI", "Cohere", "Mistral", "vLLM")


def passed_table() -> list[str]:
    """The rows of `PASSED`, each cell of which `test_passed_matrix.py` asks for."""
    return [
        "## Passed on",
        "",
        "Made by `tests/clients/test_passed_matrix.py`: `yes` is a call that arrived there.",
        "",
        f"| | {' | '.join(PASSED_TO)} |",
        "|---" * (len(PASSED_TO) + 1) + "|",
        *(
            f"| `{path}` | {' | '.join(YES if name in has else ABSENT for name in PASSED_TO)} |"
            for path, has in PASSED.items()
        ),
        "",
    ]


def parts() -> tuple[str, str]:
    """The page as it is: what this folder's tests make of it, and what `make test-sdks` does."""
    own, heading, more = PAGE.read_text().partition(f"{MORE}\n")
    return own, heading + more


def page(results: dict[tuple[str, str, str], str], features: Collection[str]) -> str:
    """The page's own part, by results of each feature, client and provider."""
    return "\n".join(
        [
            "# Compatibility",
            "",
            "Made by `tests/clients/test_matrix.py`: each cell is a call that was made, by the",
            "client's own SDK through a gateway's port to an upstream that speaks the provider's",
            "format. `left out, told`: the member is named in `x-headrace-dropped`. `refused`: an",
            f"error says what cannot be expressed. `{ABSENT}`: the client's API has no such thing.",
            "",
            *(line for client in CLIENTS for line in _table(client, results, features)),
            *passed_table(),
        ]
    )


def _table(
    client: str, results: dict[tuple[str, str, str], str], features: Collection[str]
) -> list[str]:
    providers = CLIENTS[client]
    cells = {
        f: " | ".join(results[f, client, provider] for provider in providers) for f in features
    }
    return [
        f"## `{client}`",
        "",
        f"| | {' | '.join(providers)} |",
        "|---" * (len(providers) + 1) + "|",
        *(f"| {feature} | {said} |" for feature, said in cells.items()),
        "",
    ]
