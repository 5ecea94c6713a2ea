"""The journal: a line is whole or absent, whatever is killed and whatever the disk does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.data.journal import Intent, Journal, Settlement, records

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
    journal.append(intent("a"))
    assert journal.defer(settlement("a"))
    assert not journal.defer(settlement("b"))
    assert len(records(tmp_path)) == 1  # deferred lines wait for the next write
    journal.append(intent("c"))
    assert records(tmp_path) == [intent("a"), settlement("a"), settlement("b"), intent("c")]
    journal.defer(settlement("c"))
    journal.close()
    assert records(tmp_path)[-1] == settlement("c")
    (path,) = tmp_path.glob("journal-*")
    assert path.stat().st_mode & 0o777 == 0o600


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
    Journal(tmp_path).append(intent("a"))
    (path,) = tmp_path.glob("journal-*")
    with path.open("ab") as file:
        file.write(b'{"kind":"intent","at":1,"ca\n\xff\xff\n')
    Journal(tmp_path).append(intent("b"))
    assert [record.call for record in records(tmp_path)] == ["a", "b"]


def test_a_full_disk_is_told_of_and_loses_nothing(tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk's end: writes are cut short, then fail."""
    journal = Journal(tmp_path)
    journal.append(intent("a"))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (path,) = tmp_path.glob("journal-*")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, limits[1]))
        with pytest.raises(OSError, match=r".+"):
            journal.append(intent("refused"))
        journal.defer(settlement("a"))
        with pytest.raises(OSError, match=r".+"):
            journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    journal.append(intent("b"))
    assert records(tmp_path) == [intent("a"), settlement("a"), intent("b")]


def test_writable(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.writable()
    for path in tmp_path.glob("journal-*"):
        path.unlink()
    assert not journal.writable()
