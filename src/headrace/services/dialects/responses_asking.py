"""Requests for a response in the words of OpenAI's Responses API, read.

https://platform.openai.com/docs/api-reference/responses/create. Items of one side that follow each
other are one turn of the neutral form. Thinking of other providers comes in `reasoning` items whose
`encrypted_content` this gateway wrote: see `sealed`.
"""

from __future__ import annotations

from typing import Any

from headrace.services.dialects.neutral import (
    Asked,
    Choice,
    Document,
    Foreign,
    Image,
    Part,
    Redacted,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)  # fmt: skip
from headrace.services.dialects.objects import (
    list_of,
    object_of,
    parsed,
    rest,
    text_of,
    unknown,
)  # fmt: skip
from headrace.services.dialects.openai_asking import (
    PARTS_OF_SYSTEM,
    detail_of,
    document_in,
    image_at,
    read_schema,
    read_user_and_tier,
)
from headrace.services.responses_wire import SEALED

_SEALED_SIGNATURE = f"{SEALED.decode()}signature."
_SEALED_THOUGHT = f"{SEALED.decode()}redacted."
_HANDLED = (
    "model", "stream", "stream_options", "store", "metadata", "background",
)  # fmt: skip
"""Of the gateway or of the answer, which repeats them."""
_LOGPROBS = "message.output_text.logprobs"
_SHOWN = ["reasoning.encrypted_content", _LOGPROBS]
"""What `include` may name. The first a translated answer has always."""
_PART_MEMBERS = {
    "input_text": {"text"},
    "output_text": {"text", "annotations", "logprobs", "citations"},
    "input_image": {"image_url", "file_id", "detail"},
    "input_file": {"file_data", "file_id", "file_url", "filename", "detail"},
    "refusal": {"refusal"},
}


def sealed(thought: Thinking | Redacted) -> str | None:
    """What a provider needs to know its own thinking again, as `encrypted_content`."""
    if isinstance(thought, Redacted):
        return _SEALED_THOUGHT + thought.data
    return None if thought.signature is None else _SEALED_SIGNATURE + thought.signature


def read(members: dict[str, Any]) -> Asked:
    """Takes the members out of a body. Raises Refused(BAD_REQUEST)."""
    take = members.pop
    asked = Asked(stream=bool(take("stream", None)))
    for name in _HANDLED:
        take(name, None)
    asked.temperature = take("temperature", None)
    asked.top_p = take("top_p", None)
    asked.max_tokens = take("max_output_tokens", None)
    asked.top_logprobs = take("top_logprobs", None) or None
    if members.get("truncation") == "disabled":
        take("truncation")
    included = list_of(members.get("include") or [], "include")
    if _LOGPROBS in included or asked.top_logprobs is not None:
        asked.logprobs = True
    if all(name in _SHOWN for name in included):
        take("include", None)
    read_user_and_tier(members, asked)
    _read_reasoning(members, asked)
    _read_text(members, asked)
    _read_tools(members, asked)
    instructions = take("instructions", None)
    if instructions:
        asked.add("system", [Text(text_of(instructions, "instructions"))])
    _read_input(take("input", None), asked)
    asked.others += rest(members)
    return asked


def _read_reasoning(members: dict[str, Any], asked: Asked) -> None:
    wanted = dict(object_of(members.pop("reasoning", None) or {}, "reasoning"))
    asked.effort = wanted.pop("effort", None)
    for name in ("summary", "generate_summary"):  # what thinking there is, is shown
        wanted.pop(name, None)
    asked.others += rest(wanted, "reasoning.")


def _read_text(members: dict[str, Any], asked: Asked) -> None:
    wanted = dict(object_of(members.pop("text", None) or {}, "text"))
    form = object_of(wanted.pop("format", None) or {"type": "text"}, "text.format")
    kind = form.get("type")
    if kind == "json_object":
        asked.any_json = True
    elif kind == "json_schema":
        read_schema(form, "text.format", asked)
    elif kind != "text":
        asked.others.append("text.format")
    asked.others += rest(wanted, "text.")


def _read_tools(members: dict[str, Any], asked: Asked) -> None:
    for i, value in enumerate(list_of(members.pop("tools", None) or [], "tools")):
        where = f"tools[{i}]"
        tool = dict(object_of(value, where))
        kind = tool.pop("type", None)
        if kind != "function":
            asked.others.append(f"{where}.{kind}")
            continue
        made = Tool(text_of(tool.pop("name", None), f"{where}.name"))
        made.description = tool.pop("description", None)
        made.schema = tool.pop("parameters", None)
        made.strict = tool.pop("strict", None)
        asked.tools.append(made)
        asked.others += rest(tool, f"{where}.")
    choice = members.pop("tool_choice", None)
    if isinstance(choice, dict) and choice.get("type") == "function":
        asked.choice = Choice("tool", text_of(choice.get("name"), "tool_choice.name"))
    elif choice in ("none", "required"):
        asked.choice = Choice("none" if choice == "none" else "any")
    elif choice not in (None, "auto"):
        asked.others.append("tool_choice")
    asked.one_call_at_most = members.pop("parallel_tool_calls", None) is False


