"""One running set of the real models for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from headrace.config.backends import LocalBackend
from headrace.services.local.process import Endpoint, LocalModels


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def models() -> AsyncIterator[LocalModels]:
    """Two chat models and embeddings, loaded at once."""
    running = LocalModels.of(
        {
            "one": LocalBackend(context_tokens=1024),
            "two": LocalBackend(context_tokens=512, parallel=1),
            "vectors": LocalBackend(model="all-minilm-l6-v2"),
        }
    )
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def one(models: LocalModels) -> Endpoint:
    return _up(models, "one")


@pytest.fixture
def two(models: LocalModels) -> Endpoint:
    return _up(models, "two")


@pytest.fixture
def vectors(models: LocalModels) -> Endpoint:
    return _up(models, "vectors")


def _up(models: LocalModels, backend: str) -> Endpoint:
    endpoint = models.endpoint(backend)
    assert endpoint is not None
    return endpoint
