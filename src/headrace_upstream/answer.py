"""The answer before it is written in a dialect: its tokens, its tool calls, why it ended."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace_upstream.asked import Asked
from headrace_upstream.behaviour import Behaviour, ToolCall
from headrace_upstream.faults import BadToolJson, ContentFilter
from headrace_upstream.scripts import without_script
from headrace_upstream.words import cut_into_tokens, fragments, speak


class Call(Struct, frozen=True):
    """A tool call with its arguments as they are streamed."""

    name: str
    fragments: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)

    @property
    def parsed(self) -> Any:
        """The arguments' value; None where the model wrote no JSON."""
        try:
            return msgspec.json.decode(self.arguments or "{}")
        except msgspec.DecodeError:
            return None


class Answer(Struct, frozen=True, kw_only=True):
    """`finish` is OpenAI's word; each dialect translates it unless it was scripted."""

    pieces: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    thinking: str | None = None
    finish: str
    finish_scripted: bool = False
    filter: str = "safe"
    """Azure's verdict: `safe`, `filtered`, `late` or `error` (the filter did not run); `blocked` if
    there is to be no answer at all."""
    model: str
    tokens_out: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    report_usage: bool = True

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def answer_to(asked: Asked, behaviour: Behaviour) -> Answer:
    """What the behaviour says to this request, within the request's token limit."""
    calls = _calls(asked, behaviour)
    pieces = () if calls else tuple(_pieces(asked, behaviour))
    finish = "tool_calls" if calls else "stop"
    limit = asked.max_tokens
    if limit is not None and limit < len(pieces):
        pieces, finish = pieces[:limit], "length"
    verdict = "safe"
    if isinstance(behaviour.fault, ContentFilter):
        pieces, finish, verdict = _filtered(behaviour.fault, pieces, finish)
        if behaviour.fault.form == "refused":
            verdict = "blocked"
    written = len(pieces) + sum(len(call.fragments) for call in calls)
    usage = behaviour.usage
    return Answer(
        pieces=pieces,
        calls=calls,
        thinking=behaviour.thinking,
        finish=behaviour.finish or finish,
        finish_scripted=behaviour.finish is not None,
        filter=verdict,
        model=behaviour.model or asked.model,
        tokens_out=usage.output
        if usage.output is not None
        else written * (asked.body.n or 1) + usage.reasoning,
        cached=usage.cached,
        cache_write=usage.cache_write,
        reasoning=usage.reasoning,
        report_usage=behaviour.report_usage,
    )


def _pieces(asked: Asked, behaviour: Behaviour) -> list[str]:
    if behaviour.pieces is not None:
        return behaviour.pieces
    if behaviour.text is not None:
        return cut_into_tokens(behaviour.text)
    if behaviour.echo:
        return cut_into_tokens(without_script(asked.last_user_text))
    wanted = asked.format
    if wanted is not None and wanted.type == "json_object":
        return cut_into_tokens('{"answer": "The mill wheel turns."}')
    if wanted is not None and wanted.type == "json_schema":
        schema = (wanted.json_schema or {}).get("schema") or {}
        return cut_into_tokens(msgspec.json.encode(instance_of(schema)).decode())
    return speak(behaviour.tokens)


def _filtered(
    fault: ContentFilter, pieces: tuple[str, ...], finish: str
) -> tuple[tuple[str, ...], str, str]:
    if fault.form in ("finish", "refused"):  # only Anthropic's refusal has the shape of an answer
        return pieces[: max(fault.after, 0)], "content_filter", "filtered"
    if fault.form == "late":
        return pieces, "content_filter", "late"
    return pieces, finish, "error" if fault.form == "filter_error" else "safe"


def _calls(asked: Asked, behaviour: Behaviour) -> tuple[Call, ...]:
    scripted = behaviour.tool_calls
    if isinstance(behaviour.fault, BadToolJson):
        scripted = [ToolCall(behaviour.fault.name, behaviour.fault.arguments)]
    if scripted is None:
        scripted = _forced(asked)
    if not scripted:
        return ()
    tools = asked.tools
    schemas = {tool["name"]: tool["parameters"] for tool in tools}
    first = tools[0]["name"] if tools else "tool"
    return tuple(_call(call, first, schemas) for call in scripted)


def _call(call: ToolCall, first: str, schemas: dict[str, dict[str, Any]]) -> Call:
    name = call.name or first
    arguments = call.arguments
    if arguments is None:
        arguments = instance_of(schemas.get(name, {"type": "object"}))
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return Call(name, tuple(fragments(arguments)))


def _forced(asked: Asked) -> list[ToolCall]:
    """The call that `tool_choice` demands, in any dialect's way of saying so."""
    choice = asked.body.tool_choice
    if choice == "required":
        return [ToolCall()]
    if isinstance(choice, dict):
        if choice.get("type") == "any":
            return [ToolCall()]
        named = choice.get("function") or choice
        if choice.get("type") in ("function", "tool") and named.get("name"):
            return [ToolCall(named["name"])]
    return []


def instance_of(schema: dict[str, Any]) -> Any:
    """The smallest plain value that fits a JSON schema of the kind that tools use."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance_of(schema[key][0])
    match schema.get("type", "object" if "properties" in schema else "string"):
        case "object":
            wanted = schema.get("required", list(schema.get("properties", {})))
            return {
                name: instance_of(schema.get("properties", {}).get(name, {})) for name in wanted
            }
        case "array":
            return [instance_of(schema.get("items", {}))] * schema.get("minItems", 1)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return "mill"
