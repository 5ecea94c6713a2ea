"""What is written by hand is what the protocol's own package reads; and lines stay whole."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ReadSpan

from headrace.data.records import Settlement
from headrace.gateway.telemetry.call_lines import JsonLines
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.kinds import Kinds
from headrace.platform.telemetry.lines import PIPE_BYTES, write_lines
from headrace.platform.telemetry.otlp import PLAIN_BYTES, Collector, SpanEncoder
from headrace.platform.telemetry.spans import Alike, Span, SpanKind, Value
from support.collector import attributes
from support.posted import posted

NUMBERS = [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 2**31, 2**63 - 1, -1, -(2**63)]
TEXTS = ["", "a", "é" * 40, "x" * 100, "x" * 112, "x" * 130, "y" * 40_000]


def test_numbers_and_texts_of_every_size_are_read_as_they_were() -> None:
    own: dict[str, Value] = {f"number.{n}": n for n in NUMBERS}
    own |= {f"text.{n}.{'n' * n * 20}": one for n, one in enumerate(TEXTS)}
    own |= {"yes": True, "no": False, "part": 0.25}
    alike, told = Alike("chat m", SpanKind.SERVER, {"shared": "s", "count": 300}), {"id": "i" * 24}
    encoder = SpanEncoder()
    for more in (own, {}, own):  # after the first from what is remembered
        one = Span(alike, b"t" * 16, b"s" * 8, b"", True, 7, 8, {**told}, more)
        (found,) = ScopeSpans.FromString(encoder.encoded([one])).spans
        assert attributes(found) == {"shared": "s", "count": 300, **told, **more}
        assert (found.name, found.kind) == ("chat m", ReadSpan.SPAN_KIND_SERVER)
        assert (found.trace_id, found.span_id, found.parent_span_id) == (b"t" * 16, b"s" * 8, b"")
        assert (found.start_time_unix_nano, found.end_time_unix_nano) == (7, 8)


def test_what_leaves_the_host_is_compressed() -> None:
    """And what is large: collectors have a bound for a body."""
    small, large = b"spans " * 10, b"spans " * (PLAIN_BYTES // 6 + 1)
    with posted() as server:
        for url in (server.url, server.url.replace("127.0.0.1", "127.1")):  # no name of a loopback
            for message in (small, large):
                Collector(url, "/v1/traces", {}, 10.0).send(message)
    assert [post.body for post in server.posts] == [small, large] * 2
    told = [post.headers.get("content-encoding") for post in server.posts]
    assert told == [None, "gzip", "gzip", "gzip"]


def ended(at_us: int) -> Ended:
    row = Settlement(1, 1, at_us, "c" * 24, "openai", "chat", "m", "k", "t", 200, "complete",
                     "upstream", 1, 2500)  # fmt: skip
    return row, f"{0xFF:032x}", 0


def test_lines_have_their_instant_whatever_second_came_before() -> None:
    instants = {
        1_700_000_000_000_000: "2023-11-14T22:13:20.000+00:00",
        1_700_000_000_999_600: "2023-11-14T22:13:20.999+00:00",
        1_700_000_001_062_500: "2023-11-14T22:13:21.062+00:00",
        1_699_999_999_500_000: "2023-11-14T22:13:19.500+00:00",
    }
    lines, calls = JsonLines(lambda text: text), [ended(at_us) for at_us in instants]
    written = lines.of(calls, Kinds(None, lines).of(calls))
    told = [json.loads(line) for line in written.splitlines()]
    assert [one["time"] for one in told] == list(instants.values())
    assert {(one["event"], one["took_ms"], one["trace"]) for one in told} == {
        ("call", 2.5, f"{0xFF:032x}")
    }


@pytest.mark.parametrize("size", [1, 300, PIPE_BYTES - 1, PIPE_BYTES, 3 * PIPE_BYTES])
def test_lines_in_a_pipe_are_whole_beside_those_of_others(size: int) -> None:
    """Up to what a pipe takes in one piece; longer ones come whole where nobody else writes."""
    taken, given = os.pipe()
    lines = [b"%c" % (97 + n % 26) * size for n in range(40)]
    others = 0 if size >= PIPE_BYTES else 200

    def other() -> None:
        for _ in range(others):
            os.write(given, b"-" * 50 + b"\n")

    def ours() -> None:
        write_lines(given, [one + b"\n" for one in lines])

    threads = [threading.Thread(target=one) for one in (other, ours)]
    for one in threads:
        one.start()
    got = b""
    wanted = 51 * others + sum(len(one) + 1 for one in lines)
    while len(got) < wanted:
        got += os.read(taken, 65536)
    for one in threads:
        one.join()
    os.close(taken)
    os.close(given)
    found = got.splitlines()
    assert [one for one in found if one != b"-" * 50] == lines


@pytest.mark.parametrize("most", [None, 1_000])
def test_lines_go_to_a_file_in_few_pieces(
    most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, though the system takes only a part of them at first."""
    lines, writes = [b"x" * 300 for _ in range(1000)], 0

    def some(fd: int, pieces: Sequence[bytes]) -> int:
        nonlocal writes
        writes += 1
        return os.write(fd, b"".join(pieces)[:most])

    monkeypatch.setattr(os, "writev", some)
    with (tmp_path / "log").open("wb", buffering=0) as file:
        write_lines(file.fileno(), [one + b"\n" for one in lines])
    assert (tmp_path / "log").read_bytes().splitlines() == lines
    assert writes == 2
