"""Asks the model once more for what was answered by the cache, to see whether both say the same.

Beside the calls and after the client has its answer. Such a call has a settlement of its own, under
the caller's name and with a tag; it takes nothing from the caller's limits, and comes before nobody
when the gateway has too much to do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from headrace.errors import Refused
from headrace.gateway.last_resort import RECORD_LIMIT_BYTES
from headrace.gateway.models import Chosen
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded
from headrace.gateway.recording import Recorder
from headrace.nouns import Call, Priority

if TYPE_CHECKING:
    from headrace.gateway.cache.given_again import GivenAgain
    from headrace.gateway.pipeline import Pipeline

TAG = ("cache", "check")
_ENDING = "-check"
_ID_CHARACTERS = 64


def begin(pipeline: Pipeline, cache: GivenAgain, call: Call, chosen: Chosen, hit: Recorded) -> None:
    """For some of the hits. Never waits."""
    decision, comparing = cache.decisions.of(call.id), cache.comparing
    if comparing is None or chosen.cache is None:
        return
    if decision is None or not comparing.picks(decision, chosen.cache.check_share):
        return
    pair, vector = decision.pair, decision.vector
    assert pair is not None

    async def work() -> None:
        made = await _asked(pipeline, _second(call), chosen)
        if made is not None and made.complete:
            await comparing.compare(pair, vector, (hit, made), "shadow")

    comparing.begin(work())


def _second(call: Call) -> Call:
    caller = msgspec.structs.replace(call.caller, tags=(*call.caller.tags, TAG))
    return msgspec.structs.replace(
        call,
        id=call.id[: _ID_CHARACTERS - len(_ENDING)] + _ENDING,
        caller=caller,
        received_at=time.monotonic(),
        priority=Priority.BATCH,
        idempotency_key=None,
        explain=False,
        hold=None,
        reserved=None,
        standing=b"",
    )


async def _asked(pipeline: Pipeline, call: Call, chosen: Chosen) -> Recorded | None:
    """The answer, if there is one. Every way out of it is settled."""
    parts, progress = pipeline.parts, Progress()
    try:
        parts.shedder.admit(call.priority, parts.running)
    except Refused:
        return None
    if parts.observer is not None:
        progress.trace = parts.observer.begin(call)
    parts.running += 1
    recorder = Recorder(RECORD_LIMIT_BYTES)
    try:
        await pipeline.ask(call, chosen, recorder, progress)
    except Refused as refused:
        pipeline.refuse(refused, call, recorder, progress)
    finally:
        parts.running -= 1
        pipeline.settle(call, progress)
    return recorder.recorded(progress.usage) if progress.finish == "complete" else None
