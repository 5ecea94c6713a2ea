"""A secret's file that is written anew is taken up while the gateway runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from headrace.config.loading import load
from headrace.edge import worker as worker_module
from headrace.edge.worker import Worker

CONFIG = """
server: {port: 0}
keys: {app: {secret: "file:app.key"}}
backends: {up: {provider: openai, url: "http://127.0.0.1:9/v1"}}
models: {one: {pools: [[up]]}}
"""
OLD, NEW = "old-key-0123456789abcdef", "new-key-0123456789abcdef"


async def test_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "REREAD_S", 0.05)
    (tmp_path / "headrace.yaml").write_text(CONFIG)
    (tmp_path / "app.key").write_text(OLD)
    worker = Worker(load(tmp_path / "headrace.yaml"), {}, None, {}, None)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(worker.serve(ready=ready))
    url = f"http://127.0.0.1:{await ready}/v1/models"
    async with httpx.AsyncClient(timeout=10) as client:

        async def status(key: str) -> int:
            answer = await client.get(url, headers={"authorization": f"Bearer {key}"})
            return answer.status_code

        assert (await status(OLD), await status(NEW)) == (200, 401)
        (tmp_path / "app.key").unlink()  # unreadable for a while: the last good text goes on
        await asyncio.sleep(0.2)
        assert await status(OLD) == 200
        (tmp_path / "app.key").write_text(NEW)
        async with asyncio.timeout(20):
            while await status(NEW) != 200:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.05)
        assert await status(OLD) == 401
    worker.stop()
    await serving
