"""A ledger whose file is damaged: what is said of it, and that what is said mends it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.config.storing import Store
from headrace.data.databases import FILE_NAME, database
from headrace.data.journal import Journal
from headrace.data.segments import DRAINED, segments
from headrace.operate.ledger_writer import Writer, WriterOrder
from operate.test_keys import until
from operate.test_ledger_commands import CONFIG, ENV, ask, headrace, usage
from support.gateway_process import running_gateway
from support.ledger_records import Scribe
from support.scripted import ScriptedThread, scripted_thread

CALLS = 3


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as running:
        yield running


@pytest.fixture(scope="module")
def whole(upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a gateway that served calls and ended."""
    folder = tmp_path_factory.mktemp("whole")
    with running_gateway(CONFIG.format(url=upstream.url, more=""), folder, ENV) as gateway:
        assert [ask(gateway, "APP") for _ in range(CALLS)] == [200] * CALLS
    return folder


def overwritten(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xa5" * (file.stat().st_size // 2))


def cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def no_database(file: Path) -> None:
    file.write_bytes(b"something else" * 1000)


@pytest.mark.parametrize("damage", [overwritten, cut, no_database])
def test_commands_say_what_to_do(
    damage: Callable[[Path], None], whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / ".headrace" / FILE_NAME)
    asked = headrace(tmp_path, "usage")
    assert asked.returncode == 3
    assert "The ledger is damaged" in asked.stderr
    checked = headrace(tmp_path, "ledger", "verify")
    assert checked.returncode == 1
    assert "could not be read" in checked.stdout
    assert json.loads(headrace(tmp_path, "ledger", "verify", "--json").stdout)["damaged"] is True
    for done in (asked, checked):
        assert f"move the files of {Path('.headrace') / DRAINED}" in done.stderr.replace(
            str(tmp_path) + "/", ""
        )
        assert "docs/ledger.md" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_gateway_serves_without_it_and_what_it_says_brings_all_back(
    upstream: ScriptedThread, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder, log = tmp_path / ".headrace", tmp_path / "log.jsonl"
    overwritten(folder / FILE_NAME)
    text = CONFIG.format(url=upstream.url, more="")
    with running_gateway(text, tmp_path, ENV) as gateway:
        assert ask(gateway, "APP") == 200
        until(lambda: "the ledger is damaged" in log.read_text())
        (line,) = [ln for ln in log.read_text().splitlines() if "the ledger is damaged" in ln]
    told = json.loads(line)["detail"]
    assert f"move {folder / FILE_NAME} away" in told
    assert f"move the files of {folder / DRAINED} up into {folder}" in told
    for file in folder.glob(f"{FILE_NAME}*"):
        file.rename(tmp_path / file.name)
    for file in (folder / DRAINED).iterdir():
        file.rename(folder / file.name)
    with running_gateway(text, tmp_path, ENV):
        until(lambda: [row["calls"] for row in usage(tmp_path)] == [CALLS + 1])
    checked = headrace(tmp_path, "ledger", "verify")
    assert checked.returncode == 0, checked.stdout
    assert "records of the journal are missing" not in log.read_text()


def drained(folder: Path) -> None:
    """By a writer that ends when it has stored all."""
    order = WriterOrder(str(folder), Store(), None, {}, str(folder), "INFO")
    stop = threading.Event()
    stop.set()
    Writer(order, database(folder, None), stop).run()


def written(folder: Path, calls: int) -> Path:
    """A file of the journal with so many calls."""
    journal = Journal(folder)
    scribe = Scribe(journal)
    for _ in range(calls):
        scribe.whole()
    journal.close()
    (file,) = segments(folder)
    return file.path


def test_a_damaged_file_of_the_journal_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path, 3)
    lines = file.read_bytes().split(b"\n")
    second = next(i for i, line in enumerate(lines) if b'"seq":4' in line)
    lines[second] = lines[second].replace(b":", b"\xff")
    file.write_bytes(b"\n".join(lines))
    drained(tmp_path)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.message == "records of the journal are missing"
    assert record.__dict__["detail"].startswith("1: ")
    assert "headrace ledger verify" in record.__dict__["detail"]


def test_a_ledger_that_lost_all_begins_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, 1)
    drained(tmp_path)
    assert not caplog.records, "the first one begins without a word"
    (tmp_path / FILE_NAME).write_bytes(b"")
    written(tmp_path, 1)
    drained(tmp_path)
    (record,) = caplog.records
    assert record.message == "the ledger begins anew"
    assert f"moved up into {tmp_path}" in record.__dict__["detail"]
