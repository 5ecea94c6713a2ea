"""What was said in a call, as the conventions have it: from each dialect, whole and streamed."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.gateway.telemetry.content import content_of
from headrace.gateway.telemetry.listening import HEARD_BYTES, Listener, Room, Said
from headrace.nouns import Operation

KEY = "sk-proj-0123456789abcdefghijABCDEFGHIJ"
TOOL = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
CALLED = {"type": "tool_call", "id": "t1", "name": "weather", "arguments": '{"a":1}'}


def plain(text: str) -> str:
    return text.replace(KEY, "***")


def told(
    operation: Operation, asked: Any, answered: bytes, most: int = 10_000, cut: bool = False
) -> dict[str, Any]:
    said = Said(json.dumps(asked).encode(), answered, cut)
    found = content_of(operation, said, most, plain)
    return {n: json.loads(v) if isinstance(v, str) else v for n, v in found.items()}


def events(*objects: Any, done: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in objects) + done


def text(words: str) -> dict[str, str]:
    return {"type": "text", "content": words}


CHAT = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [
            {"type": "text", "text": f"Look: {KEY}"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [TOOL]},
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
    ],
}  # fmt: skip
ASKED = [
    {"role": "system", "parts": [text("Be kind.")]},
    {"role": "user", "parts": [text("Look: ***"), {"type": "image_url"}]},
    {"role": "assistant", "parts": [CALLED]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "sunny"}]},
]


def test_chat_completions() -> None:
    whole = {"choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes", "tool_calls": [TOOL]},
         "finish_reason": "tool_calls"},
    ]}  # fmt: skip
    found = told(Operation.CHAT, CHAT, json.dumps(whole).encode())
    assert found["gen_ai.input.messages"] == ASKED
    answer = {"role": "assistant", "parts": [text("Yes"), CALLED], "finish_reason": "tool_call"}
    assert found["gen_ai.output.messages"] == [answer]
    assert "headrace.content.cut" not in found
    assert KEY not in str(found) and "AAAA" not in str(found)

    def delta(said: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}

    pieces = [{"index": 0, "id": "t1", "function": {"name": "weather", "arguments": '{"a"'}},
              {"index": 0, "function": {"arguments": ":1}"}}]  # fmt: skip
    stream = events(
        delta({"role": "assistant", "content": "Y"}), delta({"content": "es"}),
        *(delta({"tool_calls": [piece]}) for piece in pieces), delta({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 1}},
    )  # fmt: skip
    assert told(Operation.CHAT, CHAT, stream) == found


def test_messages_of_anthropic() -> None:
    asked = {"system": "Be kind.", "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather",
                                           "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                                      "content": [{"type": "text", "text": "sunny"}]}]},
    ]}  # fmt: skip
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes"},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": 1}},
    ]  # fmt: skip
    whole = {"type": "message", "content": blocks, "stop_reason": "tool_use"}
    found = told(Operation.MESSAGES, asked, json.dumps(whole).encode())
    assert found["gen_ai.system_instructions"] == [text("Be kind.")]
    assert found["gen_ai.input.messages"][1]["parts"] == [CALLED]
    result = {"type": "tool_call_response", "id": "t1", "response": "sunny"}
    assert found["gen_ai.input.messages"][2]["parts"] == [result]
    parts = [{"type": "reasoning", "content": "hm"}, text("Yes"), CALLED]
    answer = {"role": "assistant", "parts": parts, "finish_reason": "tool_call"}
    assert found["gen_ai.output.messages"] == [answer]
    stream = events(
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_start", "index": 0,
         "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"thinking": "hm"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"text": "Y"}},
        {"type": "content_block_delta", "index": 1, "delta": {"text": "es"}},
        {"type": "content_block_start", "index": 2, "content_block": {**blocks[2], "input": {}}},
        {"type": "content_block_delta", "index": 2, "delta": {"partial_json": '{"a":1}'}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        done=b"",
    )  # fmt: skip
    assert told(Operation.MESSAGES, asked, stream) == found


def test_responses() -> None:
    asked = {"instructions": "Be kind.", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "t1", "name": "weather", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "t1", "output": "sunny"},
    ]}  # fmt: skip
    output = [{"type": "message", "role": "assistant",
               "content": [{"type": "output_text", "text": "Yes"}]}]  # fmt: skip
    whole = {"object": "response", "status": "completed", "output": output}
    found = told(Operation.RESPONSES, asked, json.dumps(whole).encode())
    assert [m["role"] for m in found["gen_ai.input.messages"]] == ["user", "assistant", "tool"]
    assert found["gen_ai.input.messages"][1]["parts"] == [CALLED]
    answer = {"role": "assistant", "parts": [text("Yes")], "finish_reason": "stop"}
    assert found["gen_ai.output.messages"] == [answer]
    stream = events({"type": "response.created", "response": {"output": []}},
                    {"type": "response.completed", "response": whole}, done=b"")  # fmt: skip
    assert told(Operation.RESPONSES, asked, stream) == found
    assert told(Operation.RESPONSES, {"input": "Hi"}, b"")["gen_ai.input.messages"] == [
        {"role": "user", "parts": [text("Hi")]}
    ]


def test_texts_are_bounded_and_the_last_word_is_kept() -> None:
    """A secret is taken out before the cut, lest half of one remain."""
    asked = {"messages": [{"role": "user", "content": f"{n} {'x' * 100}"} for n in range(100)]}
    found = told(Operation.CHAT, asked, b"", most=500)
    kept = found["gen_ai.input.messages"]
    assert 1 < len(kept) < 6
    assert kept[-1]["parts"][0]["content"].startswith("99 ")
    assert found["headrace.content.cut"] is True
    asked = {"messages": [{"role": "user", "content": f"{'x' * 30}{KEY}"}]}
    (one,) = told(Operation.CHAT, asked, b"", most=100)["gen_ai.input.messages"]
    assert one["parts"] == [text("x" * 30 + "***")]
    assert told(Operation.CHAT, {"messages": []}, b"", cut=True) == {"headrace.content.cut": True}
    many = {"messages": [{"role": "r" * 1000, "content": [{"type": "t" * 1000}] * 10_000}]}
    assert len(json.dumps(told(Operation.CHAT, many, b"", most=1024))) < 10_000


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES])
def test_whatever_is_said_can_be_told(operation: Operation) -> None:
    """Clients and upstreams may send anything that is JSON, and what is none."""
    dice = random.Random(5)
    names = ["messages", "role", "content", "type", "text", "tool_calls", "function", "input",
             "choices", "delta", "message", "output", "response", "index", "content_block",
             "system", "instructions", "summary", "tool_use", "reasoning", "refusal"]  # fmt: skip

    def thing(depth: int) -> Any:
        what = dice.randrange(7) if depth else dice.randrange(4)
        if what < 4:
            return dice.choice([None, 1, "x", True, dice.choice(names)])
        if what < 6:
            return {dice.choice(names): thing(depth - 1) for _ in range(4)}
        return [thing(depth - 1) for _ in range(3)]

    for _ in range(400):
        answered = dice.choice([events(thing(4), thing(4)), json.dumps(thing(5)).encode()])
        told(operation, thing(5), answered)
    for broken in (b"", b"{", b"\xff\xfe", b"data: {\n\n", b"[" * 5000):
        assert content_of(operation, Said(broken, broken, False), 100, plain) == {}


class Client:
    """A reply that takes everything."""

    def __init__(self) -> None:
        self.got = b""

    def whole(self, body: bytes, about: bytes) -> None:
        self.got += body

    def begin(self, about: bytes) -> None:
        pass

    def send(self, events: bytes) -> None:
        self.got += events

    end = send


def test_a_client_gets_all_and_what_is_remembered_is_bounded() -> None:
    client = Client()
    listener = Listener(cast(Any, client))
    listener.begin(b"")
    for _ in range(5):
        listener.send(b"x" * (HEARD_BYTES // 4))
    listener.end(b"end")
    assert len(client.got) == 5 * (HEARD_BYTES // 4) + 3
    said = listener.said(cast(Any, SimpleNamespace(body=b"y" * (HEARD_BYTES + 1))))
    assert (said.asked, len(said.answered), said.cut) == (b"", HEARD_BYTES, True)
    room = Room(100)
    assert [room.take(60), room.take(60)] == [True, False]
    room.give(60)
    assert room.take(60)
