"""What a program of this folder and its test say to each other: a line of JSON asks, one answers.

The programs run where nothing of this project is installed but their SDK, and read nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel

Asked = dict[str, Any]
Action = Callable[[Asked], Awaitable[dict[str, Any]]]
SYSTEM = "Be short."


class Forecast(BaseModel):
    """The type that answers are wanted in."""

    city: str
    degrees: int


def serve(actions: Mapping[str, Action]) -> None:
    """Does what each line of the input names, until there are no more."""
    # What an SDK prints is no answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    asyncio.run(_serve(actions, answers))


async def _serve(actions: Mapping[str, Action], answers: Any) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            answer = {"got": await actions[asked["do"]](asked)}
        except Exception as error:
            answer = {"raised": _told(error)}
        answers.write(json.dumps(answer) + "\n")


def _told(error: BaseException) -> dict[str, Any]:
    """An exception and those that it was made of, since SDKs wrap each other's."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    answers = [getattr(each, "response", None) for each in chain]
    heads = [dict(getattr(answer, "headers", None) or {}) for answer in answers]
    return {
        "classes": [type(each).__name__ for each in chain],
        "text": "\n".join(map(str, chain)),
        "statuses": [each.status_code for each in chain if hasattr(each, "status_code")],
        "request_ids": [head["x-request-id"] for head in heads if "x-request-id" in head],
    }


def used(input: int, output: int, cached: int | None) -> dict[str, Any]:
    """Usage, whatever the SDK's names of it."""
    return {"usage": {"input": input, "output": output, "cached": cached}}


def chat_used(usage: Any) -> dict[str, Any]:
    """The same of a chat's usage object."""
    details = usage.prompt_tokens_details
    cached = None if details is None else details.cached_tokens
    return used(usage.prompt_tokens, usage.completion_tokens, cached)


def weather_for(called: list[str]) -> Callable[[str], str]:
    """A tool that notes what it was asked."""

    def weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return f"rain in {city}"

    return weather
