"""When no backend can answer: an answer kept from before, then a friendly message."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from headrace.errors import Reason, Refused
from headrace.gateway import answer_cache
from headrace.gateway.answer_cache import AnswerCache, CacheKey
from headrace.gateway.models import Chosen
from headrace.gateway.progress import Progress
from headrace.gateway.recording import replay
from headrace.gateway.reply import Reply
from headrace.gateway.steps import GiveUp
from headrace.nouns import Call, Operation
from headrace.services.dialects import sentence
from headrace.services.dialects.clients import CLIENTS

FINAL = frozenset(
    {
        Reason.UNSUPPORTED_BY_PROVIDER,
        Reason.BAD_REQUEST,
        Reason.UPSTREAM_REJECTED,
        Reason.CONTENT_FILTERED,
        Reason.CONTEXT_TOO_LONG,
        Reason.UNKNOWN_MODEL,
        Reason.UNKNOWN_FILE,
        Reason.UNKNOWN_RESPONSE,
    }
)
"""The client's own request is at fault: nothing stands in for its answer."""
KEPT = "kept"
"""The tier of an answer that stands in for one that could not be had."""
DEFAULT_RETRY_AFTER_S = 5.0
RECORD_LIMIT_BYTES = 4 * 1024 * 1024
"""A longer answer is not recorded to be kept."""
BUSY = "No provider of this model can answer just now. Please try again in a moment."


async def fall_back(
    call: Call,
    chosen: Chosen,
    give_up: GiveUp,
    kept: tuple[AnswerCache, CacheKey | None],
    reply: Reply,
    progress: Progress,
) -> None:
    """Answers from what was kept, or with the message as an answer. Raises Refused otherwise."""
    if give_up.refused is not None and give_up.refused.reason in FINAL:
        last = give_up.refused
        again = Refused(last.reason, last.detail, param=last.param, status=last.status)
        again.exhausted = True
        raise again
    if chosen.fallback.cache:
        recorded = await answer_cache.answer_for(*kept, call, time.monotonic())
        if recorded is not None:
            progress.cache_tier = KEPT
            await replay(recorded, reply, progress, answer_cache.CACHE)
            return
    refused = refusal(chosen, give_up)
    if not chosen.fallback.as_answer or call.operation not in CLIENTS:
        raise refused
    progress.status, progress.finish = 200, "refused"
    progress.reason = refused.reason.value
    progress.answered_by = "message"
    about = b"x-headrace-answered-by: message\r\nx-should-retry: false\r\n"
    in_chat = call.operation is Operation.CHAT
    if call.stream:
        reply.begin(about)
        reply.end((_events if in_chat else sentence.events)(call, refused.detail))
    else:
        reply.whole((_whole if in_chat else sentence.whole)(call, refused.detail), about)


def refusal(chosen: Chosen, give_up: GiveUp) -> Refused:
    """503, with the operator's sentence or one that says what was the matter."""
    last = give_up.refused
    reason = Reason.UPSTREAM_BUSY if last is None else last.reason
    detail = chosen.fallback.message or (BUSY if last is None else last.detail)
    wait_s = give_up.retry_after_s
    if wait_s is None:
        wait_s = (last and last.retry_after_s) or DEFAULT_RETRY_AFTER_S
    refused = Refused(reason, detail, retry_after_s=wait_s, cause=give_up.why, status=503)
    refused.exhausted = True
    return refused


def _whole(call: Call, text: str) -> bytes:
    return msgspec.json.encode(_completion(call, text))


def _completion(call: Call, text: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def _events(call: Call, text: str) -> bytes:
    events = []
    for delta, finish in (
        ({"role": "assistant", "content": ""}, None),
        ({"content": text}, None),
        ({}, "stop"),
    ):
        chunk = _completion(call, text) | {"object": "chat.completion.chunk"}
        del chunk["usage"]
        chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
        events.append(b"data: %b\n\n" % msgspec.json.encode(chunk))
    if call.wants_usage:
        chunk = _completion(call, text) | {"object": "chat.completion.chunk", "choices": []}
        events.append(b"data: %b\n\n" % msgspec.json.encode(chunk))
    return b"".join((*events, b"data: [DONE]\n\n"))
