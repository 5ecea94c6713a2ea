"""The connection to Redis or Valkey: the only module that imports `redis`.

It is up or away, and says so. While it is away nobody waits for it: commands are refused at once,
and it is tried again with backoff and jitter. What it knows about is commands and channels, not
what they are for. What calls wait for goes by `redis_wire.py`, beside the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from headrace.data.redis_wire import RedisWire, Refusal, Value
from headrace.errors import Setup, install_extra

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("headrace.redis")

BEAT_S = 1.0
"""From one sign of life to the next."""
FIRST_BACKOFF_S = 0.25
LONGEST_BACKOFF_S = 10.0
STEADY_S = 5.0
"""A connection that held for so long is no longer one of a row of failures."""
CONNECTIONS = 64

Command = tuple[str | bytes | int | float, ...]
Credentials = Callable[[], tuple[str | None, str | None]]
"""User name and password as they are now: asked at each connection, so that they may rotate."""


class RedisAway(Exception):  # noqa: N818 - it is no error of ours
    """The server cannot be asked just now, did not answer in time, or refused."""


class RedisAddress(Struct, frozen=True):
    """Where the server is, and how long it may take."""

    host: str
    port: int
    database: int
    tls: bool
    ca: Path | None
    timeout_s: float

    @classmethod
    def of(cls, url: str, ca: Path | None, timeout_s: float) -> RedisAddress:
        """From a URL that the configuration has checked."""
        parts = urlsplit(url)
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            database=int(parts.path.strip("/") or 0),
            tls=parts.scheme == "rediss",
            ca=ca,
            timeout_s=timeout_s,
        )


def require_client() -> None:
    """Raises Setup if the extra is not installed."""
    try:
        import redis.asyncio  # noqa: F401
    except ImportError as fault:
        raise Setup(
            f"`redis` in the configuration needs the package redis: {fault}.",
            install_extra("redis"),
        ) from None


class RedisLink:
    """One worker's connections: a pool for commands, one for single ones, one for the channels."""

    def __init__(self, address: RedisAddress, credentials: Credentials, rng: Random) -> None:
        """Raises Setup if the extra is not installed."""
        require_client()
        import redis.asyncio as library
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._faults = (library.RedisError, OSError, TimeoutError, EOFError)
        self._library = library
        self._once = Retry(NoBackoff(), 0)
        self._address = address
        self._credentials = credentials
        self._rng = rng
        self._channels: dict[str, Callable[[bytes], None]] = {}
        self._when_up: list[Callable[[], Awaitable[None]]] = []
        self._client: Redis | None = None
        self._wire: RedisWire | None = None
        self._lost: asyncio.Future[None] | None = None
        self._told_away = False
        self._tried = asyncio.Event()

    async def tried(self) -> None:
        """Returns when it is known whether the server answers: at most some `timeout_s` after `run`
        was begun."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4 * self._address.timeout_s):
                await self._tried.wait()

    @property
    def up(self) -> bool:
        """Whether commands are worth a try."""
        return self._client is not None

    def listen(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """`heard` gets each message of a channel. To be called before `run`."""
        self._channels[channel] = heard

    def when_up(self, do: Callable[[], Awaitable[None]]) -> None:
        """`do` is awaited after each connection, when the channels are listened to: what was said
        before must be read. It may raise RedisAway."""
        self._when_up.append(do)

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent together and carried out as one. A reply may be an
        error of the server. Raises RedisAway."""
        client = self._client
        if client is None:
            raise RedisAway("not connected")
        pipeline = client.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(self._address.timeout_s):
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except self._faults as error:
            _heed_cancellation()
            if not self._answered(error):
                self._lose(client, error)
            raise RedisAway(f"{type(error).__name__}: {error}") from error
        _heed_cancellation()
        return replies

    async def ask_one(self, command: Command) -> Value | Refusal:
        """The reply to one command, if that is a single value: at a fraction of the cost. Raises
        RedisAway."""
        client, wire = self._client, self._wire
        if client is None or wire is None:
            raise RedisAway("not connected")
        reply = wire.ask(command)
        timer = asyncio.get_running_loop().call_later(self._address.timeout_s, _give_up, reply)
        try:
            answer = await reply
        except OSError as error:  # TimeoutError is one
            self._lose(client, error)
            raise RedisAway(f"{type(error).__name__}: {error}") from error
        finally:
            timer.cancel()
        if isinstance(answer, Refusal) and str(answer).startswith("READONLY"):
            self._lose(client, answer)
            raise RedisAway(str(answer))
        return answer

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            began = loop.time()
            try:
                await self._session()
            except Exception as error:
                _heed_cancellation()
                self._tell_away(error)
                if not isinstance(error, (*self._faults, RedisAway)):
                    log.exception("a fault of our own")
            if loop.time() - began > STEADY_S:
                tries = 0
            longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0**tries)
            tries = min(tries + 1, 16)
            await asyncio.sleep(longest * self._rng.uniform(0.5, 1.0))

    async def _session(self) -> None:
        """Raises when the connection is lost."""
        client = self._connected()
        tasks: set[asyncio.Future[Any]] = set()
        wire: RedisWire | None = None
        try:
            # Nothing of it may hang, whatever the server does.
            async with asyncio.timeout(2 * self._address.timeout_s):
                await client.ping()
                channels = client.pubsub(ignore_subscribe_messages=True)
                if self._channels:
                    await channels.subscribe(*self._channels)
                wire = await self._wired(client)
            _heed_cancellation()
            self._lost = asyncio.get_running_loop().create_future()
            self._client, self._wire = client, wire
            tasks = {self._lost, asyncio.create_task(self._beat(client))}
            if self._channels:
                tasks.add(asyncio.create_task(self._hear(channels)))
            for do in self._when_up:
                await do()
            self._tell_up()
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            self._client = self._wire = self._lost = None
            if wire is not None:
                wire.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(*self._faults):
                async with asyncio.timeout(1.0):
                    await client.connection_pool.disconnect()

    def _connected(self) -> Redis:
        address = self._address
        user, password = self._credentials()
        return self._library.Redis(
            host=address.host,
            port=address.port,
            db=address.database,
            username=user,
            password=password,
            ssl=address.tls,
            ssl_ca_certs=None if address.ca is None else str(address.ca),
            socket_timeout=address.timeout_s,
            socket_connect_timeout=address.timeout_s,
            max_connections=CONNECTIONS,
            retry=self._once,
            protocol=2,
        )

    async def _wired(self, client: Redis) -> RedisWire:
        """Raises OSError, RedisAway."""
        address = self._address
        user, password = self._credentials()
        tls = ssl.create_default_context(cafile=address.ca) if address.tls else None
        wire = await RedisWire.open(
            address.host, address.port, tls, lambda error: self._lose(client, error)
        )
        login = [] if password is None else [("AUTH", *(() if user is None else (user,)), password)]
        try:
            for command in (*login, ("SELECT", address.database)):
                answer = await wire.ask(command)
                if isinstance(answer, Refusal):
                    raise RedisAway(str(answer))
        except BaseException:
            wire.close()
            raise
        return wire

    async def _beat(self, client: Redis) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            async with asyncio.timeout(self._address.timeout_s):
                await client.ping()
            _heed_cancellation()

    async def _hear(self, channels: Any) -> None:
        while True:
            message = await channels.get_message(timeout=60.0)
            _heed_cancellation()
            if message is None:
                continue
            heard = self._channels.get(message["channel"].decode("utf-8", "replace"))
            if heard is not None:
                heard(message["data"])

    def _answered(self, error: Exception) -> bool:
        """Whether the server is there and just says no. One that has become a replica will go on
        saying no until its name leads elsewhere."""
        exceptions = self._library
        return isinstance(error, exceptions.ResponseError) and not isinstance(
            error, exceptions.ReadOnlyError
        )

    def _lose(self, client: Redis, error: Exception) -> None:
        """From now nobody else waits for a server that one waited for in vain."""
        if self._client is client and self._lost is not None and not self._lost.done():
            self._client = None
            self._lost.set_exception(error)

    def _tell_up(self) -> None:
        again = " again" if self._told_away else ""
        log.info("redis answers", extra={"detail": f"{self._where()}{again}"})
        self._told_away = False
        self._tried.set()

    def _tell_away(self, error: BaseException) -> None:
        self._tried.set()
        if self._told_away:
            return
        self._told_away = True
        cause = str(error) if isinstance(error, RedisAway) else f"{type(error).__name__}: {error}"
        log.warning("redis is away, this worker goes on by itself",
                    extra={"detail": self._where(), "cause": cause})  # fmt: skip

    def _where(self) -> str:
        return f"{self._address.host}:{self._address.port}"


def _give_up(reply: asyncio.Future[Value | Refusal]) -> None:
    if not reply.done():
        reply.set_exception(TimeoutError("no answer in time"))


def _heed_cancellation() -> None:
    """The client library may take a cancellation for the end of its own time and go on. Raises
    CancelledError then."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
