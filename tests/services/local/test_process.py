"""Worker processes that live, fail and are killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from headrace.config.backends import LocalBackend
from headrace.errors import Setup
from headrace.services.local.catalogue import LocalModel, resolve
from headrace.services.local.process import Endpoint, LocalModels, ModelProcess
from services.local.calling import at_work, post, until

VECTORS = LocalBackend(model="all-minilm-l6-v2")
TEXT = {"input": "a text"}


def vectors_process(model: LocalModel | None = None) -> ModelProcess:
    return ModelProcess(model or resolve(VECTORS.model), VECTORS)


def alive(pid: int) -> bool:
    """Whether it runs: a process that ended but was not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def command_line(pid: int | None) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def gone(pid: int) -> bool:
    return not alive(pid)


async def test_a_killed_worker_comes_back_at_the_same_address() -> None:
    process = ModelProcess(resolve("smollm2-135m-instruct"), LocalBackend(context_tokens=256))
    endpoint = await process.start()
    ask = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
    try:
        pid = process.pid
        assert pid is not None
        assert (await post(endpoint, "/v1/chat/completions", ask)).status == 200
        long = asyncio.create_task(
            post(endpoint, "/v1/chat/completions", ask | {"max_tokens": 200, "ignore_eos": True})
        )
        await until(lambda: at_work(endpoint))
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(OSError):
            await long

        async def back() -> bool:
            return process.ready and process.pid != pid

        await until(back)
        assert process.endpoint == endpoint
        assert (await post(endpoint, "/v1/chat/completions", ask)).status == 200
    finally:
        await process.stop()


async def test_a_crash_leaves_the_other_models_be() -> None:
    models = LocalModels({"one": vectors_process(), "two": vectors_process()})
    endpoints = await models.start()
    try:
        process = models.process("one")
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSEGV)
        await until(lambda: gone(pid))
        assert (await post(endpoints["two"], "/v1/embeddings", TEXT)).status == 200

        async def back() -> bool:
            return models.endpoint("one") is not None and process.pid != pid

        await until(back)
        assert (await post(endpoints["one"], "/v1/embeddings", TEXT)).status == 200
    finally:
        await models.stop()


async def test_it_tries_again_until_its_files_are_back(tmp_path: Path) -> None:
    there = resolve(VECTORS.model)
    weights = shutil.copy(there.files["weights"], tmp_path / "model.onnx")
    process = vectors_process(
        LocalModel("mine", "embeddings", {**there.files, "weights": Path(weights)})
    )
    endpoint = await process.start()
    try:
        shutil.move(weights, tmp_path / "away")
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)

        async def down() -> bool:
            return not process.ready

        async def up() -> bool:
            return process.ready

        await until(down)
        await asyncio.sleep(0.5)
        assert not process.ready
        with pytest.raises(ConnectionError):
            await post(endpoint, "/v1/embeddings", TEXT)
        shutil.move(tmp_path / "away", weights)
        await until(up)
        assert (await post(endpoint, "/v1/embeddings", TEXT)).json["model"] == "mine"
    finally:
        await process.stop()


async def test_stop_ends_the_worker_and_frees_the_port() -> None:
    process = vectors_process()
    endpoint = await process.start()
    pid = process.pid
    assert pid is not None
    await process.stop()
    await process.stop()
    assert not alive(pid)
    assert not process.ready
    with pytest.raises(ConnectionError):
        await post(endpoint, "/v1/embeddings", TEXT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_whole_group_is_the_gateways_alone(number: signal.Signals) -> None:
    """A terminal's Ctrl-C and a service manager reach this process too, which calls may need."""
    process = vectors_process()
    endpoint = await process.start()
    try:
        pid = process.pid
        assert pid is not None
        os.kill(pid, number)
        assert (await post(endpoint, "/v1/embeddings", TEXT)).status == 200
        assert process.pid == pid and process.ready
    finally:
        await process.stop()
    assert not alive(pid)


PARENT = """
import asyncio
from headrace.config.backends import LocalBackend
from headrace.services.local.catalogue import resolve
from headrace.services.local.process import ModelProcess

async def main():
    backend = LocalBackend(model="all-minilm-l6-v2")
    process = ModelProcess(resolve(backend.model), backend)
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_worker_ends_with_its_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    worker = int(await parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    await parent.wait()
    await until(lambda: gone(worker))


async def test_progress_goes_from_nothing_to_all() -> None:
    told: list[tuple[str, float]] = []
    process = vectors_process()
    await process.start(lambda model, fraction: told.append((model, fraction)))
    await process.stop()
    fractions = [fraction for _, fraction in told]
    assert {model for model, _ in told} == {"all-minilm-l6-v2"}
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)


async def test_a_damaged_model_is_told_and_not_tried_again(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(4096))
    process = ModelProcess(resolve(str(damaged)), LocalBackend())
    with pytest.raises(Setup) as caught:
        await process.start()
    assert "damaged" in caught.value.problem
    assert caught.value.hint is not None
    assert process.pid is None


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [
        ("xllamacpp", "smollm2-135m-instruct", "headrace[local]"),
        ("onnxruntime", "all-minilm-l6-v2", "headrace[semantic]"),
    ],
)
async def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, model: str, extra: str
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ModuleNotFoundError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Setup) as caught:
        await ModelProcess(resolve(model), LocalBackend(model=model)).start()
    assert package in caught.value.problem
    assert caught.value.hint is not None
    assert extra in caught.value.hint


async def test_a_crash_while_loading_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os, sys; print('out of luck', file=sys.stderr, flush=True); os.abort()"
    (tmp_path / "xllamacpp.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Setup) as caught:
        await ModelProcess(resolve("smollm2-135m-instruct"), LocalBackend()).start()
    assert f"exit {-signal.SIGABRT}" in caught.value.problem
    assert caught.value.hint is not None
    assert "out of luck" in caught.value.hint


async def test_an_endpoint_can_be_passed_on_and_keeps_its_key_to_itself() -> None:
    process = vectors_process()
    endpoint = await process.start()
    try:
        passed_on = msgspec.json.decode(msgspec.json.encode(endpoint), type=Endpoint)
        assert passed_on == endpoint
        assert (await post(passed_on, "/v1/embeddings", TEXT)).status == 200
        assert endpoint.key not in repr(endpoint)
        # Every user of the machine may read the arguments of a process.
        assert endpoint.key not in command_line(process.pid)
    finally:
        await process.stop()


def test_the_gateway_carries_no_models_runtime() -> None:
    code = (
        "import sys, headrace.services.local.process, headrace.services.local.pull, "
        "headrace.services.local.service; "
        "print({'xllamacpp', 'onnxruntime', 'tokenizers', 'numpy'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
