"""The upstream transport's tests run on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    plain = {"asyncio": asyncio.SelectorEventLoop}
    if item.path.name.startswith("test_client"):
        return plain | {"uvloop": uvloop.new_event_loop}
    return plain
