"""The part of docs/compatibility.md that `make test-sdks` makes: its clients, and its text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clients.compatibility import CHATS, MORE, REFUSED, RESPONSES, YES

LOCKS = Path(__file__).parents[2] / "locks" / "sdks"
FEATURES = (
    "whole answers",
    "streams",
    "system messages",
    "earlier turns",
    "tools, parallel calls",
    "tools in streams",
    "types of answers",
    "images, base64",
    "thinking",
    "usage, cached tokens",
    "conversation too long, told",
    "a cut stream is an error",
)
OF_ALL = {
    "whole answers",
    "streams",
    "system messages",
    "tools, parallel calls",
    "tools in streams",
    "usage, cached tokens",
    "conversation too long, told",
    "a cut stream is an error",
}
USUAL = OF_ALL | {"earlier turns", "types of answers", "images, base64"}


class Client(NamedTuple):
    """A way to use an SDK. `models` leads to each provider by its name; `error` is what it raises
    for a conversation that is too long."""

    sdk: str
    way: str
    models: Mapping[str, str]
    has: set[str]
    error: str


CLIENTS = {
    "openai-agents": Client(
        "openai-agents", "responses", RESPONSES, USUAL | {"thinking"}, "BadRequestError"
    ),
    "openai-agents, chats": Client("openai-agents", "chat", CHATS, USUAL, "BadRequestError"),
    "ai, @ai-sdk/openai": Client(
        "ai", "responses", RESPONSES, USUAL | {"thinking"}, "AI_APICallError"
    ),
    "ai, @ai-sdk/openai chats": Client("ai", "chat", CHATS, USUAL, "AI_APICallError"),
    "ai, @ai-sdk/anthropic": Client(
        "ai", "messages", CHATS, USUAL | {"thinking"}, "AI_APICallError"
    ),
}
LOST = {
    # A tool that must be called, and no other with it.
    ("types of answers", "ai, @ai-sdk/anthropic", provider): REFUSED
    for provider in ("Google", "AWS Bedrock", "Cohere", "Ollama")
}
"""What is not simply `yes`, by feature, client and provider."""
CELLS = [
    (name, feature, provider)
    for name, client in CLIENTS.items()
    for feature in FEATURES
    if feature in client.has
    for provider in client.models
]


def section() -> str:
    """The page's part, from its heading to its end: what the tests of `CELLS` find."""
    found = _versions()
    packages = ("openai-agents", "ai", "@ai-sdk/openai", "@ai-sdk/anthropic")
    told = ", ".join(f"`{name}` {found[name]}" for name in packages)
    lines = [
        MORE,
        "",
        "Made by `HEADRACE_DOCS=1 make test-sdks`, not by `make test`: these SDKs want other",
        "versions of packages than Headrace's tests, so they run in environments of their own.",
        "Each cell is a call that the SDK made; a row is missing where it has no such thing.",
        "",
        f"{told}.",
        "",
    ]
    for name, client in CLIENTS.items():
        lines += _table(name, client)
    return "\n".join(lines)


def expected(feature: str, name: str, provider: str) -> str:
    """What the page says in a cell."""
    return LOST.get((feature, name, provider), YES)


def _table(name: str, client: Client) -> list[str]:
    rows = [
        f"| {feature} | {' | '.join(expected(feature, name, p) for p in client.models)} |"
        for feature in FEATURES
        if feature in client.has
    ]
    return [
        f"### `{name}`",
        "",
        f"| | {' | '.join(client.models)} |",
        "|---" * (len(client.models) + 1) + "|",
        *rows,
        "",
    ]


def _versions() -> dict[str, str]:
    """Of what the environments are made of."""
    found: dict[str, str] = json.loads((LOCKS / "package.json").read_text())["dependencies"]
    text = (LOCKS / "openai-agents.txt").read_text()
    found |= re.findall(r"^(openai-agents)==([^ ;]+)", text, re.MULTILINE)
    return found
