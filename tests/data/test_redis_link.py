"""The link against a real server that is killed, paused, and says no."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from headrace.data.redis_link import RedisAddress, RedisAway, RedisLink
from headrace.data.redis_wire import Refusal
from headrace.errors import Setup, install_extra
from support.free_ports import free_port
from support.valkey_process import ValkeyProcess, tls_in_front, valkey_process

PATIENCE_S = 20.0
SOON_S = 0.5
"""For a server that is paused: others may take as long as this machine makes them."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path) as started:
        yield started


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def linked(
    url: str,
    *,
    ca: Path | None = None,
    login: tuple[str | None, str | None] = (None, None),
    timeout_s: float = 5.0,
    channels: dict[str, list[bytes]] | None = None,
) -> AsyncIterator[RedisLink]:
    link = RedisLink(RedisAddress.of(url, ca, timeout_s), lambda: login, Random(3))
    for channel, heard in (channels or {}).items():
        link.listen(channel, heard.append)
    running = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()


def told(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


async def test_asks_and_hears(server: ValkeyProcess) -> None:
    heard: list[bytes] = []
    async with linked(server.url, channels={"news": heard}) as link:
        with pytest.raises(RedisAway):
            await link.ask([("PING",)])  # it has not connected yet
        await until(lambda: link.up)
        replies = await link.ask([("SET", "a", b"\x00\xff"), ("GET", "a"), ("INCRBY", "n", 2)])
        assert replies == [True, b"\x00\xff", 2]
        server.ask("PUBLISH", "other", "no")
        server.ask("PUBLISH", "news", "yes")
        await until(lambda: heard == [b"yes"])


async def test_a_refused_command_is_no_lost_connection(server: ValkeyProcess) -> None:
    server.ask("ACL", "SETUSER", "low", "on", ">pw", "~*", "&*", "+@all", "-flushall")
    async with linked(server.url, login=("low", "pw")) as link:
        await until(lambda: link.up)
        assert await link.ask([("SET", "a", "x")])
        replies = await link.ask([("INCR", "a"), ("GET", "a")])
        assert isinstance(replies[0], Exception)
        assert replies[1] == b"x"
        with pytest.raises(RedisAway, match=r"flushall|FLUSHALL"):
            await link.ask([("FLUSHALL",)])
        assert link.up
        assert await link.ask([("GET", "a")]) == [b"x"]


async def test_a_killed_server_is_found_again(
    server: ValkeyProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ups: list[bool] = []
    heard: list[bytes] = []
    async with linked(server.url, channels={"news": heard}) as link:

        async def note() -> None:
            ups.append(link.up)

        link.when_up(note)
        await until(lambda: told(caplog, "redis answers") == 1)
        server.kill()
        await until(lambda: not link.up)
        with pytest.raises(RedisAway):
            await link.ask([("PING",)])
        await asyncio.sleep(1.5)  # several tries
        server.start()
        await until(lambda: told(caplog, "redis answers") == 2)
        assert ups == [True, True]
        assert told(caplog, "is away") == 1
        server.ask("PUBLISH", "news", "back")
        await until(lambda: heard == [b"back"])


async def test_a_paused_server_counts_as_away_and_only_one_waits(
    server: ValkeyProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with linked(server.url, timeout_s=SOON_S, channels={"news": []}) as link:
        await until(lambda: link.up)
        server.pause()
        with pytest.raises(RedisAway):
            await link.ask([("GET", "a")])
        assert not link.up
        with pytest.raises(RedisAway, match="not connected"):
            await link.ask([("GET", "a")])
        await until(lambda: told(caplog, "is away") == 1)
        server.go_on()
        await until(lambda: link.up)
        assert await link.ask([("ECHO", "hi")]) == [b"hi"]


async def test_single_commands_share_the_links_fate(server: ValkeyProcess) -> None:
    async with linked(server.url, timeout_s=SOON_S) as link:
        with pytest.raises(RedisAway):
            await link.ask_one(("PING",))  # it has not connected yet
        await until(lambda: link.up)
        replies = await asyncio.gather(*(link.ask_one(("INCR", "n")) for _ in range(60)))
        assert replies == list(range(1, 61))
        assert isinstance(await link.ask_one(("INCR",)), Refusal)
        server.pause()
        with pytest.raises(RedisAway, match="no answer in time"):
            await link.ask_one(("GET", "n"))  # it was there and said no: that lost nothing
        await until(lambda: not link.up)
        server.go_on()
        await until(lambda: link.up)
        server.kill()
        await until(lambda: not link.up)
        server.start()
        await until(lambda: link.up)
        server.ask("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(RedisAway, match="READONLY"):
            await link.ask_one(("SET", "n", 1))
        await until(lambda: not link.up)


async def test_an_idle_link_notices_a_paused_server(server: ValkeyProcess) -> None:
    async with linked(server.url, timeout_s=SOON_S, channels={"news": []}) as link:
        await until(lambda: link.up)
        server.pause()
        await until(lambda: not link.up)
        server.go_on()
        await until(lambda: link.up)


async def test_many_commands_at_once(server: ValkeyProcess) -> None:
    async with linked(server.url, timeout_s=10) as link:
        await until(lambda: link.up)
        replies = await asyncio.gather(*(link.ask([("INCR", "n")]) for _ in range(60)))
        assert sorted(reply[0] for reply in replies) == list(range(1, 61))


async def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    async with linked(f"redis://127.0.0.1:{free_port()}") as link:
        await until(lambda: told(caplog, "is away") == 1)
        await asyncio.sleep(1.0)
        assert not link.up
    assert told(caplog, "is away") == 1


@pytest.mark.parametrize("user", [None, "gate"])
async def test_logs_in_over_tls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, user: str | None
) -> None:
    options = ["--requirepass", "s3cret-words"]
    if user is not None:
        options += ["--user", user, "on", ">s3cret-words", "~*", "&*", "+@all"]
    with (
        valkey_process(tmp_path, *options) as server,
        tls_in_front(server.port, tmp_path) as (port, ca),
    ):
        url = f"rediss://localhost:{port}/3"
        async with linked(url, ca=ca, login=(user, "s3cret-words")) as link:
            await until(lambda: link.up)
            assert await link.ask([("SET", "a", "b")])
            assert await link.ask_one(("GET", "a")) == b"b"
            login = {"password": "s3cret-words"} | ({} if user is None else {"username": user})
            assert server.ask("GET", "a", **login) is None  # it stands in database 3
        async with linked(url, ca=ca, login=(user, "wrong-words")) as link:
            await until(lambda: told(caplog, "is away") == 1)
            assert "username-password" in str(caplog.records[-1].__dict__["cause"])
            assert "wrong-words" not in str(caplog.records[-1].__dict__)
        async with linked(url, login=(user, "s3cret-words")) as link:  # nobody vouches for it
            await until(lambda: told(caplog, "is away") == 2)
            assert "certificate verify failed" in str(caplog.records[-1].__dict__["cause"])
            assert not link.up


@pytest.mark.parametrize("password", ["s3cret-words", "wrong-words"])
async def test_ends_whenever_it_is_told_to(tmp_path: Path, password: str) -> None:
    """The client library takes a cancellation that comes while it connects for the end of its own
    time: a gateway that was stopped just then never ended."""
    random = Random(7)
    with valkey_process(tmp_path, "--requirepass", "s3cret-words") as server:
        address = RedisAddress.of(server.url, None, 0.5)
        for _ in range(80):
            link = RedisLink(address, lambda: (None, password), random)
            link.listen("x", lambda _: None)
            running = asyncio.create_task(link.run())
            await asyncio.sleep(random.uniform(0.0, 0.015))
            running.cancel()
            _, going_on = await asyncio.wait([running], timeout=PATIENCE_S)
            running.cancel()
            assert not going_on


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(Setup, match=r"needs the package redis") as caught:
        RedisLink(RedisAddress.of("redis://localhost", None, 1.0), lambda: (None, None), Random(1))
    assert caught.value.hint == install_extra("redis")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", ("cache", 6379, 0, False)),
        ("redis://cache:7/", ("cache", 7, 0, False)),
        ("rediss://[::1]:7/12", ("::1", 7, 12, True)),
    ],
)
def test_addresses(url: str, expected: tuple[str, int, int, bool]) -> None:
    address = RedisAddress.of(url, None, 1.0)
    assert (address.host, address.port, address.database, address.tls) == expected
