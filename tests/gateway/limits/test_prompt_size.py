"""How many tokens a prompt may have: estimates, bounds, and counts with OpenAI's vocabularies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.gateway.limits.prompt_size import IMAGE_MOST, PromptSize, prompt_size
from headrace.gateway.limits.token_counting import ExactCounter
from support.replies import call

IMAGE = "data:image/png;base64," + "A" * 100_000


def size(*content: Any, **members: Any) -> PromptSize:
    body = {"model": "m", "messages": [{"role": "user", "content": list(content)}], **members}
    return prompt_size(json.dumps(body).encode())


def test_text_by_its_bytes() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "word " * 1000}]}).encode()
    assert prompt_size(body) == PromptSize(len(body) // 4, len(body))


def test_images_by_class_and_not_by_bytes() -> None:
    text = {"type": "text", "text": "What is it?"}
    low = size(text, {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}})
    high = size(text, {"type": "image_url", "image_url": {"url": IMAGE}})
    linked = size(text, {"type": "image_url", "image_url": {"url": "https://example.net/a.png"}})
    assert 85 < low.likely < 85 + 100
    assert 1105 < high.likely < 1105 + 100
    assert 1105 < linked.likely < 1105 + 100
    assert IMAGE_MOST < high.most < IMAGE_MOST + 500


def test_images_and_files_of_the_responses_api() -> None:
    """As those of chats."""

    def likely(part: dict[str, Any]) -> int:
        item = {"role": "user", "content": [part]}
        return prompt_size(json.dumps({"model": "m", "input": [item]}).encode()).likely

    assert likely({"type": "input_image", "image_url": IMAGE, "detail": "low"}) < 85 + 60
    assert likely({"type": "input_image", "image_url": IMAGE}) < 1105 + 60
    data = "data:application/pdf;base64," + "A" * 20_000
    assert 1_000 < likely({"type": "input_file", "file_data": data}) < 1_000 + 60


def test_sound_and_files() -> None:
    sound = size({"type": "input_audio", "input_audio": {"data": "A" * 320_000, "format": "wav"}})
    assert 100 <= sound.likely < 200
    file = size({"type": "file", "file": {"file_data": "A" * 20_000}})
    assert 1000 <= file.likely < 1100


@pytest.mark.parametrize(
    "body",
    [b'{"image_url"', b'["image_url"]', b'{"messages":5,"x":"image_url"}', b'"image_url"',
     b'{"messages":[5,{"content":[5,{"image_url":5}]}]}'],
)  # fmt: skip
def test_what_is_odd_is_counted_by_its_bytes(body: bytes) -> None:
    assert prompt_size(body).most >= len(body) - 2


@pytest.fixture(scope="module")
def exact() -> ExactCounter:
    return ExactCounter()


def counted(exact: ExactCounter, body: dict[str, Any], model: str) -> PromptSize:
    return exact.prompt_size(call(json.dumps(body).encode()), model)


def test_counts_as_openai_published_them(exact: ExactCounter) -> None:
    """The example of "How to count tokens with tiktoken" in the OpenAI cookbook, whose counts the
    API itself confirmed: 129 tokens for gpt-4, 124 for gpt-4o."""
    messages = [
        {
            "role": "system",
            "content": "You are a helpful, pattern-following assistant that translates corporate "
            "jargon into plain English.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "New synergies will help drive top-line growth.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Things working well together will increase revenue.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base on "
            "opportunities for increased leverage.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client "
            "deliverable.",
        },
    ]
    assert counted(exact, {"messages": messages}, "gpt-4").likely == pytest.approx(129, abs=6)
    assert counted(exact, {"messages": messages}, "gpt-4o").likely == pytest.approx(124, abs=6)


def test_other_models_and_lists_of_tokens_are_estimated(exact: ExactCounter) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 1000}]}
    encoded = json.dumps(body).encode()
    assert counted(exact, body, "mistral-large") == prompt_size(encoded)
    assert counted(exact, body, "openai/gpt-4o-mini").likely == pytest.approx(1001 + 7, abs=2)
    lists = {"input": [[1, 2, 3], [4]]}
    assert counted(exact, lists, "text-embedding-3-small") == prompt_size(
        json.dumps(lists).encode()
    )
    assert counted(exact, {"input": ["a", "b c"]}, "text-embedding-3-small").likely == 6


def test_a_bound_is_no_less_than_the_count(exact: ExactCounter) -> None:
    for text in ("word " * 500, "\u65e5\u672c\u8a9e" * 300, "\U0001f600" * 200, "!@#$%^" * 200):
        body = {"messages": [{"role": "user", "content": text}]}
        found = counted(exact, body, "gpt-4o")
        assert found.likely <= found.most <= len(json.dumps(body).encode())
