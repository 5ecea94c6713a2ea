"""The gateway of `tests/clients`, and a program for each SDK, which all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from clients.conftest import gateway, scripted_session, upstream
from sdks.program import Program, command_of, running_program

__all__ = ["gateway", "programs", "scripted_session", "upstream"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Program]]:
    """The program of an SDK, started when it is first asked for."""
    started: dict[str, Program] = {}
    with ExitStack() as running:

        def of(sdk: str) -> Program:
            if sdk not in started:
                folder = tmp_path_factory.mktemp(sdk)
                started[sdk] = running.enter_context(running_program(command_of(sdk), folder))
            return started[sdk]

        yield of
