"""One call by OpenAI's SDK, without its own retries, and all that it saw."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from openai import AsyncOpenAI

from benchmarks.faults.cases import Case
from benchmarks.faults.verdict import FLOOD_BYTES, Sight

_KEPT_CHARACTERS = 100_000
"""Of what is searched for a canary: hostile bodies are far shorter."""


@dataclass(frozen=True)
class Caller:
    """Who calls: with which headers besides the SDK's own, and for how long it waits."""

    client: AsyncOpenAI
    headers: dict[str, str]
    patience_s: float


async def ask(caller: Caller, case: Case, number: int) -> Sight:
    """The `number`th call of the case."""
    began = time.monotonic()
    so_far: dict[str, Any] = {"text": "", "everything": "", "text_bytes": 0, "finish": None}
    try:
        async with asyncio.timeout(caller.patience_s):
            await (_stream if case.stream else _whole)(caller, case, number, so_far)
    except TimeoutError:
        so_far["hung"] = True
    except openai.APIConnectionError as error:
        so_far |= {"error": "connection", "message": repr(error.__cause__ or error)}
    except openai.APIResponseValidationError as error:
        so_far |= {"error": "unreadable", "message": str(error)}
    except openai.APIError as error:
        so_far |= _api_error(error, so_far["everything"])
    except httpx.TransportError as error:
        so_far |= {"error": "connection", "message": repr(error)}
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        so_far |= {"error": "unreadable", "message": repr(error)}
    return Sight(elapsed_s=round(time.monotonic() - began, 3), **so_far)


def _messages(case: Case, number: int) -> Any:
    # The backends' record tells calls of a case apart by this sentence.
    return [{"role": "user", "content": f"Please answer {case.model} (call {number})."}]


async def _whole(caller: Caller, case: Case, number: int, so_far: dict[str, Any]) -> None:
    answer: Any = await caller.client.chat.completions.create(
        model=case.model, messages=_messages(case, number), extra_headers=caller.headers
    )
    if isinstance(answer, str):  # what the SDK makes of a success that is not JSON
        so_far["everything"] = answer[:_KEPT_CHARACTERS]
        raise TypeError("the SDK returned a str")
    choice = answer.choices[0]
    text = choice.message.content or ""
    so_far |= {"text": text[:_KEPT_CHARACTERS], "text_bytes": len(text), "finish": None}
    so_far |= {"finish": choice.finish_reason}
    if len(text) < _KEPT_CHARACTERS:
        so_far["everything"] = answer.model_dump_json()


async def _stream(caller: Caller, case: Case, number: int, so_far: dict[str, Any]) -> None:
    stream = await caller.client.chat.completions.create(
        model=case.model,
        messages=_messages(case, number),
        stream=True,
        extra_headers=caller.headers,
    )
    async with stream:
        async for chunk in stream:
            if len(so_far["everything"]) < _KEPT_CHARACTERS:
                so_far["everything"] += chunk.model_dump_json()[:_KEPT_CHARACTERS]
            for choice in chunk.choices:
                text = choice.delta.content or ""
                so_far["text_bytes"] += len(text)
                if len(so_far["text"]) < _KEPT_CHARACTERS:
                    so_far["text"] += text
                so_far["finish"] = choice.finish_reason or so_far["finish"]
            if so_far["text_bytes"] > FLOOD_BYTES:
                return


def _api_error(error: openai.APIError, seen: str) -> dict[str, Any]:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    said = message if isinstance(message, str) else str(error)
    everything = f"{seen}{error}{json.dumps(body, default=str, ensure_ascii=False)}"
    status = 0
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        # Not each error's body is read by then; those that are not come within a stream.
        text = error.response.text if error.response.is_closed else ""
        everything += text + str(dict(error.response.headers))
        said = said if isinstance(message, str) else text or said
    return {
        "error": "api",
        "status": status,
        "code": str(error.code or ""),
        "message": said,
        "shaped": isinstance(message, str),
        "everything": everything,
    }
