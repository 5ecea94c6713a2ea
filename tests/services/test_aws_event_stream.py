"""AWS's event streams: whole wherever the bytes are cut, and no damaged byte gets through."""

from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.platform.http.sse import EventTooLarge
from headrace.services.aws_event_stream import LIMIT_BYTES, MessageSplitter, message_of
from headrace.services.service import BadAnswer
from headrace_upstream.aws_frame import framed

PAYLOADS = [b'{"delta":{"text":"Gr\xc3\xbc\xc3\x9fe"}}', b"", b"{}", b"x" * 300]
STREAM = b"".join(framed(b"contentBlockDelta", payload) for payload in PAYLOADS)


def read(chunks: list[bytes]) -> list[bytes]:
    splitter = MessageSplitter()
    messages = [message_of(m) for chunk in chunks for m, _ in splitter.pairs(chunk)]
    assert splitter.rest == b""
    assert all(m.headers[":event-type"] == "contentBlockDelta" for m in messages)
    assert all(m.headers[":message-type"] == "event" for m in messages)
    return [m.payload for m in messages]


def test_aws_own_reader_reads_what_the_upstream_writes() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    assert [event.payload for event in buffer] == PAYLOADS


def test_cut_at_every_byte() -> None:
    for at in range(len(STREAM) + 1):
        assert read([STREAM[:at], STREAM[at:]]) == PAYLOADS
    assert read([STREAM[i : i + 1] for i in range(len(STREAM))]) == PAYLOADS


def test_a_damaged_byte_is_found() -> None:
    """Whichever it is: of lengths, headers, payload or checksums."""
    message = framed(b"contentBlockDelta", PAYLOADS[0])
    for at in range(len(message)):
        damaged = bytearray(message)
        damaged[at] ^= 0x10
        with pytest.raises(BadAnswer):
            for found, _ in MessageSplitter().pairs(bytes(damaged)):
                message_of(found)
            pytest.fail(f"byte {at} was damaged in silence")


def test_what_is_too_large_is_not_held() -> None:
    import struct
    import zlib

    prelude = struct.pack(">II", LIMIT_BYTES + 1, 0)
    huge = prelude + struct.pack(">I", zlib.crc32(prelude))
    with pytest.raises(EventTooLarge) as caught:
        MessageSplitter().pairs(framed(b"x", b"{}") + huge)
    assert len(caught.value.before) == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_it(junk: bytes) -> None:
    try:
        for found, _ in MessageSplitter().pairs(junk):
            message_of(found)
    except (BadAnswer, EventTooLarge):
        pass
