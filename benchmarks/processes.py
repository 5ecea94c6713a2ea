"""Processes under measurement: started on one core, accounted as a whole session, ended surely.

Each process is started as the leader of a new session, and everything that carries the session's
id is counted, so a worker whose parent has gone is still found. CPU comes from /proc/<pid>/stat:
the kernel's own accounting, in ticks of 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

GATEWAY_CORE = 0
"""The measured process has this core for itself; the load and the upstream have the others."""


def load_cores() -> set[int]:
    """Cores for the load generator and the upstream: all but the gateway's, if there are two."""
    cores = os.sched_getaffinity(0)
    return (cores - {GATEWAY_CORE}) or cores


def raise_file_limit() -> None:
    """As many open files as this user may have: 512 connections need 1,024 in a proxy."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Memory:
    """Resident memory of a session, in bytes."""

    largest: int
    """Of its largest process: the worker."""
    total: int
    """Of all its processes, shared pages counted in each."""


class Session:
    """A running process and all its descendants."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def pids(self) -> list[int]:
        """Process ids of the session that are alive now."""
        return [pid for pid, _ in self._stats()]

    def cpu_s(self) -> float:
        """CPU seconds used since the start, user and system, by children that ended too."""
        ticks = sum(sum(int(field) for field in fields[11:15]) for _, fields in self._stats())
        return ticks / TICKS_PER_S

    def cpu_s_by_pid(self) -> dict[int, float]:
        """The same by process, of those that are alive."""
        return {
            pid: (int(fields[11]) + int(fields[12])) / TICKS_PER_S for pid, fields in self._stats()
        }

    def memory(self) -> Memory:
        """Resident memory now. Raises `RuntimeError` when the process has ended."""
        page = resource.getpagesize()
        sizes = [int(fields[21]) * page for _, fields in self._stats()]
        if not sizes:
            raise RuntimeError(f"the process has ended; its last lines:\n{self.tail()}")
        return Memory(largest=max(sizes), total=sum(sizes))

    def memory_of_busiest(self) -> int:
        """Bytes of the process that used the most CPU: the worker, once it has worked."""
        used = {pid: sum(int(field) for field in fields[11:13]) for pid, fields in self._stats()}
        page = resource.getpagesize()
        busiest = max(used, key=used.__getitem__)
        return next(int(fields[21]) * page for pid, fields in self._stats() if pid == busiest)

    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process.poll() is None

    def tail(self) -> str:
        """The last lines that the process wrote, for error messages."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def stop(self, patience_s: float = 15.0) -> None:
        """Ask it to end, then make the whole session end."""
        if self.alive():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _stats(self) -> Iterator[tuple[int, list[str]]]:
        """Fields of /proc/<pid>/stat after the name, from `state` on, of each live process."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[3]) == self._process.pid and fields[0] not in "ZX":
                yield int(folder.name), fields


def start(
    argv: Sequence[str],
    *,
    cores: set[int],
    folder: Path,
    env: Mapping[str, str] | None = None,
) -> Session:
    """Start `argv` on `cores` as the leader of a session of its own, in `folder`."""
    log = folder / "output.log"
    pinned = ["taskset", "-c", ",".join(str(core) for core in sorted(cores)), *argv]
    with log.open("ab") as output:
        process = subprocess.Popen(
            pinned,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Session(process, log)


def wait_for_port(session: Session, port: int, patience_s: float = 10.0) -> None:
    """Return when `port` takes connections. Raises `RuntimeError` if it never does."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        if not session.alive():
            break
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}:\n{session.tail()}")
