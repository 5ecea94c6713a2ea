"""What each dialect cannot say of a conversation, and what the client is told of it.

A row of a table takes something out of a conversation, or puts it as the dialect has it. The name
is what `x-headrace-dropped` says then; rows without one keep the meaning in other words. What no
row touches survives exactly.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from headrace.services.dialects.neutral import (
    Answered,
    Asked,
    Choice,
    Cited,
    Counted,
    Counts,
    Delta,
    Document,
    Finish,
    Finished,
    Hidden,
    Image,
    Part,
    Redacted,
    Refusal,
    Refusing,
    Said,
    Signed,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)  # fmt: skip

Change = Callable[[Asked], bool]
"""Whether there was something to change."""


class Row(NamedTuple):
    told: str | None
    change: Change
    why: str


def expressible(asked: Asked, table: tuple[Row, ...]) -> tuple[Asked, set[str]]:
    """What is left of a conversation, and the names of what is told."""
    left, told = left_of(asked, table)
    return normal(left), told


def left_of(asked: Asked, table: tuple[Row, ...]) -> tuple[Asked, set[str]]:
    """The same, with turns of which nothing is left."""
    left: Asked = pickle.loads(pickle.dumps(asked))
    told = {row.told for row in table if row.change(left) and row.told is not None}
    return left, told


def normal(asked: Asked) -> Asked:
    """Turns of one role that follow each other are one; none is empty."""
    turns, asked.turns = asked.turns, []
    for turn in turns:
        asked.add(turn.role, turn.parts)
    return asked


def unset(*names: str) -> Change:
    """Members of a request are not said."""

    def change(asked: Asked) -> bool:
        values = [getattr(asked, name) for name in names]
        said = [value for value in values if _says(value)]
        for name in names:
            setattr(asked, name, type(getattr(Asked(), name))() if name in _EMPTY else None)
        return bool(said)

    return change


def _says(value: Any) -> bool:
    return value is not None and value is not False and value != []


_EMPTY = {"stop", "any_json", "one_call_at_most", "stream"}


def put(name: str, old: Any, new: Any) -> Change:
    """A member's value is another."""

    def change(asked: Asked) -> bool:
        found = getattr(asked, name) == old and type(getattr(asked, name)) is type(old)
        if found:
            setattr(asked, name, new)
        return found

    return change


def parts_of(asked: Asked) -> Iterator[Part]:
    """All parts, those of results too."""
    for parts in (asked.system, *(turn.parts for turn in asked.turns)):
        for part in parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def marks(name: str, *kinds: type, value: Any = None) -> Change:
    """A member of parts (and tools) is not said."""

    def change(asked: Asked) -> bool:
        found = False
        for part in (*parts_of(asked), *asked.tools):
            if (not kinds or isinstance(part, kinds)) and hasattr(part, name):
                found |= _says(getattr(part, name))
                setattr(part, name, value)
        return found

    return change


def without(*kinds: type, such: Callable[[Any], bool] = lambda part: True) -> Change:
    """There are no parts of a kind, or none `such`, outside of results."""

    def change(asked: Asked) -> bool:
        found = False
        for turn in asked.turns:
            kept = [p for p in turn.parts if not (isinstance(p, kinds) and such(p))]
            found |= len(kept) < len(turn.parts)
            turn.parts = kept
        return found

    return change


def results_without(*kinds: type, such: Callable[[Any], bool] = lambda part: True) -> Change:
    """Results of tools have no parts of a kind, or none `such`."""

    def change(asked: Asked) -> bool:
        found = False
        for part in list(parts_of(asked)):
            if isinstance(part, ToolResult):
                kept = [p for p in part.parts if not (isinstance(p, kinds) and such(p))]
                found |= len(kept) < len(part.parts)
                part.parts = kept
        return found

    return change


def assistants(rewrite: Callable[[list[Part]], list[Part]]) -> Change:
    """The assistant's turns are put otherwise."""

    def change(asked: Asked) -> bool:
        for turn in asked.turns:
            if turn.role == "assistant":
                turn.parts = rewrite(turn.parts)
        return False

    return change


def _as_a_message(parts: list[Part]) -> list[Part]:
    """Thoughts, what is said, why not, calls: each has its member of a message."""
    thoughts = [p for p in parts if isinstance(p, Thinking | Redacted)]
    refusals = [p.text for p in parts if isinstance(p, Refusal)]
    calls = [p for p in parts if isinstance(p, ToolUse)]
    said = [p for p in parts if not isinstance(p, Thinking | Redacted | Refusal | ToolUse)]
    refused: list[Part] = [Refusal("".join(refusals))] if refusals else []
    return [*thoughts, *said, *refused, *calls]


