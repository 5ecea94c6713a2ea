"""T05: events are split the same however the bytes are cut, and no bytes are lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.platform.http.sse import EventSplitter, EventTooLarge, data_of, name_of

EXAMPLES = 100_000 if os.environ.get("HEADRACE_SOAK") == "1" else 400

PARTS = st.sampled_from(
    [b"data: ", b"data:", b"data", b"event: x", b": ping", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r",
     b"\r\n\r\n", b"{}", b"[DONE]", "水車".encode(), b"\x00", b" "]
)  # fmt: skip
MARK = b"\xef\xbb\xbf"
"""The byte order mark, which may stand at the start of a stream alone."""
STREAMS = st.tuples(
    st.sampled_from([b"", MARK]),
    st.lists(PARTS | st.binary(max_size=6), max_size=30).map(
        lambda parts: b"".join(parts).replace(MARK, b"")
    ),
).map(b"".join)


def reference(data: bytes) -> list[bytes]:
    """Events by the letter of the standard: read line by line, an empty line ends one."""
    events, current, at = [], b"", 0
    while at < len(data):
        ends = [i for i in (data.find(b"\n", at), data.find(b"\r", at)) if i >= 0]
        if not ends:
            break
        end = min(ends)
        after = end + (2 if data[end : end + 2] == b"\r\n" else 1)
        if data[end:after] == b"\r" and after == len(data):
            break  # half of a CRLF, perhaps
        current += data[at:after]
        if end == at:
            events.append(current)
            current = b""
        at = after
    return events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({p % (len(data) + 1) for p in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=EXAMPLES, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_bytes_any_cuts(data: bytes, places: list[int]) -> None:
    splitter = EventSplitter()
    events = [event for piece in cut(data, places) for event in splitter.feed(piece)]
    assert b"".join(events) + splitter.rest == data
    whole = EventSplitter()
    assert whole.feed(data) == events
    told = [d for e in events if (d := data_of(e)) is not None]
    expected = [d for e in reference(data) if (d := data_of(e)) is not None]
    assert told == expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200))
def test_data_of_never_fails(event: bytes) -> None:
    data = data_of(event)
    assert data is None or isinstance(data, bytes)
    name_of(event)


def test_a_character_cut_at_every_byte_stays_whole() -> None:
    text = "水車👩‍👩‍👧 é́"
    event = f'data: {{"content":"{text}"}}\n\n'.encode()
    for place in range(1, len(event)):
        splitter = EventSplitter()
        got = splitter.feed(event[:place]) + splitter.feed(event[place:])
        assert got == [event]


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data:  x\r\n\r\n", b" x"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data\n\n", b""),
        (b": ping\n\n", None),
        (b"event: ping\n\n", None),
        (b"event: e\ndata: x\nid: 1\n\n", b"x"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b"data: x\r\n\n", b"x"),
        (b"data: x\rdata: y\n\n", b"x\ny"),
    ],
)
def test_data(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data
    assert EventSplitter().pairs(event) == [(event, data)]


def test_names() -> None:
    assert name_of(b"event: message_stop\ndata: {}\n\n") == b"message_stop"
    assert name_of(b"data: {}\n\n") == b""


@pytest.mark.parametrize("tail", [b"", b"\n\n", b"\r\n\r\n"])
def test_an_event_over_the_limit(tail: bytes) -> None:
    splitter = EventSplitter(limit_bytes=100)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"data: " + b"x" * 100 + tail)
    small = EventSplitter(limit_bytes=100)
    for _ in range(50):
        assert small.feed(b"data: x\n\n") == [b"data: x\n\n"]


BYTE_BY_BYTE = """
from headrace.platform.http.sse import EventSplitter
for middle, end in ((b"x", b"\\n\\n"), (b"\\n", b"\\n"), (b"\\r", b"\\n\\n")):
    splitter = EventSplitter(limit_bytes=2_000_000)
    for _ in range(250_000):
        assert splitter.feed(b"x") == []
        assert splitter.feed(middle) == []
    assert splitter.feed(end) == [(b"x" + middle) * 250_000 + end], middle
"""


def test_an_event_that_comes_byte_by_byte_does_not_stop_the_loop() -> None:
    """Looking at all that is held for each byte would take minutes of the loop's time."""
    subprocess.run([sys.executable, "-c", BYTE_BY_BYTE], check=True, timeout=60)


def test_what_came_before_a_large_event_is_told() -> None:
    splitter = EventSplitter(limit_bytes=100)
    with pytest.raises(EventTooLarge) as caught:
        splitter.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 100 + b"\n\ndata: c\n\n")
    assert caught.value.before == [(b"data: a\n\n", b"a"), (b"data: b\n\n", b"b")]
