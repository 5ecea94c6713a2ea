"""A scripted upstream of its own for each test of this folder that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.scripted import ScriptedThread, scripted_thread


@pytest.fixture
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as running:
        yield running
