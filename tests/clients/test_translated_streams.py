"""Streams that are always translated, cut where they must not be and where they may be."""

from __future__ import annotations

import openai
import pytest

from clients.weather import HELLO
from support.scripted import ScriptedThread

MODELS = ("bedrock", "cohere", "gemini")


@pytest.mark.parametrize("model", MODELS)
def test_a_cut_stream_is_no_answer(
    client: openai.OpenAI, upstream: ScriptedThread, model: str
) -> None:
    """Without a reason for its end no end of the bytes is the end of the answer."""
    faults = ["missing_done", *({"kind": "cut", "how": h} for h in ("eof", "rst", "clean_end"))]
    for fault in [*faults, {"kind": "error_event", "after": 3}]:
        upstream.reset()
        upstream.script({"fault": fault, "writes": "each", "gap_ms": 5})
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(model=model, messages=HELLO, stream=True))


@pytest.mark.parametrize("model", MODELS)
def test_bytes_may_be_cut_anywhere(
    client: openai.OpenAI, upstream: ScriptedThread, model: str
) -> None:
    text = "Grüße 水車 🏞️"
    for split in (1, 7, "utf8"):
        upstream.script({"text": text, "split": split})
        stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == text
