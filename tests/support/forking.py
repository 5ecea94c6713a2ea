"""Commands of Headrace in processes that begin with the product imported already.

Importing is most of what a start costs, and the tests start hundreds. One process imports, and
then only forks. A fork is a process of its own: with the arguments, environment, folder and files
that it was given it runs `headrace.cli.main` to its end, and is signalled, killed and waited for
like any other. What it starts in its turn starts as ever.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from support.ambient import ambient

_ORDER_BYTES = 1 << 16


class Forked:
    """A process that was forked, as far as it is used like a `subprocess.Popen`."""

    def __init__(self, told: socket.socket) -> None:
        """`told` says the process's id, and how it ended when it has. Until that is asked for, what
        ended stays a zombie, as any child does."""
        self._told = told
        said = told.recv(64)
        assert said, "the process that forks is gone"
        self.pid = int(said)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(["headrace"], timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, limit_s: float | None) -> int | None:
        if self.returncode is None:
            self._told.settimeout(limit_s)
            try:
                said = self._told.recv(64)
            except (BlockingIOError, TimeoutError):
                return None
            assert said, "the process that forks is gone"
            self.returncode = int(said)
            self._told.settimeout(None)
            self._told.shutdown(socket.SHUT_WR)
            self._told.recv(1)  # nothing, when its id is nobody's
            self._told.close()
        return self.returncode


def fork(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], files: tuple[int, int, int]
) -> Forked:
    """`files` are descriptors of its standard input, output and error. Returns at once."""
    return _forks().fork(arguments, folder, env, files)


class _Forks:
    """The process that forks, from here."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "support.forking", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**ambient(), "PYTHONPATH": path},
            )

    def fork(
        self,
        arguments: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        files: tuple[int, int, int],
    ) -> Forked:
        order = {"arguments": list(arguments), "folder": str(folder), "env": dict(env)}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            said = json.dumps(order).encode()
            socket.send_fds(self._orders, [said], [*files, theirs.fileno()])
        return Forked(ours)

    def close(self) -> None:
        """It ends when nothing more can be asked of it."""
        self._orders.close()
        self._process.wait()


@cache
def _forks() -> _Forks:
    """Begun by the first that asks."""
    begun = _Forks()
    atexit.register(begun.close)
    return begun


# --- in the process that forks


class _Child(NamedTuple):
    pid: int
    told: socket.socket
    """Closed at the other end when nobody asks for this child any more."""
    watch: int
    """A descriptor that can be read when the child has ended."""

    def tell(self) -> None:
        """How it ended; without taking it away, so that its id stays its own."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        exited = ended.si_code == os.CLD_EXITED
        with contextlib.suppress(ConnectionError):
            self.told.send(str(ended.si_status if exited else -ended.si_status).encode())

    def close(self) -> None:
        os.close(self.watch)
        self.told.close()


def _order_of_a_fork(orders: socket.socket) -> dict[str, Any]:
    """Forks as it is asked to. Returns in each fork, with its order, and nowhere else: it raises
    SystemExit when the other end closes."""
    selector = selectors.DefaultSelector()
    selector.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            child: _Child | None = key.data
            if child is None:
                order, told = _next(orders)
                pid = os.fork()
                if pid == 0:
                    told.close()
                    _close(selector, orders)
                    return order
                for file in order["files"]:
                    os.close(file)
                told.send(str(pid).encode())
                child = _Child(pid, told, os.pidfd_open(pid))
                selector.register(child.watch, selectors.EVENT_READ, child)
            elif key.fd == child.watch:
                child.tell()
                selector.unregister(child.watch)
                selector.register(child.told, selectors.EVENT_READ, child)
            else:
                selector.unregister(child.told)
                os.waitpid(child.pid, 0)
                child.close()


def _next(orders: socket.socket) -> tuple[dict[str, Any], socket.socket]:
    said, files, _, _ = socket.recv_fds(orders, _ORDER_BYTES, 4)
    if not said:
        sys.exit()
    told = socket.socket(fileno=files.pop())
    return {**json.loads(said), "files": files}, told


def _close(selector: selectors.BaseSelector, orders: socket.socket) -> None:
    """What is no affair of a fork."""
    for key in list(selector.get_map().values()):
        if key.data is not None:
            key.data.close()
    selector.close()
    orders.close()


def _become(order: dict[str, Any]) -> None:
    """What an executed process would be given."""
    for number, file in enumerate(order["files"]):
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["headrace", *order["arguments"]]


def _main() -> None:
    """Neither threads nor an event loop may be here: a fork would have them half."""
    import headrace.cli
    import headrace.operate.audit_commands
    import headrace.operate.cache_commands
    import headrace.operate.config_commands
    import headrace.operate.ledger_commands
    import headrace.operate.registry_commands
    import headrace.operate.terminal

    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for who asks
    gc.collect()
    gc.freeze()  # a fork's collector would write to all that it shares with this
    order = _order_of_a_fork(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, interrupted)
    _become(order)
    headrace.cli.main()


if __name__ == "__main__":
    _main()
