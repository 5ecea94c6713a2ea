"""What streams hold of large events that have not ended is bounded for all of them together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.gateway.attempt import UNCOUNTED_BYTES, Unfinished, _Relay
from headrace.gateway.recording import Recorder
from headrace.platform.http.sse import EventTooLarge
from headrace.services.openai_wire import OpenAIStreamReader

LARGE = b'data: {"choices":[],"filler":"' + b"x" * 2 * UNCOUNTED_BYTES
CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'


def relay(unfinished: Unfinished) -> _Relay:
    progress: Any = SimpleNamespace(
        usage=None, content_events=0, first_content_at=None, status=0, finish=""
    )
    target = SimpleNamespace(patience=SimpleNamespace(idle_s=30.0))
    attempt: Any = SimpleNamespace(
        progress=progress, target=target, unfinished=unfinished, call=SimpleNamespace(body=b"{}")
    )
    reader = OpenAIStreamReader(hide_usage=True)
    return _Relay(reader, b"", Recorder(1 << 30), attempt, lambda _: None)


def test_bounded_together_and_given_back() -> None:
    unfinished = Unfinished(limit_bytes=5 * UNCOUNTED_BYTES)
    one, two, three, four = (relay(unfinished) for _ in range(4))
    for stream in (one, two):
        stream.take(CONTENT)
        stream.take(LARGE)
    with pytest.raises(EventTooLarge):
        three.take(LARGE)
    three.close()
    assert 4 * UNCOUNTED_BYTES < unfinished.held_bytes <= unfinished.limit_bytes
    one.take(b'"}\n\n')  # its end gives room
    four.take(LARGE[: UNCOUNTED_BYTES // 2])
    four.take(LARGE[UNCOUNTED_BYTES // 2 :])
    two.close()
    four.close()
    assert unfinished.held_bytes == 0
