"""What stands before a real broker: a network that fails as it is told, or Event Hubs' door.

It reads Kafka's frames (kafka.apache.org/protocol) and passes them on one by one. With a login it
does what Event Hubs does: TLS, and SASL PLAIN with a connection string as password.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from support.free_ports import free_port
from support.kafka_process import TOPIC
from support.port_thread import localhost_tls, port_thread

PRODUCE, HANDSHAKE, API_VERSIONS, AUTHENTICATE = 0, 17, 18, 36
NOT_LEADER, AUTHENTICATION_FAILED = 6, 58
FLEXIBLE_PRODUCE = 9
"""From this version on names have lengths of another form."""
Fault = Literal["cut_before", "cut_after", "silent", "not_leader"]
"""Of a produce request: it is lost, its answer is lost, nobody answers, or the broker says that
another leads the partition, though it has kept the rows."""


class KafkaFront:
    """`faults` are of the next produce requests, in order; `always` is of those that follow."""

    def __init__(self, login: tuple[str, str] | None = None) -> None:
        self.port = free_port()
        self.server = f"localhost:{self.port}"
        self.target = 0
        """The broker's port."""
        self.login = login
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.produced = 0
        self.refused = 0
        """Wrong passwords."""
        self._serving: set[asyncio.Task[Any]] = set()

    async def serve(self, client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)  # the loop alone would let it be collected
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                behind, on = await asyncio.open_connection("127.0.0.1", self.target)
                try:
                    await self._pass_on(client, out, behind, on)
                finally:
                    on.transport.abort()
        finally:
            out.transport.abort()
            self._serving.discard(task)

    async def _pass_on(
        self,
        client: asyncio.StreamReader,
        out: asyncio.StreamWriter,
        behind: asyncio.StreamReader,
        on: asyncio.StreamWriter,
    ) -> None:
        welcome = self.login is None
        while True:
            request = await _frame(client)
            api, version = struct.unpack(">hh", request[:4])
            if not welcome and api in (HANDSHAKE, AUTHENTICATE):
                answer = self._sasl(api, version, request)
                welcome = api == AUTHENTICATE and answer[4:6] == b"\0\0"
                _write(out, answer)
                continue
            if not welcome and api != API_VERSIONS:
                return
            fault = self._fault() if api == PRODUCE else None
            if fault == "cut_before":
                return
            if fault == "silent":
                await asyncio.sleep(3600)
            _write(on, request)
            answer = await _frame(behind)
            if fault == "cut_after":
                return
            if fault == "not_leader":
                answer = _with_error(answer, version, NOT_LEADER)
            _write(out, answer)
            await out.drain()

    def _fault(self) -> Fault | None:
        self.produced += 1
        return self.faults.pop(0) if self.faults else self.always

    def _sasl(self, api: int, version: int, request: bytes) -> bytes:
        """The answer to a handshake or a password, whose fields end the request."""
        correlation = request[4:8]
        if api == HANDSHAKE:
            return correlation + struct.pack(">hih", 0, 1, 5) + b"PLAIN"
        assert version <= 1, version
        assert self.login is not None
        given = request.rpartition(b"\0")
        user = given[0].rpartition(b"\0")[2]
        right = (user.decode(), given[2].decode()) == self.login
        self.refused += not right
        body = struct.pack(">hhi", 0 if right else AUTHENTICATION_FAILED, -1, 0)
        return correlation + body + (struct.pack(">q", 0) if version == 1 else b"")


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)


def _with_error(answer: bytes, version: int, code: int) -> bytes:
    """A produce response with another error for its first partition, which follows its topic."""
    name = TOPIC.encode()
    partitions = answer.index(name) + len(name) + (1 if version >= FLEXIBLE_PRODUCE else 4)
    at = partitions + 4
    return answer[:at] + struct.pack(">h", code) + answer[at + 2 :]


@contextmanager
def kafka_front(
    folder: Path, login: tuple[str, str] | None = None
) -> Iterator[tuple[KafkaFront, Path]]:
    """The front and, where it has a login and so TLS, the file that vouches for it."""
    front = KafkaFront(login)
    ca_file = folder / "kafka-ca.pem"
    context = None if login is None else localhost_tls(ca_file)
    with port_thread(front.serve, front.port, context):
        yield front, ca_file
