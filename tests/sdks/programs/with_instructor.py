"""`instructor`: answers of a type, by tools or by a schema, in OpenAI's or Anthropic's dialect."""

from __future__ import annotations

from typing import Any

import anthropic
import instructor
import openai
from instructor import Mode
from lines import SYSTEM, Asked, Forecast, serve

MODES = {
    "tools": Mode.TOOLS,
    "json": Mode.JSON,
    "json_schema": Mode.JSON_SCHEMA,
    "responses": Mode.RESPONSES_TOOLS,
}


def _client(asked: Asked, claude: type[Any], gpt: type[Any]) -> Any:
    root, key, again = asked["root"], asked["key"], asked.get("again", 0)
    if asked["as"] == "messages":
        made = claude(base_url=root, api_key=key, max_retries=again)
        return instructor.from_anthropic(made, mode=Mode.TOOLS)
    made = gpt(base_url=root + "/v1", api_key=key, max_retries=again)
    return instructor.from_openai(made, mode=MODES[asked["as"]])


def _awaited(asked: Asked) -> Any:
    return _client(asked, anthropic.AsyncAnthropic, openai.AsyncOpenAI)


def _blocking(asked: Asked) -> Any:
    return _client(asked, anthropic.Anthropic, openai.OpenAI)


def _members(asked: Asked) -> dict[str, Any]:
    """`tries`: how often the model may be asked until its answer is of the type."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "How warm is it?"},
    ]
    said: dict[str, Any] = {"model": asked["model"], "messages": messages}
    said |= {"response_model": Forecast, "max_retries": asked.get("tries", 1)}
    most = asked.get("most") or (500 if asked["as"] == "messages" else None)
    return said | ({"max_tokens": most} if most else {})


async def typed(asked: Asked) -> dict[str, Any]:
    client, members = _awaited(asked), _members(asked)
    if not asked.get("stream"):
        return _told(*await client.create_with_completion(**members))
    return _steps([each async for each in client.create_partial(**members)])


async def typed_blocking(asked: Asked) -> dict[str, Any]:
    client, members = _blocking(asked), _members(asked)
    if not asked.get("stream"):
        return _told(*client.create_with_completion(**members))
    return _steps(list(client.create_partial(**members)))


def _steps(made: list[Any]) -> dict[str, Any]:
    """What a stream gave, of which each is more whole than the one before."""
    return {"typed": made[-1].model_dump(), "steps": len(made)}


def _told(made: Any, answer: Any) -> dict[str, Any]:
    usage = answer.usage
    output = getattr(usage, "completion_tokens", None) or usage.output_tokens
    return {"typed": made.model_dump(), "usage": {"output": output, "cached": _cached(usage)}}


def _cached(usage: Any) -> Any:
    """Where the dialect has it."""
    for name in ("prompt_tokens_details", "input_tokens_details"):
        if getattr(usage, name, None) is not None:
            return getattr(usage, name).cached_tokens
    return usage.cache_read_input_tokens


if __name__ == "__main__":
    serve({"ask": typed, "typed": typed, "typed_blocking": typed_blocking})
