"""Commands of Headrace, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from support.ambient import ambient
from support.forking import Forked, fork

PATIENCE_S = 60.0


class Process(Protocol):
    """What tests ask of one that goes on."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


Start = Callable[[Sequence[str], Path, Mapping[str, str], IO[bytes]], tuple[Process, IO[bytes]]]
"""Starts the command with these arguments, in this folder, with this environment and what else
every process has, its errors to this file. Returns it with its output."""


def forked(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], errors: IO[bytes]
) -> tuple[Forked, IO[bytes]]:
    """At little cost: see `support.forking`."""
    output, theirs = os.pipe()
    with open(theirs, "wb"), open(os.devnull, "rb") as nothing:
        files = (nothing.fileno(), theirs, errors.fileno())
        process = fork(arguments, folder, _environment(folder, env), files)
    return process, open(output, "rb")


def executed(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], errors: IO[bytes]
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """As a shell starts it: for what is told of the process itself, such as its memory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=_environment(folder, env),
    )
    assert process.stdout is not None
    return process, process.stdout


def run(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command to its end, which is not checked; its tables are wide."""
    wide = {**_environment(folder, {"COLUMNS": "200"}), **env}
    with (
        tempfile.TemporaryFile() as said_to_it,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        said_to_it.write(stdin.encode())
        said_to_it.seek(0)
        files = (said_to_it.fileno(), output.fileno(), errors.fileno())
        process = fork(arguments, folder, wide, files)
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(list(arguments), code, *said)


def _environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    return {**ambient(), "HOME": str(folder), **env}
