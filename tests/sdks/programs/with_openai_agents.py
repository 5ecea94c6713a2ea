"""`openai-agents`: agents with tools, types and handoffs, by the Responses API or by chats."""

from __future__ import annotations

from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from lines import SYSTEM, Asked, Forecast, serve, used, weather_for
from openai import AsyncOpenAI

RUN = RunConfig(tracing_disabled=True)
"""Traces would go to OpenAI."""


def _agent(asked: Asked, **members: Any) -> Any:
    url, again = asked["root"] + "/v1", asked.get("again", 0)
    client = AsyncOpenAI(base_url=url, api_key=asked["key"], max_retries=again)
    of = OpenAIResponsesModel if asked["as"] == "responses" else OpenAIChatCompletionsModel
    settings = ModelSettings(include_usage=True, max_tokens=asked.get("most"))
    model = of(asked["model"], client)
    given = {"name": "Miller", "instructions": SYSTEM, "model_settings": settings, **members}
    return Agent(model=model, **given)


def _told(result: Any) -> dict[str, Any]:
    usage = result.context_wrapper.usage
    cached = usage.input_tokens_details.cached_tokens
    thoughts = [
        part.text
        for item in result.new_items
        if item.type == "reasoning_item"
        for part in item.raw_item.summary or item.raw_item.content or ()
    ]
    return {
        "text": result.final_output,
        "thinking": "".join(thoughts),
        "agent": result.last_agent.name,
        **used(usage.input_tokens, usage.output_tokens, cached),
    }


async def _run(agent: Any, asked: Asked, said: Any) -> Any:
    if not asked.get("stream"):
        return await Runner.run(agent, said, run_config=RUN), []
    result = Runner.run_streamed(agent, said, run_config=RUN)
    pieces = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    return result, pieces


async def ask(asked: Asked) -> dict[str, Any]:
    result, pieces = await _run(_agent(asked), asked, "Hello")
    return {**_told(result), "pieces": pieces}


async def tools(asked: Asked) -> dict[str, Any]:
    called: list[str] = []
    agent = _agent(asked, tools=[function_tool(weather_for(called))])
    result, pieces = await _run(agent, asked, "Weather?")
    return {**_told(result), "pieces": pieces, "called": called}


async def typed(asked: Asked) -> dict[str, Any]:
    result, _ = await _run(_agent(asked, output_type=Forecast), asked, "How warm is it?")
    return {"typed": result.final_output.model_dump()}


async def image(asked: Asked) -> dict[str, Any]:
    picture = {"type": "input_image", "image_url": asked["image"], "detail": "auto"}
    content = [{"type": "input_text", "text": "What is this?"}, picture]
    result, _ = await _run(_agent(asked), asked, [{"role": "user", "content": content}])
    return _told(result)


async def turns(asked: Asked) -> dict[str, Any]:
    agent = _agent(asked)
    first, _ = await _run(agent, asked, "Where?")
    then = [*first.to_input_list(), {"role": "user", "content": "And then?"}]
    second, _ = await _run(agent, asked, then)
    return _told(second)


async def kept_turns(asked: Asked) -> dict[str, Any]:
    """The API keeps what was said before."""
    agent = _agent(asked)
    first = await Runner.run(agent, "Where?", run_config=RUN)
    before = first.last_response_id
    second = await Runner.run(agent, "And then?", run_config=RUN, previous_response_id=before)
    return {**_told(second), "before": before}


async def handoff(asked: Asked) -> dict[str, Any]:
    clerk = _agent(asked, name="Clerk", instructions="You sell flour.")
    result, pieces = await _run(_agent(asked, handoffs=[clerk]), asked, "Flour, please.")
    return {**_told(result), "pieces": pieces}


if __name__ == "__main__":
    serve(
        {
            "ask": ask,
            "tools": tools,
            "typed": typed,
            "image": image,
            "turns": turns,
            "kept_turns": kept_turns,
            "handoff": handoff,
        }
    )
