"""Asks the workers of a running gateway by their control sockets; see `edge/control.py`."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMEOUT_S = 5.0
_WORKERS = "control-*.sock"


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def ask_each(
    folder: Path,
    method: str,
    target: str,
    body: bytes | None = None,
    names: str = _WORKERS,
) -> list[tuple[int, Any]]:
    """Status and answer of each worker that runs with this store; empty if none does. Blocks.
    `names` are the sockets' of another kind of process. Raises OSError."""
    return list(_answers(folder, method, target, body, names))


def ask_one(
    folder: Path, method: str, target: str, body: bytes | None = None
) -> tuple[int, Any] | None:
    """Status and answer of any worker that runs; None if none does. Blocks. Raises OSError."""
    return next(_answers(folder, method, target, body, _WORKERS), None)


def _answers(
    folder: Path, method: str, target: str, body: bytes | None, names: str
) -> Iterator[tuple[int, Any]]:
    for path in sorted(folder.glob(names)):
        connection = _SocketConnection(path)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            answer = response.status, json.loads(response.read())
        except (ConnectionError, FileNotFoundError):
            _forget_if_dead(path)
            continue
        finally:
            connection.close()
        yield answer


def running(folder: Path) -> list[int]:
    """Process ids of the workers that take questions in this folder."""
    found: list[int] = []
    for path in sorted(folder.glob(_WORKERS)):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(TIMEOUT_S)
            try:
                line.connect(str(path))
            except OSError:
                _forget_if_dead(path)
            else:
                found.append(int(path.stem.partition("-")[2]))
    return found


def _forget_if_dead(path: Path) -> None:
    """A worker that was killed leaves its socket behind."""
    pid = path.stem.partition("-")[2]
    if pid.isdigit() and not Path(f"/proc/{pid}").exists():
        path.unlink(missing_ok=True)
