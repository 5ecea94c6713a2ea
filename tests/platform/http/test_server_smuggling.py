"""T30: requests that two readers could understand in two ways never get through (RFC 9112,
section 11.2)."""

from __future__ import annotations

import pytest
from server_lab import serving, statuses

from support.smuggling import CHUNKS, CORPUS, POST

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 200


@pytest.mark.parametrize("name", CORPUS)
async def test_ambiguous_requests_are_refused(name: str) -> None:
    """None reaches the handler whole, and what follows on the connection is never served."""
    async with serving() as served:
        raw = await served.raw(CORPUS[name] + HIDDEN)
        assert served.seen == [], name
        answers = statuses(raw)
        # "too little data" is a fault only once more has come.
        assert answers == [400], (name, raw)
        assert b"connection: close" in raw


GOOD = {
    "length": POST + b"Content-Length: 5\r\n\r\nhello",
    "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "two chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "extension": POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("name", GOOD)
async def test_sound_requests_are_served_however_they_are_cut(name: str) -> None:
    data = GOOD[name]
    async with serving() as served:
        for size in (len(data), 1, 2, 3, 7, 16):
            raw = await served.raw(data, pieces=size)
            assert statuses(raw) == [200], (size, raw)
            assert raw.endswith(b"hello")
        assert [exchange.body for exchange in served.seen] == [b"hello"] * 6
