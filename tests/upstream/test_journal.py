"""The journal misses no call: under load, with clients that leave, after a kill."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace_upstream import EndedLine, ScriptedUpstream, SeenLine, read_journal
from upstream.wire import (
    CHAT,
    CHAT_PATHS,
    ask,
    chat_body,
    hang_up,
    read_answer,
    request_bytes,
)


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """The upstream as a process of its own, and its ready line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace_upstream",
        "--json",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_call_is_journaled_before_its_answer_and_when_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with ScriptedUpstream(journal=path, tokens=5) as up:
        headers = "x-request-id: r-1\r\nx-gw-attempt-id: a-1\r\nX-Stainless-Retry-Count: 2\r\n"
        await ask(up, CHAT, chat_body(stream=True), headers=headers)
    seen, ended = read_journal(path)
    assert isinstance(seen, SeenLine)
    assert isinstance(ended, EndedLine)
    assert (seen.request_id, seen.attempt_id, seen.retry_count) == ("r-1", "a-1", "2")
    assert (seen.model, seen.path, seen.method, seen.stream) == ("gpt-4o", CHAT, "POST", True)
    assert (seen.tokens_in, seen.tokens_out, seen.status) == (8, 5, 200)
    assert (ended.seq, ended.ended, ended.tokens_sent) == (seen.seq, "completed", 5)


async def test_the_line_is_there_when_the_first_byte_arrives(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with ScriptedUpstream(journal=path, fault="stall") as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(request_bytes(CHAT, chat_body(stream=True)))
        await reader.read(1)
        assert len(read_journal(path)) == 1
        await hang_up(writer)


async def test_load_with_aborts_and_faults_misses_nothing(tmp_path: Path) -> None:
    path, calls = tmp_path / "journal", 600
    dice = random.Random(7)
    kinds = ["plain", "slow", "leave", "cut", "refused"]
    plan = [(dice.choice(kinds), dice.choice(CHAT_PATHS)) for _ in range(calls)]
    scripts: dict[str, dict[str, Any]] = {
        "plain": {},
        "slow": {"gap_ms": 1},
        "leave": {"fault": {"kind": "stall", "after": dice.randrange(4)}},
        "cut": {"fault": {"kind": "cut", "how": "rst"}},
        "refused": {"fault": "rate_limited"},
    }
    async with ScriptedUpstream(journal=path, tokens=6) as up:
        gate = asyncio.Semaphore(50)

        async def one(number: int, kind: str, where: str) -> None:
            async with gate:
                reader, writer = await asyncio.open_connection(up.host, up.port)
                text = f"[[script {json.dumps(scripts[kind])}]]"
                body = chat_body(text, stream=number % 3 != 0 or kind == "leave")
                writer.write(request_bytes(where, body, headers=f"x-request-id: r-{number}\r\n"))
                if kind == "leave":
                    await reader.read(1)
                else:
                    await read_answer(reader)
                await hang_up(writer)

        await asyncio.gather(*(one(number, *each) for number, each in enumerate(plan)))
        await up.wait_for(lambda stats: stats.in_flight == 0 and stats.connections_open == 0)
        stats = up.stats
    lines = read_journal(path)
    seen = {line.seq: line for line in lines if isinstance(line, SeenLine)}
    ended = {line.seq: line for line in lines if isinstance(line, EndedLine)}
    assert len(lines) == 2 * calls
    assert seen.keys() == ended.keys()
    assert {line.request_id for line in seen.values()} == {f"r-{n}" for n in range(calls)}
    expected = {
        "plain": "completed",
        "slow": "completed",
        "leave": "client_gone",
        "cut": "faulted",
        "refused": "faulted",
    }
    for seq, line in seen.items():
        assert line.request_id is not None
        kind = plan[int(line.request_id[2:])][0]
        assert ended[seq].ended == expected[kind]
    assert stats.completed + stats.faulted + stats.client_gone == stats.calls == calls


async def test_client_gone_is_timed_by_a_clock_that_processes_share(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with ScriptedUpstream(journal=path, fault="silent") as up:
        _, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(request_bytes(CHAT, chat_body()))
        await up.wait_for(lambda stats: stats.in_flight == 1)
        await hang_up(writer)
        await up.wait_for(lambda stats: stats.client_gone == 1)
    seen, ended = read_journal(path)
    assert isinstance(seen, SeenLine)
    assert isinstance(ended, EndedLine)
    assert ended.ended_ns >= seen.begun_ns


async def test_a_killed_upstream_leaves_every_answered_call_in_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with command("--journal", str(path), "--fsync") as (process, ready):
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["port"])
        for number in range(50):
            headers = f"x-request-id: r-{number}\r\n"
            writer.write(request_bytes(CHAT, chat_body(), headers=headers))
            assert (await read_answer(reader)).status == 200
        process.kill()
        await process.wait()
        await hang_up(writer)
    ids = [line.request_id for line in read_journal(path) if isinstance(line, SeenLine)]
    assert ids == [f"r-{number}" for number in range(50)]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"")
    assert read_journal(path) == []
    path.write_bytes(b'{"event":"ended","seq":1')
    assert read_journal(path) == []


async def test_the_command_listens_on_tagged_ports_and_stops_cleanly() -> None:
    arguments = ("--port", "east=0", "--port", "west=0", "--tokens", "3", "--script")
    async with command(*arguments, '{"model": "m"}') as (process, ready):
        assert [each["tag"] for each in ready["listening"]] == ["east", "west"]
        rule = {"behaviour": {"status": 503}, "match": {"tag": "west"}}
        statuses = []
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["port"])
        writer.write(request_bytes("/_script", {"rules": [rule]}))
        assert (await read_answer(reader)).status == 200
        await hang_up(writer)
        for each in ready["listening"]:
            reader, writer = await asyncio.open_connection("127.0.0.1", each["port"])
            writer.write(request_bytes(CHAT, chat_body()))
            statuses.append((await read_answer(reader)).status)
            await hang_up(writer)
        assert statuses == [200, 503]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_workers_share_the_port_and_end_with_their_parent(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with command("--workers", "2", "--journal", str(path)) as (process, ready):
        while len({line.pid for line in read_journal(path)} if path.exists() else ()) < 2:
            pairs = [await asyncio.open_connection("127.0.0.1", ready["port"]) for _ in range(8)]
            for _, writer in pairs:
                writer.write(request_bytes(CHAT, chat_body()))
            for reader, writer in pairs:
                assert (await read_answer(reader)).status == 200
                await hang_up(writer)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    seen = [line for line in read_journal(path) if isinstance(line, SeenLine)]
    assert len({line.seq for line in seen}) == len(seen)
    for pid in {line.pid for line in seen}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_the_command_says_what_is_wrong() -> None:
    for arguments, words in [
        (("--script", '{"tokes": 1}'), b"tokes"),
        (("--port", "east"), b"TAG=PORT"),
    ]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace_upstream",
            *arguments,
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate()
        assert process.returncode == 2
        assert words in error
        assert b"Traceback" not in error
