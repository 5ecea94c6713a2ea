"""The part of docs/compatibility.md that `make test-sdks` makes: its clients, and its text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
    "types in streams",
    "a wrong type is asked again",
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
OF_TYPES = {
    "system messages",
    "types of answers",
    "types in streams",
    "a wrong type is asked again",
    "usage, cached tokens",
    "conversation too long, told",
    "a cut stream is an error",
}
USUAL = OF_ALL | {"earlier turns", "types of answers", "images, base64"}
THINKS = USUAL | {"thinking"}

ROME = {"city": "Rome", "degrees": 31}


class Client(NamedTuple):
    """A way to use an SDK. `models` leads to each provider by its name; `error` is what it raises
    for a conversation that is too long; `lacks` says why the page has no more rows of it."""

    sdk: str
    way: str
    models: Mapping[str, str]
    has: set[str]
    error: str
    lacks: str = ""

    def answer(self, provider: str) -> dict[str, Any]:
        """The upstream's script of an answer that it can read: of its type, if it has no texts."""
        return {} if "whole answers" in self.has else self.typed_answer(ROME, provider)

    def typed_answer(self, value: Any, provider: str) -> dict[str, Any]:
        """The upstream's script of an answer of a type: a tool's arguments where this asks so."""
        if self.way == "messages":
            # `ai` knows by the model's name that it has schemas.
            by_tool = not (self.sdk == "ai" and provider == "Anthropic")
        else:
            by_tool = self.sdk == "instructor" and self.way in ("tools", "responses")
        return {"tool_calls": [{"arguments": value}]} if by_tool else {"text": json.dumps(value)}


NO_TEXTS = (
    "It is for answers of a type: it has no others, and no tools but the one that holds the type."
)
NO_THINKING = "It reads no thinking in a chat."
CLIENTS = {
    "openai-agents": Client("openai-agents", "responses", RESPONSES, THINKS, "BadRequestError"),
    "openai-agents, chats": Client("openai-agents", "chat", CHATS, THINKS, "BadRequestError"),
    "semantic-kernel": Client(
        "semantic-kernel", "chat", CHATS, USUAL, "ServiceResponseException", NO_THINKING
    ),
    "semantic-kernel, Azure": Client(
        "semantic-kernel", "azure", CHATS, USUAL, "ServiceResponseException", NO_THINKING
    ),
    "litellm, openai": Client("litellm", "chat", CHATS, THINKS, "BadRequestError"),
    "litellm, azure": Client("litellm", "azure", CHATS, THINKS, "BadRequestError"),
    "litellm, anthropic": Client("litellm", "messages", CHATS, THINKS, "BadRequestError"),
    "litellm, responses": Client("litellm", "responses", RESPONSES, THINKS, "BadRequestError"),
    **{
        f"instructor, {name}": Client(
            "instructor", way, models, OF_TYPES, "InstructorRetryException", NO_TEXTS
        )
        for name, way, models in (
            ("tools", "tools", CHATS),
            ("JSON schema", "json_schema", CHATS),
            ("JSON mode", "json", CHATS),
            ("responses", "responses", RESPONSES),
            ("anthropic", "messages", CHATS),
        )
    },
    "ai, @ai-sdk/openai": Client("ai", "responses", RESPONSES, THINKS, "AI_APICallError"),
    "ai, @ai-sdk/openai chats": Client("ai", "chat", CHATS, USUAL, "AI_APICallError", NO_THINKING),
    "ai, @ai-sdk/anthropic": Client("ai", "messages", CHATS, THINKS, "AI_APICallError"),
}
NO_JSON_MODE = "the provider has no JSON mode"
NO_FORCED_TOOL = "the provider cannot be told that a tool must be called"
LOST = {
    (feature, client, provider): why
    for client, provider, why in (
        ("instructor, JSON mode", "Anthropic", NO_JSON_MODE),
        ("instructor, JSON mode", "AWS Bedrock", NO_JSON_MODE),
        ("instructor, tools", "Ollama", NO_FORCED_TOOL),
        ("instructor, responses", "Ollama", NO_FORCED_TOOL),
        ("instructor, anthropic", "Ollama", NO_FORCED_TOOL),
    )
    for feature in OF_TYPES
} | {
    ("types of answers", "litellm, anthropic", "Ollama"): NO_FORCED_TOOL,
    ("types of answers", "ai, @ai-sdk/anthropic", "Ollama"): NO_FORCED_TOOL,
}
"""What is refused, by feature, client and provider, and why."""
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
    packages = ("openai-agents", "semantic-kernel", "litellm", "instructor")
    npm = ("ai", "@ai-sdk/openai", "@ai-sdk/anthropic")
    told = ", ".join(f"`{name}` {found[name]}" for name in (*packages, *npm))
    lines = [
        MORE,
        "",
        "Made by `HEADRACE_DOCS=1 make test-sdks`, not by `make test`: these SDKs want other",
        "versions of packages than Headrace's tests, so they run in environments of their own.",
        "Each cell is a call that the SDK made. Below a table stands why rows are missing and",
        "cells refused.",
        "",
        f"{told}.",
        "",
    ]
    for name, client in CLIENTS.items():
        lines += _table(name, client)
    return "\n".join(lines)


def expected(feature: str, name: str, provider: str) -> str:
    """What the page says in a cell."""
    return REFUSED if (feature, name, provider) in LOST else YES


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
        *_reasons(name, client),
    ]


def _reasons(name: str, client: Client) -> list[str]:
    """Why rows are missing and cells refused."""
    told = [client.lacks] if client.lacks else []
    for why in dict.fromkeys(LOST.values()):
        providers = [
            p for p in client.models if any(LOST.get((f, name, p)) == why for f in FEATURES)
        ]
        if providers:
            told.append(f"Refused for {', '.join(providers)}: {why}.")
    return [*told, ""] if told else []


def _versions() -> dict[str, str]:
    """Of what the environments are made of."""
    found: dict[str, str] = json.loads((LOCKS / "package.json").read_text())["dependencies"]
    for name in ("instructor", "litellm", "openai-agents", "semantic-kernel"):
        text = (LOCKS / f"{name}.txt").read_text()
        for package, version in re.findall(r"^([a-z-]+)==([^ ;]+)", text, re.MULTILINE):
            if package == name:
                found[name] = version
    return found
