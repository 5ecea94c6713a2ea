"""The journal: a line is whole or absent, whatever is killed and whatever the disk does."""

from __future__ import annotations

import itertools
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.data.journal import Intent, Journal, Record, Settlement, records

WRITER = """
import sys
from pathlib import Path
from headrace.data.journal import Intent, Journal
journal = Journal(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    journal.append(Intent(at=0.0, call=f"call-{n}", operation="chat", model="m" * 500,
                          backend="b", key="k", tenant="t"))
    print(n, flush=True)
"""


def intent(call: str, model: str = "m") -> Intent:
    return Intent(
        at=1.0, call=call, operation="chat", model=model, backend="b", key="k", tenant="t"
    )


def settlement(call: str) -> Settlement:
    return Settlement(
        at=2.0, call=call, status=200, finish="complete", backend="b", input_tokens=1,
        output_tokens=2, usage_source="upstream", cost_microusd=3, latency_ms=4.5,
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    wanted: list[Record] = [intent("a"), settlement("a"), intent("b")]
    for record in wanted:
        journal.append(record)
    assert records(tmp_path) == wanted
    (path,) = tmp_path.glob("journal-*")
    assert path.stat().st_mode & 0o777 == 0o600
    journal.close()
    assert records(tmp_path) == wanted
    assert b"\0" not in path.read_bytes()
    journal.close()


def test_windows_and_segments(tmp_path: Path) -> None:
    """Lines never lie across a window; a full segment is followed by another."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=4 * page, window_bytes=page)
    wanted = [intent(f"call-{n}", model="m" * (n % 700)) for n in range(200)]
    for record in wanted:
        journal.append(record)
    assert records(tmp_path) == wanted
    assert len(list(tmp_path.glob("journal-*"))) > 2
    with pytest.raises(OSError, match="larger"):
        journal.append(intent("big", model="m" * page))
    journal.append(intent("after"))
    journal.close()
    assert records(tmp_path) == [*wanted, intent("after")]


@pytest.mark.parametrize("step_ns", [0, -1, -86_400_000_000_000])
def test_a_clock_that_stands_still_or_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_ns: int
) -> None:
    """Files follow each other all the same, of one process and of the next."""
    ticks = itertools.count(time.time_ns(), step_ns)
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    page = mmap.PAGESIZE
    wanted: list[Record] = []
    for life in range(3):
        journal = Journal(tmp_path, segment_bytes=page, window_bytes=page)
        for n in range(60):
            wanted.append(intent(f"call-{life}-{n}"))
            journal.append(wanted[-1])
        journal.close()
    assert len(list(tmp_path.glob("journal-*"))) >= 6
    (tmp_path / "journal-of-somebody.jsonl").write_text("x")
    assert records(tmp_path) == wanted


@pytest.mark.parametrize("after_s", [0.05, 0.1, 0.2])
def test_kill_9(tmp_path: Path, after_s: float) -> None:
    """All that was written before the kill is there, whole."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)
        told = process.stdout.read().split()
    found = [record.call for record in records(tmp_path)]
    assert found == [f"call-{n}" for n in range(1, len(found) + 1)]
    assert len(found) >= (int(told[-1]) if told else 1)


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(intent("a"))
    journal.close()
    (path,) = tmp_path.glob("journal-*")
    with path.open("ab") as file:
        file.write(b'{"kind":"intent","at":1,"ca\0\0\0\0')
    Journal(tmp_path).append(intent("b"))
    assert [record.call for record in records(tmp_path)] == ["a", "b"]


def test_a_full_disk_is_told_of_and_loses_nothing(tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk's end: no further window can be reserved."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=64 * page, window_bytes=page)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * page, limits[1]))
        with pytest.raises(OSError, match=r".+"):
            for n in range(1000):
                journal.append(intent(f"call-{n}"))
                wanted.append(intent(f"call-{n}"))
        with pytest.raises(OSError, match=r".+"):
            journal.append(intent("refused"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert len(wanted) > 10
    journal.append(intent("again"))
    assert records(tmp_path) == [*wanted, intent("again")]


def test_a_removed_file_is_noticed_and_another_begun(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    journal = Journal(folder)
    assert journal.writable()
    journal.heal()
    assert len(list(folder.iterdir())) == 1
    shutil.rmtree(folder)
    assert not journal.writable()
    journal.heal()
    assert journal.writable()
    journal.append(intent("a"))
    assert records(folder) == [intent("a")]
