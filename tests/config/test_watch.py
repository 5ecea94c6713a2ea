"""Reload with real files: edits in place, replaced files, swapped links, and bad files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from headrace.config.backends import LocalBackend, OpenAIBackend
from headrace.config.loading import Loaded, discovered, load
from headrace.config.policies import (
    BalancePolicy,
    BreakerPolicy,
    ConcurrencyPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    SheddingPolicy,
)
from headrace.config.schema import (
    Config,
    Fallback,
    Model,
    ModelTimeouts,
    Redis,
    Resilience,
    Server,
    Tls,
)
from headrace.config.sharing import AnswerCachePolicy, CoalescingPolicy, IdempotencyPolicy
from headrace.config.storing import Store
from headrace.config.watch import Watcher, needs_restart
from headrace.errors import Setup

PATIENCE_S = 60.0


class Seen:
    """What the watcher told, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[int | str] = asyncio.Queue()
        self.refusing: Setup | None = None

    async def on_change(self, new: Loaded) -> None:
        if self.refusing is not None:
            raise self.refusing
        self._queue.put_nowait(new.config.server.port)

    async def on_bad(self, fault: Setup) -> None:
        self._queue.put_nowait(str(fault))

    async def next(self) -> int | str:
        return await asyncio.wait_for(self._queue.get(), PATIENCE_S)

    def nothing_more(self) -> bool:
        return self._queue.empty()


def text(port: int) -> str:
    return f"server: {{port: {port}}}\n"


def write(path: Path, content: str) -> None:
    path.write_text(content)


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path, content: str) -> None:
    """As editors do: a new file, renamed over the old one."""
    other = path.with_name(path.name + ".new")
    other.write_text(content)
    other.replace(path)


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[tuple[Watcher, Seen]]:
    seen = Seen()
    watcher = Watcher(load(path), seen.on_change, seen.on_bad)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher, seen
    finally:
        watcher.stop()
        await asyncio.wait_for(task, PATIENCE_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "headrace.yaml"
    path.write_text(text(1))
    return path


async def test_edits_in_place_are_taken_up(path: Path) -> None:
    async with watching(path) as (_, seen):
        write(path, text(2))
        assert await seen.next() == 2
        write(path, text(3))
        assert await seen.next() == 3


async def test_a_replaced_file_is_taken_up_each_time(path: Path) -> None:
    async with watching(path) as (_, seen):
        for port in (2, 3, 4):
            replace(path, text(port))
            assert await seen.next() == port


async def test_a_change_before_the_watch_began_is_taken_up(path: Path) -> None:
    seen = Seen()
    watcher = Watcher(load(path), seen.on_change, seen.on_bad)
    write(path, text(2))
    task = asyncio.create_task(watcher.run())
    assert await seen.next() == 2
    watcher.stop()
    await asyncio.wait_for(task, PATIENCE_S)


async def test_a_bad_file_is_told_of_once_and_mending_it_is_taken_up(path: Path) -> None:
    async with watching(path) as (_, seen):
        replace(path, "server: {prt: 2}\n")
        assert await seen.next() == (f'{path}:1: server.prt: unknown key. Did you mean "port"?')
        replace(path, "server: {prt: 2}\n")
        replace(path, text(3))
        assert await seen.next() == 3
        assert seen.nothing_more()


async def test_the_bytes_in_use_call_nothing(path: Path) -> None:
    async with watching(path) as (_, seen):
        replace(path, "server: {prt: 2}\n")
        assert "unknown key" in str(await seen.next())
        replace(path, text(1))
        await asyncio.sleep(0)
        replace(path, text(2))
        assert await seen.next() == 2
        assert seen.nothing_more()


async def test_a_removed_file_is_told_of_and_its_return_is_taken_up(path: Path) -> None:
    async with watching(path) as (_, seen):
        remove(path)
        assert await seen.next() == f"{path}: there is no such file. Check the path."
        write(path, text(2))
        assert await seen.next() == 2


async def test_a_swapped_link_is_taken_up_each_time(tmp_path: Path) -> None:
    """The way of a mounted ConfigMap: headrace.yaml -> ..data/headrace.yaml, ..data -> ..1."""

    def version(number: int) -> Path:
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "headrace.yaml").write_text(text(number))
        return folder

    old = version(1)
    (tmp_path / "..data").symlink_to(old.name)
    path = tmp_path / "headrace.yaml"
    path.symlink_to("..data/headrace.yaml")
    async with watching(path) as (_, seen):
        for number in (2, 3, 4):
            new = version(number)
            (tmp_path / "..data_tmp").symlink_to(new.name)
            os.rename(tmp_path / "..data_tmp", tmp_path / "..data")
            assert await seen.next() == number
            (old / "headrace.yaml").unlink()
            old.rmdir()
            old = new


