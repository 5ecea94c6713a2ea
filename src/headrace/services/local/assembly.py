"""Puts the events of an answered stream together to the whole answer that llama.cpp would have
given. Pure."""

from __future__ import annotations

from typing import Any


class WholeAnswer:
    """Of `/v1/chat/completions` or `/v1/completions`. `add` each event's JSON, in order.

    Better than llama.cpp's own in one point: its `usage` counts one choice alone, ours all.
    `choices_per_prompt` is the request's `n`.
    """

    def __init__(self, choices_per_prompt: int = 1) -> None:
        self._n = max(1, choices_per_prompt)
        self._head: dict[str, Any] = {}
        self._prompt_tokens = 0
        self._completion_tokens = 0
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, event: dict[str, Any]) -> None:
        for choice in event.get("choices", ()):
            self._add_choice(choice)
        if usage := event.get("usage"):  # once for each choice, as it ends
            self._prompt_tokens += usage["prompt_tokens"]
            self._completion_tokens += usage["completion_tokens"]
        self._head |= {key: value for key, value in event.items() if key != "choices"}

    def json(self) -> dict[str, Any]:
        """The whole answer; call it once, after the last event."""
        head = dict(self._head)
        if head.get("object") == "chat.completion.chunk":
            head["object"] = "chat.completion"
        if "usage" in head:
            prompt, completion = self._prompt_tokens // self._n, self._completion_tokens
            counts = {"prompt_tokens": prompt, "completion_tokens": completion}
            head["usage"] = head["usage"] | counts | {"total_tokens": prompt + completion}
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            _close(choice)
        return {"choices": choices, **head}

    def _add_choice(self, piece: dict[str, Any]) -> None:
        index = piece.get("index", 0)
        whole = self._choices.setdefault(index, {"index": index, "finish_reason": None})
        if piece.get("finish_reason") is not None:
            whole["finish_reason"] = piece["finish_reason"]
        if "text" in piece:
            whole["text"] = whole.get("text", "") + piece["text"]
        if "delta" in piece:
            _add_delta(whole.setdefault("message", {"role": "assistant"}), piece["delta"])
        for kind, entries in (piece.get("logprobs") or {}).items():
            kept = whole.setdefault("logprobs", {}).setdefault(kind, [])
            kept.extend(entries or ())


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            _add_tool_calls(message.setdefault("tool_calls", {}), value or ())
        elif key == "role" or not isinstance(value, str):
            message.setdefault(key, value)
        else:
            message[key] = (message.get(key) or "") + value


def _add_tool_calls(calls: dict[int, dict[str, Any]], pieces: Any) -> None:
    for piece in pieces:
        call = calls.setdefault(piece.get("index", 0), {"type": "function", "function": {}})
        call |= {key: value for key, value in piece.items() if key not in ("index", "function")}
        function = call["function"]
        for key, value in piece.get("function", {}).items():
            function[key] = function.get(key, "") + value


def _close(choice: dict[str, Any]) -> None:
    if "text" in choice:
        choice.setdefault("logprobs", None)
        return
    message = choice.get("message", {})
    if "tool_calls" in message:
        calls = message["tool_calls"]
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
        message.setdefault("content", None)
    elif message.get("content") is None:
        message["content"] = ""