def _cited_together(parts: list[Part]) -> list[Part]:
    """All citations are of the last text."""
    texts = [part for part in parts if isinstance(part, Text)]
    cited = [citation for text in texts for citation in text.citations or []]
    for text in texts:
        text.citations = None
    if texts:
        texts[-1].citations = cited or None
    return parts


def _refusals_as_text(parts: list[Part]) -> list[Part]:
    return [Text(p.text) if isinstance(p, Refusal) else p for p in parts]


def _named(asked: Asked) -> bool:
    if asked.schema is not None and asked.schema_name is None:
        asked.schema_name = "answer"
    return False


def _nothing_of_schemas(asked: Asked) -> bool:
    asked.schema_name = None
    asked.schema_strict = True if asked.schema is not None else None
    return False


def _tools_have_schemas(asked: Asked) -> bool:
    for tool in asked.tools:
        tool.schema = tool.schema or {"type": "object", "properties": {}}
    return False


def _lukewarm(asked: Asked) -> bool:
    hot = asked.temperature is not None and asked.temperature > 1
    if hot:
        asked.temperature = 1.0
    return hot


def _thinks_not(asked: Asked) -> bool:
    if asked.effort == "none":
        asked.effort = None
        if asked.thinking is None:
            asked.thinking = {"type": "disabled"}
    return False


def _limited(asked: Asked) -> bool:
    asked.max_tokens = 7 if asked.max_tokens is None else asked.max_tokens
    return False


def _free_of_calls(asked: Asked) -> bool:
    if asked.choice is not None and asked.choice.kind == "none":
        asked.one_call_at_most = False
    return False


def _own_citations(asked: Asked) -> bool:
    found = False
    for part in parts_of(asked):
        if isinstance(part, Text) and part.citations:
            own = [c for c in part.citations if str(c.get("type")).endswith("_location")]
            found |= len(own) < len(part.citations)
            part.citations = own or None
    return found


def _unsigned(part: Thinking) -> bool:
    return part.signature is None or part.signature.startswith("google#")


def _stored(part: Image) -> bool:
    return part.file_id is not None


def _linked(part: Document) -> bool:
    return part.kind == "url"


def _addressed(part: Image) -> bool:
    return part.url is not None


def _elsewhere(part: Document) -> bool:
    return part.kind in ("url", "file")


def _unfit_for_metadata(asked: Asked) -> bool:
    fit = re.fullmatch(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}", asked.user or "x")
    if fit is None:
        asked.user = None
    return fit is None


def _no_tool_chosen(asked: Asked) -> bool:
    found = asked.choice is not None and asked.choice.kind == "none"
    if found:
        asked.choice = None
    return found


def _described_or_not(asked: Asked) -> bool:
    for tool in asked.tools:
        tool.description = tool.description or None
    return False


def _no_effort(asked: Asked) -> bool:
    effort, asked.effort = asked.effort, None
    off = (asked.thinking or {}).get("type") == "disabled"
    if effort == "none" and asked.thinking is None:
        asked.thinking = {"type": "disabled"}
        return False
    return effort is not None and not off


def _budgeted(asked: Asked) -> bool:
    if asked.thinking == {"type": "adaptive"}:
        asked.thinking = {"type": "enabled"}
    return False


def _sent_alone(asked: Asked) -> bool:
    choice = asked.choice
    if choice is not None and choice.kind == "tool":
        asked.tools = [tool for tool in asked.tools if tool.name == choice.name]
        asked.choice = Choice("any")
    return False


def _strict_together(asked: Asked) -> bool:
    strict = any(tool.strict for tool in asked.tools)
    for tool in asked.tools:
        tool.strict = None
    if strict:
        asked.tools[0].strict = True
    return False


def _no_plain_text(part: Document) -> bool:
    return part.kind != "text" or part.cited


def _results_first(asked: Asked) -> bool:
    for turn in asked.turns:
        turn.parts.sort(key=lambda part: not isinstance(part, ToolResult))
        for part in turn.parts:
            if isinstance(part, ToolResult):
                text = "".join(inner.text for inner in part.parts if isinstance(inner, Text))
                part.parts = [Text(text)] if text else []
    return False