def _read_input(given: Any, asked: Asked) -> None:
    if isinstance(given, str):
        asked.add("user", [Text(given)] if given else [])
        return
    for i, value in enumerate(list_of(given, "input")):
        where = f"input[{i}]"
        item = dict(object_of(value, where))
        for name in ("id", "status"):  # of its place in an answer
            item.pop(name, None)
        _read_item(item, where, asked)


def _read_item(item: dict[str, Any], where: str, asked: Asked) -> None:
    take = item.pop
    kind = take("type", None)
    match kind:
        case None | "message":
            _read_message(item, where, asked)
        case "function_call":
            arguments = parsed(take("arguments", ""), f"{where}.arguments")
            id = text_of(take("call_id", None), f"{where}.call_id")
            name = text_of(take("name", None), f"{where}.name")
            asked.add("assistant", [ToolUse(id, name, arguments)])
        case "function_call_output":
            id = text_of(take("call_id", None), f"{where}.call_id")
            parts = _read_content(take("output", None), f"{where}.output", asked.others)
            asked.add("user", [ToolResult(id, parts)])
        case "reasoning":
            asked.add("assistant", _read_thoughts(item, where, asked.others))
        case _:
            asked.others.append(f"{where}.{kind}")
            return
    asked.others += rest(item, f"{where}.")


def _read_message(item: dict[str, Any], where: str, asked: Asked) -> None:
    role = item.pop("role", None)
    parts = _read_content(item.pop("content", None), f"{where}.content", asked.others)
    if role in PARTS_OF_SYSTEM:
        asked.add("system", parts)
    elif role == "user":
        asked.add("user", parts)
    elif role == "assistant":
        asked.add("assistant", parts)
    else:
        asked.others.append(f"{where}.role")


def _read_thoughts(item: dict[str, Any], where: str, others: list[str]) -> list[Part]:
    said = item.pop("content", None) or item.pop("summary", None) or []
    item.pop("summary", None)
    text = "".join(
        str(object_of(part, f"{where}.summary").get("text") or "")
        for part in list_of(said, f"{where}.summary")
    )
    seal = item.pop("encrypted_content", None)
    if isinstance(seal, str) and seal.startswith(_SEALED_THOUGHT):
        return [Redacted(seal.removeprefix(_SEALED_THOUGHT))]
    if isinstance(seal, str) and seal.startswith(_SEALED_SIGNATURE):
        return [Thinking(text, seal.removeprefix(_SEALED_SIGNATURE))]
    if seal is not None:
        others.append(f"{where}.encrypted_content")
    return [Thinking(text)] if text else []


def _read_content(content: Any, where: str, others: list[str]) -> list[Part]:
    if content is None or isinstance(content, str):
        return [Text(content)] if content else []
    parts = []
    for i, value in enumerate(list_of(content, where)):
        at = f"{where}[{i}]"
        part = _read_part(object_of(value, at), at)
        others += unknown(value, _PART_MEMBERS, at)
        if part is not None:
            parts.append(part)
    return parts


def _read_part(part: dict[str, Any], where: str) -> Part | None:
    kind = part.get("type")
    match kind:
        case "input_text" | "output_text":
            text = text_of(part.get("text"), f"{where}.text")
            return Text(text, citations=part.get("citations") or None) if text else None
        case "input_image":
            return _read_image(part, where)
        case "input_file":
            return _read_file(part, where)
        case "refusal":
            return Refusal(text_of(part.get("refusal"), f"{where}.refusal"))
    return Foreign(f"{where}.{kind}")


def _read_image(part: dict[str, Any], where: str) -> Part:
    detail = detail_of(part)
    if part.get("file_id") is not None:
        return Image(file_id=text_of(part["file_id"], f"{where}.file_id"), detail=detail)
    return image_at(text_of(part.get("image_url"), f"{where}.image_url"), detail)


def _read_file(part: dict[str, Any], where: str) -> Part:
    title = part.get("filename")
    if part.get("file_id") is not None:
        return Document("file", text_of(part["file_id"], f"{where}.file_id"), title=title)
    if part.get("file_url") is not None:
        return Document("url", text_of(part["file_url"], f"{where}.file_url"), title=title)
    url = text_of(part.get("file_data"), f"{where}.file_data")
    return document_in(url, f"{where}.file_data", title)
