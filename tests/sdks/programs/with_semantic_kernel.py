"""`semantic-kernel`: chats by OpenAI's or Azure's connector, functions that the kernel calls."""

from __future__ import annotations

from typing import Any

from lines import SYSTEM, Asked, Forecast, chat_used, serve, weather_for
from openai import AsyncAzureOpenAI, AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    AzureChatCompletion,
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
    OpenAITextEmbedding,
)
from semantic_kernel.contents import (
    AuthorRole,
    ChatHistory,
    ChatMessageContent,
    ImageContent,
    TextContent,
)
from semantic_kernel.functions import kernel_function


def _client(asked: Asked) -> AsyncOpenAI:
    url, again = asked["root"] + "/v1", asked.get("again", 0)
    return AsyncOpenAI(base_url=url, api_key=asked["key"], max_retries=again)


def _service(asked: Asked) -> Any:
    if asked["as"] == "chat":
        return OpenAIChatCompletion(ai_model_id=asked["model"], async_client=_client(asked))
    azure = AsyncAzureOpenAI(
        azure_endpoint=asked["root"],
        api_key=asked["key"],
        api_version="2024-10-21",
        max_retries=asked.get("again", 0),
    )
    return AzureChatCompletion(deployment_name=asked["model"], async_client=azure)


def _history(said: str) -> Any:
    history = ChatHistory(system_message=SYSTEM)
    history.add_user_message(said)
    return history


async def _told(asked: Asked, history: Any, kernel: Any = None, **members: Any) -> dict[str, Any]:
    if "most" in asked:
        members["max_tokens"] = asked["most"]
    service, settings = _service(asked), OpenAIChatPromptExecutionSettings(**members)
    given = {"chat_history": history, "settings": settings, "kernel": kernel}
    if not asked.get("stream"):
        answer = await service.get_chat_message_content(**given)
        return {"text": answer.content, **chat_used(answer.metadata["usage"])}
    pieces, usage = [], None
    async for chunk in service.get_streaming_chat_message_content(**given):
        if chunk.content:
            pieces.append(chunk.content)
        usage = chunk.metadata.get("usage") or usage
    return {"text": "".join(pieces), "pieces": pieces, **chat_used(usage)}


async def ask(asked: Asked) -> dict[str, Any]:
    return await _told(asked, _history("Hello"))


async def tools(asked: Asked) -> dict[str, Any]:
    called: list[str] = []
    kernel = Kernel()
    kernel.add_function("mill", kernel_function(weather_for(called)))
    choice = FunctionChoiceBehavior.Auto()
    told = await _told(asked, _history("Weather?"), kernel, function_choice_behavior=choice)
    return {**told, "called": called}


async def typed(asked: Asked) -> dict[str, Any]:
    told = await _told(asked, _history("How warm is it?"), response_format=Forecast)
    return {"typed": Forecast.model_validate_json(told["text"]).model_dump()}


async def image(asked: Asked) -> dict[str, Any]:
    history = ChatHistory(system_message=SYSTEM)
    items = [TextContent(text="What is this?"), ImageContent(data_uri=asked["image"])]
    history.add_message(ChatMessageContent(role=AuthorRole.USER, items=items))
    return await _told(asked, history)


async def turns(asked: Asked) -> dict[str, Any]:
    history = _history("Where?")
    history.add_assistant_message((await _told(asked, history))["text"])
    history.add_user_message("And then?")
    return await _told(asked, history)


async def embeddings(asked: Asked) -> dict[str, Any]:
    service = OpenAITextEmbedding(ai_model_id=asked["model"], async_client=_client(asked))
    vectors = await service.generate_embeddings(["a mill", "a dog"])
    return {"lengths": [len(vector) for vector in vectors]}


if __name__ == "__main__":
    serve(
        {
            "ask": ask,
            "tools": tools,
            "typed": typed,
            "image": image,
            "turns": turns,
            "embeddings": embeddings,
        }
    )