def _as_text(asked: Asked) -> bool:
    for turn in asked.turns:
        turn.parts = [
            Text(p.source if isinstance(p, Document) else p.text)
            if isinstance(p, Document | Refusal) else p
            for p in turn.parts
        ]  # fmt: skip
    return False


def _thought_together(parts: list[Part]) -> list[Part]:
    thought = "".join(p.text for p in parts if isinstance(p, Thinking))
    calls = [p for p in parts if isinstance(p, ToolUse)]
    said = [p for p in parts if not isinstance(p, Thinking | ToolUse)]
    return [*([Thinking(thought)] if thought else []), *said, *calls]


_SAID_OF_NONE = "the client's own API has no such member"

_OF_CHATS_ALONE: tuple[Row, ...] = (
    *(
        Row(name, unset(name), "no such member")
        for name in (
            "seed", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty",
            "logit_bias",
        )
    ),
    Row("json_object", unset("any_json"), "JSON has a schema"),
)  # fmt: skip
"""What neither Anthropic nor Bedrock can say."""

ANTHROPIC: tuple[Row, ...] = (
    *_OF_CHATS_ALONE,
    Row("description", unset("schema_description"), "schemas have none but their own"),
    Row(None, _nothing_of_schemas, "all schemas are strict, and have no names"),
    Row(None, _tools_have_schemas, "tools must have a schema: this one says nothing"),
    Row(None, _limited, "a limit must be said"),
    Row("temperature", _lukewarm, "the scale goes to 1"),
    Row("reasoning_effort", put("effort", "minimal", "low"), "no such word"),
    Row(None, _thinks_not, "thinking that is disabled is no effort"),
    Row("service_tier", put("tier", "flex", None), "no such word in requests"),
    Row("service_tier", put("tier", "priority", None), "no such word in requests"),
    Row(None, _free_of_calls, "no call is one at most"),
    Row("detail", marks("detail", Image), "no such member"),
    Row("citations", _own_citations, "other providers' citations are refused there"),
    Row("reasoning_content", without(Thinking, such=_unsigned), "its provider knows it by this"),
    Row(None, assistants(_refusals_as_text), "a refusal is text there"),
)  # fmt: skip
"""The Messages API, of clients and of providers."""

OPENAI: tuple[Row, ...] = (
    Row("top_k", unset("top_k"), "no such member"),
    Row("thinking", unset("thinking"), "no such member"),
    Row("effort", put("effort", "max", "xhigh"), "no such word"),
    Row(None, _named, "schemas must have a name"),
    Row("image", results_without(Image), "results are text"),
    Row("document", results_without(Document), "results are text"),
    Row("cache_control", unset("cache"), "caches need no marks"),
    Row("cache_control", marks("cache"), "caches need no marks"),
    Row("is_error", marks("error", ToolResult, value=False), "results say it in their text"),
    Row("image", without(Image, such=_stored), "images are URLs or bytes"),
    Row("document", without(Document, such=_linked), "documents are bytes or stored"),
    Row("context", marks("context", Document), "no such member"),
    Row("citations_enabled", marks("cited", Document, value=False), "no such member"),
    Row("citations", marks("citations", Text), "no such member in requests"),
    Row("thinking", without(Thinking, Redacted), "thoughts are not sent back"),
    Row(None, assistants(_as_a_message), "a message's members have no order"),
)  # fmt: skip
"""Chat completions, as providers take them."""

BEDROCK: tuple[Row, ...] = (
    *_OF_CHATS_ALONE,
    Row("cache_control", unset("cache"), "marks stand at parts"),
    Row("service_tier", put("tier", "flex", None), "not sent"),
    Row("service_tier", put("tier", "priority", None), "not sent"),
    Row(None, put("tier", "auto", None), "what is not said is the provider's choice"),
    Row("temperature", _lukewarm, "the scale goes to 1"),
    Row("reasoning_effort", put("effort", "minimal", "low"), "no such word"),
    Row(None, _thinks_not, "thinking that is disabled is no effort"),
    Row("user", _unfit_for_metadata, "values have few letters"),
    Row(None, _named, "schemas must have a name"),
    Row(None, unset("schema_strict"), "all schemas are strict"),
    Row(None, unset("one_call_at_most"), "the gateway keeps to it"),
    Row("tool_choice", _no_tool_chosen, "no such choice"),
    Row(None, _tools_have_schemas, "tools must have a schema: this one says nothing"),
    Row(None, _described_or_not, "a description is not empty"),
    Row("detail", marks("detail", Image), "no such member"),
    Row("file_id", without(Image, such=_stored), "images are bytes"),
    Row("file_id", results_without(Image, such=_stored), "images are bytes"),
    Row("image_url", without(Image, such=_addressed), "images are bytes, or on S3"),
    Row("image_url", results_without(Image, such=_addressed), "images are bytes, or on S3"),
    Row("document", without(Document, such=_elsewhere), "documents are bytes"),
    Row("document", results_without(Document, such=_elsewhere), "documents are bytes"),
    Row(None, marks("title", Document), "it becomes a name of few letters"),
    Row("citations", marks("citations", Text), "no such member in requests"),
    Row("thinking", without(Thinking, such=_unsigned), "its provider knows it by this"),
    Row(None, assistants(_refusals_as_text), "a refusal is text there"),
    Row(None, unset("stream"), "another operation"),
)  # fmt: skip
"""Bedrock's Converse, for a model of Anthropic's."""

