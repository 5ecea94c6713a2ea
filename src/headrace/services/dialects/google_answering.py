"""Answers in Gemini's words, whole and in parts, read.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse. There is no terminal
event: the answer is complete when a reason for its end was given and the bytes end after it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from headrace.platform.http.sse import EventSplitter
from headrace.services.answer_json import event_of, present
from headrace.services.counts import Count
from headrace.services.dialects.google_asking import MARK
from headrace.services.dialects.neutral import (
    Answered,
    Arguments,
    Began,
    Called,
    Counts,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Part,
    Said,
    Signed,
    Text,
    Thinking,
    Thought,
    ToolUse,
)
from headrace.services.dialects.objects import unparsed
from headrace.services.service import BadAnswer

FINISH = {"STOP": Finish.STOP, "MAX_TOKENS": Finish.LENGTH}
"""All others mean that something stood against the answer, or that it is broken."""
BROKEN = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
"""The model failed; asked again, it may not."""


class _Call(Struct):
    id: str | None = None
    name: str = ""
    args: dict[str, Any] | None = None


class _Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Likely(Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _TopLikely(Struct):
    candidates: list[_Likely] | None = None


class _Logprobs(Struct, rename="camel"):
    """`top_candidates` are the alternatives, token by token."""

    chosen_candidates: list[_Likely] | None = None
    top_candidates: list[_TopLikely] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    logprobs_result: _Logprobs | None = None
    finish_reason: str | None = None
    index: int = 0


class _OfModality(Struct, rename="camel"):
    modality: str = ""
    token_count: Count | None = None


class _Usage(Struct, rename="camel"):
    prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    prompt_tokens_details: list[_OfModality] | None = None
    candidates_tokens_details: list[_OfModality] | None = None

    @property
    def counts(self) -> Counts:
        thought = self.thoughts_token_count or 0
        return Counts(
            (self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0),
            (self.candidates_token_count or 0) + thought,
            self.cached_content_token_count or 0,
            0,
            thought,
            _audio(self.prompt_tokens_details),
            _audio(self.candidates_tokens_details),
        )


def _audio(details: list[_OfModality] | None) -> int:
    return sum(one.token_count or 0 for one in details or () if one.modality == "AUDIO")


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Chunk(Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | UnsetType | None = UNSET
    model_version: str = ""
    response_id: str = ""
    error: msgspec.Raw = msgspec.Raw(b"")


_chunks = msgspec.json.Decoder(_Chunk, strict=False)


class GoogleEvents:
    """Reads one stream. `id` is the call's, for answers without one of their own."""

    __slots__ = ("_begun", "_calls", "_counts", "_finish", "_id")

    def __init__(self, id: str) -> None:
        self._id = id
        self._begun = False
        self._calls = 0
        self._finish: str | None = None
        self._counts: Counts | None = None

    def splitter(self) -> EventSplitter:
        return EventSplitter()

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        chunk = event_of(_chunks, data)
        if present(chunk.error):
            return [Failed(bytes(chunk.error))]
        blocked = _blocked(chunk)
        if blocked is not None:
            return [Failed(blocked)]
        if chunk.candidates is None and chunk.usage_metadata is UNSET:
            raise BadAnswer("an event without the answer's members")
        if chunk.usage_metadata:
            self._counts = chunk.usage_metadata.counts
        deltas: list[Delta] = []
        if not self._begun:
            self._begun = True
            self._id = chunk.response_id or self._id
            deltas.append(Began(self._id, chunk.model_version, self._counts))
        for candidate in chunk.candidates or ():
            if candidate.index == 0:
                self._candidate(candidate, deltas)
        return deltas

    def end(self) -> list[Delta] | None:
        if self._finish is None:
            return None
        finish = FINISH.get(self._finish, Finish.REFUSED)
        if finish is Finish.STOP and self._calls:
            finish = Finish.TOOLS
        return [Finished(finish, None, self._counts), Ended()]

    def _candidate(self, candidate: _Candidate, deltas: list[Delta]) -> None:
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._part(part, deltas)
        if candidate.logprobs_result is not None:
            _tell_logprobs(candidate.logprobs_result, deltas)
        reason = candidate.finish_reason
        if reason in BROKEN:
            deltas.append(Failed(unparsed({"message": reason, "status": reason}).encode()))
        elif reason is not None:
            self._finish = reason

    def _part(self, part: _Part, deltas: list[Delta]) -> None:
        signed = None if part.thought_signature is None else Signed(MARK + part.thought_signature)
        call = part.function_call
        if call is not None:
            if signed is not None:
                deltas.append(signed)
            number = self._calls
            self._calls += 1
            deltas.append(Called(number, call.id or f"call_{self._id}_{number}", call.name))
            deltas.append(Arguments(number, unparsed(call.args or {})))
            return
        if part.text is None and signed is None:
            raise BadAnswer("a part of a kind that clients' dialects do not have")
        if part.text:
            deltas.append(Thought(part.text) if part.thought else Said(part.text))
        if signed is not None:
            deltas.append(signed)


def _tell_logprobs(told: _Logprobs, deltas: list[Delta]) -> None:
    """Puts log probabilities beside the text that came with them, in OpenAI's form."""
    said = next((delta for delta in deltas if isinstance(delta, Said)), None)
    chosen, tops = told.chosen_candidates or [], told.top_candidates or []
    tops += [_TopLikely()] * (len(chosen) - len(tops))
    if said is not None and chosen:
        said.logprobs = [
            {**_likely(token), "top_logprobs": list(map(_likely, top.candidates or ()))}
            for token, top in zip(chosen, tops, strict=False)
        ]


def _likely(token: _Likely) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.log_probability,
        "bytes": list(token.token.encode("utf-8", "surrogatepass")),
    }


def _blocked(chunk: _Chunk) -> bytes | None:
    """What stands in the answer's place if the question was not let through."""
    feedback = chunk.prompt_feedback
    if feedback is None or feedback.block_reason is None:
        return None
    return unparsed({"code": "content_filter", "message": feedback.block_reason}).encode()


def read(body: bytes, id: str) -> Answered | bytes:
    """The answer, or the error that stands in its place. Raises BadAnswer."""
    events = GoogleEvents(id)
    answer = Answered(id, "", [], Finish.STOP)
    for delta in [*events.read(body), *(events.end() or ())]:
        match delta:
            case Failed():
                return delta.error
            case Began():
                answer.id, answer.model = delta.id, delta.model
            case Said():
                answer.parts.append(Text(delta.text, logprobs=delta.logprobs))
            case Thought():
                _think(answer.parts, delta.text)
            case Signed():
                _sign(answer.parts, delta.signature)
            case Called():
                answer.parts.append(ToolUse(delta.id, delta.name, {}))
            case Arguments():
                call = answer.parts[-1]
                if isinstance(call, ToolUse):
                    call.input = msgspec.json.decode(delta.text)
            case Finished():
                answer.finish, answer.counts = delta.finish, delta.counts
            case Ended():
                return answer
    raise BadAnswer("an answer that does not say why it ended")


def _think(parts: list[Part], text: str) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Thinking) and last.signature is None:
        last.text += text
    else:
        parts.append(Thinking(text))


def _sign(parts: list[Part], signature: str) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Thinking) and last.signature is None:
        last.signature = signature
    else:
        parts.append(Thinking("", signature))
