"""Answers that are none: a provider's nonsense is no fault of ours."""

from __future__ import annotations

import pytest

from headrace.services.service import BadAnswer
from headrace.services.vllm import with_reasoning_content


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":["reasoning"],"reasoning":1}',
        b'{"choices":[null],"reasoning":1}',
        b'["reasoning"]',
        b'{"reasoning":',
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        with_reasoning_content(data)


@pytest.mark.parametrize("data", [b'{"choices":null,"reasoning":1}', b'{"choices":[{}]}'])
def test_what_has_no_thinking_stays(data: bytes) -> None:
    assert with_reasoning_content(data) == data