COHERE: tuple[Row, ...] = (
    *(
        Row(name, unset(name), "no such member")
        for name in ("logprobs", "top_logprobs", "logit_bias", "user")
    ),
    Row("service_tier", put("tier", "flex", None), "no such member"),
    Row("service_tier", put("tier", "priority", None), "no such member"),
    Row(None, unset("tier"), "the usual one is had without a word"),
    Row("description", unset("schema_description"), "schemas have none but their own"),
    Row(None, unset("schema_name", "schema_strict"), "schemas are strict, and have no names"),
    Row("reasoning_effort", _no_effort, "a budget of tokens, or none"),
    Row(None, _budgeted, "adaptive thinking is thinking"),
    Row(None, unset("one_call_at_most"), "the gateway keeps to it"),
    Row(None, _sent_alone, "the tool that is chosen is sent alone"),
    Row("cache_control", unset("cache"), "caches need no marks"),
    Row("image", results_without(Image), "results are text"),
    Row("document", results_without(Document), "results are text"),
    Row("cache_control", marks("cache"), "caches need no marks"),
    Row(None, _tools_have_schemas, "tools must have a schema: this one says nothing"),
    Row(None, _strict_together, "all tools are strict or none"),
    Row("is_error", marks("error", ToolResult, value=False), "results say it in their text"),
    Row("image", without(Image, such=_stored), "images are URLs or bytes"),
    Row("document", without(Document, such=_no_plain_text), "documents are text"),
    Row("title", marks("title", Document), "documents are text"),
    Row("citations", marks("citations", Text), "no such member in requests"),
    Row("thinking", without(Redacted), "thoughts are text"),
    Row(None, _results_first, "results are messages of their own"),
    Row(None, _as_text, "documents and refusals are text there"),
    Row(None, assistants(_thought_together), "a message has one thought, and no order"),
)  # fmt: skip
"""Cohere's API, version 2."""

CHAT_CLIENT: tuple[Row, ...] = (
    Row(None, _named, "schemas must have a name"),
    Row(None, without(Image, such=_stored), _SAID_OF_NONE),
    Row(None, results_without(Image, such=_stored), _SAID_OF_NONE),
    Row(None, without(Document, such=_linked), _SAID_OF_NONE),
    Row(None, results_without(Document, such=_linked), _SAID_OF_NONE),
    Row(None, marks("context", Document), _SAID_OF_NONE),
    Row(None, marks("cited", Document, value=False), _SAID_OF_NONE),
    Row(None, marks("error", ToolResult, value=False), _SAID_OF_NONE),
    Row(None, marks("cache", ToolResult, Refusal), _SAID_OF_NONE),
    Row(None, assistants(_as_a_message), "a message's members have no order"),
    Row(None, assistants(_cited_together), "citations stand beside a message's text"),
)  # fmt: skip
"""Chat completions as clients write them: with what gateways and compatible servers understand
beyond OpenAI, as marks for caches, thinking with its signatures, and citations."""

RESPONSES_CLIENT: tuple[Row, ...] = (
    Row(None, unset(
        "stop", "top_k", "seed", "frequency_penalty", "presence_penalty", "logit_bias",
        "thinking", "cache",
    ), _SAID_OF_NONE),
    Row(None, _named, "schemas must have a name"),
    Row(None, marks("cache"), _SAID_OF_NONE),
    Row(None, marks("context", Document), _SAID_OF_NONE),
    Row(None, marks("cited", Document, value=False), _SAID_OF_NONE),
    Row(None, marks("error", ToolResult, value=False), _SAID_OF_NONE),
)  # fmt: skip
"""Responses."""


