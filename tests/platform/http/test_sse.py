"""Events are split the same, however their bytes arrive and whatever ends their lines."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.platform.http.sse import EventSplitter, EventTooLarge, data_of

PIECES = st.sampled_from([b"data: x", b"data:\xe6\xb0\xb4", b": c", b"\n", b"\r\n", b"\r", b"a"])
LF_PIECES = st.sampled_from([b"data: x", b"data:\xe6\xb0\xb4", b": c", b"\n", b"\n\n", b"a"])


def _events(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)], splitter.rest


def _cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(PIECES, max_size=30), st.lists(st.integers(0, 400), max_size=12))
def test_cuts_change_nothing(pieces: list[bytes], at: list[int]) -> None:
    """Nothing is lost, and the same data comes out as of the stream in one piece, where a CR that
    ends it may still be half of a line end."""
    data = b"".join(pieces) + b"."
    whole, rest = _events([data])
    cut, cut_rest = _events(_cut(data, at))
    assert b"".join(whole) + rest == data == b"".join(cut) + cut_rest
    assert [data_of(event) for event in cut] == [data_of(event) for event in whole]


@given(st.lists(LF_PIECES, max_size=30), st.lists(st.integers(0, 400), max_size=12))
def test_the_fast_way_is_the_other_way(pieces: list[bytes], at: list[int]) -> None:
    """Without any CR the stream ends its events at each blank line, and nowhere else."""
    data = b"".join(pieces)
    *expected, rest = re.split(rb"(?<=\n\n)", data) if b"\n\n" in data else [data]
    # `re.split` sees a blank line within three LFs twice; the wire has one event per two LFs.
    if b"\n\n\n" not in data:
        assert _events(_cut(data, at)) == (expected, rest)
    assert b"".join(_events(_cut(data, at))[0]) + _events(_cut(data, at))[1] == data


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_too_large(eol: bytes) -> None:
    splitter = EventSplitter(limit_bytes=100)
    assert splitter.feed(b"data: %b" % (b"x" * 90) + eol) == []
    with pytest.raises(EventTooLarge):
        splitter.feed(b"y" * 20)
    with pytest.raises(EventTooLarge):
        EventSplitter(limit_bytes=100).feed(b"data: %b" % (b"x" * 100) + 2 * eol)