async def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    real = elsewhere / "real.yaml"
    real.write_text(text(1))
    link = tmp_path / "headrace.yaml"
    link.symlink_to(real)
    async with watching(link) as (_, seen):
        replace(real, text(2))
        assert await seen.next() == 2


async def test_a_folder_that_is_moved_away_and_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "headrace.yaml"
    write(path, text(1))
    async with watching(path) as (_, seen):
        folder.rename(tmp_path / "away")
        assert "no such file" in str(await seen.next())
        (tmp_path / "away").rename(folder)
        write(path, text(2))
        assert await seen.next() == 2
        replace(path, text(3))
        assert await seen.next() == 3


async def test_a_change_that_is_refused_is_told_of_as_bad(path: Path) -> None:
    async with watching(path) as (_, seen):
        seen.refusing = Setup("The environment variable K is not set.")
        replace(path, text(2))
        assert await seen.next() == "The environment variable K is not set."
        seen.refusing = None
        replace(path, text(3))
        assert await seen.next() == 3


async def test_reload_reports_an_unchanged_file_too(path: Path) -> None:
    seen = Seen()
    watcher = Watcher(load(path), seen.on_change, seen.on_bad)
    await watcher.reload()
    assert await seen.next() == 1
    write(path, "server: {port: x}\n")
    for _ in range(2):
        await watcher.reload()
        assert 'server.port: "x" is text' in str(await seen.next())


async def test_a_refused_config_can_be_reloaded(path: Path) -> None:
    seen = Seen()
    watcher = Watcher(load(path), seen.on_change, seen.on_bad)
    seen.refusing = Setup("No.")
    await watcher.reload()
    assert await seen.next() == "No."
    seen.refusing = None
    await watcher.reload()
    assert await seen.next() == 1


async def test_a_cancelled_watch_ends(path: Path) -> None:
    seen = Seen()
    watcher = Watcher(load(path), seen.on_change, seen.on_bad)
    task = asyncio.create_task(watcher.run())
    write(path, text(2))
    assert await seen.next() == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)


def test_without_a_file_there_is_nothing_to_watch() -> None:
    seen = Seen()
    with pytest.raises(ValueError, match="no file"):
        Watcher(discovered({}, False), seen.on_change, seen.on_bad)


def test_needs_restart_names_the_fields_that_wait() -> None:
    old = Config()
    server = Server(port=9, workers=2, drain_s=1.0, tls=Tls(certificate="c", key="k"))
    new = Config(
        server=server,
        store=Store(folder="elsewhere"),
        redis=Redis(url="redis://localhost"),
    )
    assert needs_restart(old, new) == [
        "server.port",
        "server.workers",
        "server.drain_s",
        "server.tls",
        "store.folder",
        "redis",
    ]
    other_key = msgspec.structs.replace(server, tls=Tls(certificate="c", key="l"))
    assert needs_restart(new, msgspec.structs.replace(new, server=other_key)) == ["server.tls.key"]
    assert needs_restart(old, Config(server=Server(json_depth_limit=32))) == []
    small, large = LocalBackend(), LocalBackend(context_tokens=8192)
    assert needs_restart(Config(backends={"a": small}), Config(backends={"a": large})) == [
        "backends.a"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        Model(pools=[["a"], ["b"]]),
        Model(pools=[["a"]], context_fallback=["b"]),
        Model(pools=[["a"]], balance=BalancePolicy(method="least_busy")),
        Model(pools=[["a"]], retry=RetryPolicy(attempts=2)),
        Model(pools=[["a"]], timeouts=ModelTimeouts(idle_s=1.0)),
        Model(pools=[["a"]], fallback=Fallback(cache=True)),
        Model(pools=[["a"]], coalesce="always"),
    ],
)
def test_what_is_written_of_a_model_is_taken_up_at_once(changed: Model) -> None:
    old = Config(models={"m": Model(pools=[["a"]])})
    assert old.models["m"] != changed
    assert needs_restart(old, Config(models={"m": changed})) == []


def test_what_stands_under_resilience_is_taken_up_at_once_but_for_kept_answers() -> None:
    changed = Resilience(
        breaker=BreakerPolicy(min_calls=1),
        concurrency=ConcurrencyPolicy(least=1),
        retry_budget=RetryBudgetPolicy(burst=1.0),
        shedding=SheddingPolicy(critical_share=0.0),
        idempotency=IdempotencyPolicy(keep_s=0.0),
        coalescing=CoalescingPolicy(mode="never"),
        kept_answers=AnswerCachePolicy(keep_s=1.0),
    )
    for section in Resilience.__struct_fields__:
        assert getattr(changed, section) != getattr(Resilience(), section)
    assert needs_restart(Config(), Config(resilience=changed)) == ["resilience.kept_answers.keep_s"]


def test_a_context_window_is_taken_up_at_once() -> None:
    old, new = (OpenAIBackend(context_tokens=tokens) for tokens in (1000, 2000))
    assert needs_restart(Config(backends={"a": old}), Config(backends={"a": new})) == []