def of_one_side(turn: Turn) -> list[list[Part]]:
    """A user's turn in pieces: each result is one, and what stands between them."""
    pieces: list[list[Part]] = []
    for part in turn.parts:
        if isinstance(part, ToolResult) or not pieces or isinstance(pieces[-1][0], ToolResult):
            pieces.append([part])
        else:
            pieces[-1].append(part)
    return pieces


# --- answers


def unheard(counts: Counts) -> Counts:
    """Only OpenAI's chats tell how many tokens were audio."""
    return replace(counts, audio_input=0, audio_output=0)


def anthropic_answer(answer: Answered) -> Answered:
    """A message: tells no log probabilities, says refusals as text, and always counts, audio as all
    else."""
    parts: list[Part] = []
    for part in answer.parts:
        match part:
            case Text():
                parts.append(Text(part.text, citations=part.citations))
            case Refusal():
                parts.append(Text(part.text))
            case _:
                parts.append(part)
    counts = unheard(answer.counts or Counts())
    return replace(answer, parts=parts, counts=counts)


FINISH_OF_CHATS = {Finish.PAUSED: Finish.STOP, Finish.WINDOW: Finish.LENGTH}
"""For which OpenAI has no word; `native_finish_reason` tells it."""


def chat_answer(answer: Answered) -> Answered:
    """As a reader of OpenAI's own members finds it: one thought, one text, one refusal."""
    thought = "".join(p.text for p in answer.parts if isinstance(p, Thinking))
    texts = [p for p in answer.parts if isinstance(p, Text)]
    refused = "".join(p.text for p in answer.parts if isinstance(p, Refusal))
    parts: list[Part] = [Thinking(thought)] if thought else []
    if texts:
        likely = [token for text in texts for token in text.logprobs or []]
        parts.append(Text("".join(text.text for text in texts), logprobs=likely or None))
    parts += [Refusal(refused)] if refused else []
    parts += [p for p in answer.parts if isinstance(p, ToolUse)]
    finish = FINISH_OF_CHATS.get(answer.finish, answer.finish)
    finish = Finish.REFUSED if refused and finish is Finish.STOP else finish
    return replace(answer, parts=parts, finish=finish)


def chat_sent_back(answer: Answered) -> list[Turn]:
    """The message as the next request has it: thoughts with their signatures, one text that has
    all citations, one refusal."""
    thoughts = [p for p in answer.parts if isinstance(p, Thinking | Redacted)]
    texts = [p for p in answer.parts if isinstance(p, Text)]
    rest = chat_answer(answer).parts
    for part in rest:
        if isinstance(part, Text):
            cited = [citation for text in texts for citation in text.citations or []]
            part.citations, part.logprobs = cited or None, None
    parts = [*thoughts, *(p for p in rest if not isinstance(p, Thinking))]
    return [Turn("assistant", parts)] if parts else []


def sent_back(answer: Answered) -> list[Turn]:
    """All items as they were; log probabilities are of answers alone."""
    parts = [replace(p, logprobs=None) if isinstance(p, Text) else p for p in answer.parts]
    return [Turn("assistant", parts)] if parts else []


def why_incomplete(finish: Finish, parts: Sequence[Part | Delta]) -> str | None:
    """The reason in a response. A refusal in the model's own words is complete."""
    if finish in (Finish.LENGTH, Finish.WINDOW):
        return "max_output_tokens"
    refused = any(isinstance(part, Refusal | Refusing) for part in parts)
    return "content_filter" if finish is Finish.REFUSED and not refused else None


# --- streams


def anthropic_stream(deltas: list[Delta]) -> list[Delta]:
    """No log probabilities; refusals are text; tokens of audio are as all others."""
    deltas = [Counted(unheard(d.counts)) if isinstance(d, Counted) else d for d in deltas]
    return [Said(d.text) if isinstance(d, Said | Refusing) else d for d in deltas]


def chat_stream(deltas: list[Delta]) -> list[Delta]:
    """As a reader of OpenAI's own members finds it."""
    refused = any(isinstance(delta, Refusing) for delta in deltas)
    read: list[Delta] = []
    for delta in deltas:
        if isinstance(delta, Finished):
            finish = FINISH_OF_CHATS.get(delta.finish, delta.finish)
            finish = Finish.REFUSED if refused and finish is Finish.STOP else finish
            read.append(Finished(finish, delta.stop))
        elif not isinstance(delta, Signed | Hidden | Cited):
            read.append(delta)
    return read
