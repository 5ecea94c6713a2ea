"""`litellm` as a client: its form of a chat, sent in OpenAI's, Azure's or Anthropic's dialect, or
by the Responses API."""

from __future__ import annotations

import json
from typing import Any

import litellm
from lines import SYSTEM, Asked, Forecast, chat_used, serve, used, weather_for

litellm.suppress_debug_info = True
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def _where(asked: Asked) -> dict[str, Any]:
    prefix, path = {
        "chat": ("openai", "/v1"),
        "responses": ("openai", "/v1"),
        "azure": ("azure", ""),
        "messages": ("anthropic", ""),
    }[asked["as"]]
    said = {
        "model": f"{prefix}/{asked['model']}",
        "api_base": asked["root"] + path,
        "api_key": asked["key"],
        "max_retries": 0,
    }
    if "most" in asked:
        said["max_output_tokens" if asked["as"] == "responses" else "max_tokens"] = asked["most"]
    return said | ({"api_version": "2024-10-21"} if prefix == "azure" else {})


def _messages(said: Any) -> list[Any]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}]


async def _complete(given: dict[str, Any], again: int) -> Any:
    """A chat, by the router where it may be tried again: that is what waits as it is told."""
    if not again:
        return await litellm.acompletion(**given)
    where = {name: given.pop(name) for name in ("model", "api_base", "api_key")}
    deployment = {"model_name": "one", "litellm_params": where}
    router = litellm.Router(model_list=[deployment], num_retries=again)
    return await router.acompletion(model="one", **given)


async def _answer(asked: Asked, messages: list[Any], **members: Any) -> tuple[Any, list[str]]:
    """The answer, put together where it came in pieces."""
    given = {**_where(asked), "messages": messages, **members}
    if not asked.get("stream"):
        return await _complete(given, asked.get("again", 0)), []
    options = {"include_usage": True}
    stream = await litellm.acompletion(**given, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    return litellm.stream_chunk_builder(chunks), [delta for delta in deltas if delta]


def _told(answer: Any, pieces: list[str]) -> dict[str, Any]:
    message = answer.choices[0].message
    return {
        "text": message.content,
        "thinking": getattr(message, "reasoning_content", None),
        "pieces": pieces,
        **chat_used(answer.usage),
    }


async def ask(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        return _response_told(*await _response(asked, "Hello"))
    return _told(*await _answer(asked, _messages("Hello")))


async def ask_blocking(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        return _response_told(litellm.responses(**_where(asked), input="Hello"), [])
    return _told(litellm.completion(**_where(asked), messages=_messages("Hello")), [])


async def tools(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        return await _respond_with_tools(asked)
    called: list[str] = []
    weather, messages = weather_for(called), _messages("Weather?")
    answer, _ = await _answer(asked, messages, tools=[TOOL])
    message = answer.choices[0].message
    messages.append(message)
    messages += [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": weather(**json.loads(call.function.arguments)),
        }
        for call in message.tool_calls
    ]
    told = _told(*await _answer(asked, messages, tools=[TOOL]))
    return {**told, "called": called}


async def typed(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        said = await _response(asked, "How warm is it?", text_format=Forecast)
        return {"typed": json.loads(_response_told(*said)["text"])}
    answer, _ = await _answer(asked, _messages("How warm is it?"), response_format=Forecast)
    text = answer.choices[0].message.content
    return {"typed": Forecast.model_validate_json(text).model_dump()}


async def image(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        text = {"type": "input_text", "text": "What is this?"}
        content = [text, {"type": "input_image", "image_url": asked["image"]}]
        return _response_told(*await _response(asked, [_user(content)]))
    picture = {"type": "image_url", "image_url": {"url": asked["image"]}}
    said: list[Any] = [{"type": "text", "text": "What is this?"}, picture]
    return _told(*await _answer(asked, _messages(said)))


async def turns(asked: Asked) -> dict[str, Any]:
    if asked["as"] == "responses":
        first, _ = await _response(asked, "Where?")
        said = [_user("Where?"), *_items(first), _user("And then?")]
        return _response_told(*await _response(asked, said))
    messages = _messages("Where?")
    answer, _ = await _answer(asked, messages)
    messages += [answer.choices[0].message, {"role": "user", "content": "And then?"}]
    return _told(*await _answer(asked, messages))


async def embeddings(asked: Asked) -> dict[str, Any]:
    answer = await litellm.aembedding(input=["a mill", "a dog"], **_where(asked))
    return {"lengths": [len(each["embedding"]) for each in answer.data]}


async def _response(asked: Asked, said: Any, **members: Any) -> tuple[Any, list[str]]:
    given = {**_where(asked), "input": said, "instructions": SYSTEM, **members}
    if not asked.get("stream"):
        return await litellm.aresponses(**given), []
    pieces, last = [], None
    async for event in await litellm.aresponses(**given, stream=True):
        if event.type == "error":
            raise RuntimeError(event.model_dump_json())
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
        if event.type == "response.completed":
            last = event.response
    assert last is not None, "the stream did not complete"
    return last, pieces


def _items(answer: Any) -> list[Any]:
    """An answer's items, as they are sent back."""
    return [i if isinstance(i, dict) else i.model_dump(exclude_none=True) for i in answer.output]


def _user(said: Any) -> dict[str, Any]:
    return {"role": "user", "content": said}


def _response_told(answer: Any, pieces: list[str]) -> dict[str, Any]:
    items = _items(answer)
    texts = [part["text"] for i in items if i["type"] == "message" for part in i["content"]]
    thoughts = [
        part["text"]
        for i in items
        if i["type"] == "reasoning"
        for part in i.get("summary") or i.get("content") or ()
    ]
    usage = answer.usage
    details = usage.input_tokens_details
    return {
        "text": "".join(texts),
        "thinking": "".join(thoughts),
        "pieces": pieces,
        **used(usage.input_tokens, usage.output_tokens, details and details.cached_tokens),
    }


async def _respond_with_tools(asked: Asked) -> dict[str, Any]:
    called: list[str] = []
    weather = weather_for(called)
    tool = {"type": "function", **TOOL["function"]}  # type: ignore[dict-item]
    answer, _ = await _response(asked, "Weather?", tools=[tool])
    results = [
        {
            "type": "function_call_output",
            "call_id": item["call_id"],
            "output": weather(**json.loads(item["arguments"])),
        }
        for item in _items(answer)
        if item["type"] == "function_call"
    ]
    said = [_user("Weather?"), *_items(answer), *results]
    return {**_response_told(*await _response(asked, said, tools=[tool])), "called": called}


if __name__ == "__main__":
    serve(
        {
            "ask": ask,
            "ask_blocking": ask_blocking,
            "tools": tools,
            "typed": typed,
            "image": image,
            "turns": turns,
            "embeddings": embeddings,
        }
    )
