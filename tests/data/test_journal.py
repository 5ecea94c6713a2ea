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

from headrace.data.journal import PAGES_BYTES, Journal
from headrace.data.records import Opening, Record
from headrace.data.segments import Place, RunReader, by_run, is_being_written, records, segments
from support.ledger_records import intent, settlement

WRITER = """
import sys
from pathlib import Path
from headrace.data.journal import Journal
from support.ledger_records import intent
journal = Journal(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    journal.append(intent(n, f"call-{n}", model="m" * 500))
    print(n, flush=True)
"""
TESTS = str(Path(__file__).parents[1])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    wanted: list[Record] = [intent(1, "a"), settlement(2, 1), intent(3, "b")]
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
    wanted = [intent(n, f"call-{n}", model="m" * (n % 700)) for n in range(1, 201)]
    for record in wanted:
        journal.append(record)
    assert records(tmp_path) == wanted
    assert len(list(tmp_path.glob("journal-*"))) > 2
    with pytest.raises(OSError, match="larger"):
        journal.append(intent(201, "big", model="m" * page))
    journal.append(intent(201, "after"))
    journal.close()
    assert records(tmp_path) == [*wanted, intent(201, "after")]


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
        for n in range(1, 61):
            wanted.append(intent(n, f"call-{life}-{n}"))
            journal.append(wanted[-1])
        journal.close()
    assert len(list(tmp_path.glob("journal-*"))) >= 6
    (tmp_path / "journal-of-somebody.jsonl").write_text("x")
    assert records(tmp_path) == wanted


@pytest.mark.parametrize("after_s", [0.05, 0.1, 0.2])
def test_kill_9(tmp_path: Path, after_s: float) -> None:
    """All that was written before the kill is there, whole."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])},
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
    journal.append(intent(1, "a"))
    journal.close()
    (path,) = tmp_path.glob("journal-*")
    with path.open("ab") as file:
        file.write(b'{"kind":"intent","at":1,"ca\0\0\0\0')
    Journal(tmp_path).append(intent(1, "b"))
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
            for n in range(1, 1000):
                journal.append(intent(n, f"call-{n}"))
                wanted.append(intent(n, f"call-{n}"))
        with pytest.raises(OSError, match=r".+"):
            journal.append(intent(journal.next_seq, "refused"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert len(wanted) > 10
    again = intent(journal.next_seq, "again")
    journal.append(again)
    assert records(tmp_path) == [*wanted, again]
    assert again.seq == len(wanted) + 1
    assert not list(tmp_path.glob("*.new"))


def test_pages_are_made_piece_by_piece(tmp_path: Path) -> None:
    """A disk that fails while some are made has taken nothing; later it goes on where it was."""
    journal = Journal(tmp_path)
    wanted: list[Record] = [intent(1)]
    journal.append(wanted[0])

    def fail(*_: object) -> int:
        raise OSError("the disk is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="gone"):
            while len(wanted) < 1000:
                record = intent(journal.next_seq, f"call-{len(wanted)}", model="m" * 1500)
                journal.append(record)
                wanted.append(record)
    assert 0 < len(wanted) * 1500 < PAGES_BYTES
    while len(wanted) * 1500 < 3 * PAGES_BYTES:
        wanted.append(intent(journal.next_seq, model="m" * 1500))
        journal.append(wanted[-1])
    long = intent(journal.next_seq, model="m" * (2 * PAGES_BYTES))
    journal.append(long)
    assert records(tmp_path) == [*wanted, long]
    journal.close()
    assert records(tmp_path) == [*wanted, long]


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
    journal.append(intent(1, "a"))
    assert records(folder) == [intent(1, "a")]


def test_a_reader_beside_the_writer_sees_each_record_once_and_no_half(tmp_path: Path) -> None:
    """Read after every line or few, over windows and segments."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=3 * page, window_bytes=page)
    reader = RunReader(journal.run, tmp_path, Place())
    seen: list[int] = []
    for n in range(1, 301):
        journal.append(intent(n, f"call-{n}", model="m" * (n * 37 % 900)))
        if n % 7 == 0:
            seen += _read_on(reader, tmp_path)
            assert seen == list(range(1, n + 1))
    assert _read_on(reader, tmp_path) == list(range(295, 301))
    assert _read_on(reader, tmp_path) == []
    assert is_being_written(segments(tmp_path)[-1].path)
    journal.close()
    assert not is_being_written(segments(tmp_path)[-1].path)
    part = reader.read(dict(by_run(segments(tmp_path)))[journal.run])
    assert (part.over, list(part.records), part.place.lost) == (True, [], 0)


def _read_on(reader: RunReader, folder: Path, most_bytes: int = mmap.PAGESIZE) -> list[int]:
    found: list[int] = []
    more = True
    while more:
        part = reader.read(dict(by_run(segments(folder)))[reader.run], most_bytes)
        found += [record.seq for record in part.records]
        reader.place, more = part.place, part.more
    assert all(type(record) is Opening for record in part.records)
    return found


def test_a_line_that_is_just_being_copied_is_not_read(tmp_path: Path) -> None:
    """A copy may bring a line's end before its middle: it is whole when no zero is left in it."""
    journal = Journal(tmp_path)
    journal.append(intent(1))
    reader = RunReader(journal.run, tmp_path, Place())
    (path,) = tmp_path.glob("journal-*")
    size = len(path.read_bytes().rstrip(b"\0"))
    journal.append(intent(2))
    whole = path.read_bytes().rstrip(b"\0")
    with path.open("r+b") as file:
        file.seek(size + 40)
        file.write(b"\0" * 60)
    assert _read_on(reader, tmp_path) == [1]
    with path.open("r+b") as file:
        file.write(whole)
    assert _read_on(reader, tmp_path) == [2]
    journal.close()


def test_pieces_smaller_than_a_record_bring_each_once(tmp_path: Path) -> None:
    """Cut anywhere, while the file is written and when it is over."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=3 * page, window_bytes=page)
    while_written = RunReader(journal.run, tmp_path, Place())
    for n in range(1, 61):
        journal.append(intent(n, f"call-{n}", model="m" * (n * 37 % 900)))
    assert _read_on(while_written, tmp_path, 300) == list(range(1, 61))
    journal.close()
    for most_bytes in (1, 299, 700, 2 * page):
        reader = RunReader(journal.run, tmp_path, Place())
        assert _read_on(reader, tmp_path, most_bytes) == list(range(1, 61))


def test_a_run_that_goes_on_to_another_file_meanwhile_is_not_over(tmp_path: Path) -> None:
    """The folder was looked at before its journal began another file and left the first."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=page, window_bytes=page)
    journal.append(intent(1, model="m" * 2000))
    before = segments(tmp_path)
    journal.append(intent(2, model="m" * 2000))
    reader = RunReader(journal.run, tmp_path, Place())
    part = reader.read(before)
    assert ([r.seq for r in part.records], part.over, part.more) == ([1], False, True)
    reader.place = part.place
    assert _read_on(reader, tmp_path) == [2]
    journal.close()


def test_an_intent_that_was_torn_is_no_record_whatever_it_ends_with(tmp_path: Path) -> None:
    """Its own text may hold what looks like its end."""
    journal = Journal(tmp_path)
    journal.append(intent(1, model='a}b"}"}c'))
    journal.append(intent(2, model="a}b}c"))
    journal.close()
    (file,) = segments(tmp_path)
    head, *lines = file.path.read_bytes().splitlines(keepends=True)
    for line in lines:
        for at, byte in enumerate(line):
            if byte == ord("}"):
                file.path.write_bytes(head + line[: at + 1] + b"\0" * (len(line) - at - 1))
                seq = 1 + lines.index(line)
                reader = RunReader(journal.run, tmp_path, Place(0, 0, seq))
                seen = _read_on(reader, tmp_path)
                assert seen == ([seq] if at == len(line) - 2 else [])


def test_missing_records_are_counted(tmp_path: Path) -> None:
    """Of a page that never came to the disk, and of a file that was taken away."""
    page = mmap.PAGESIZE
    journal = Journal(tmp_path, segment_bytes=2 * page, window_bytes=page)
    for n in range(1, 121):
        journal.append(intent(n, f"call-{n}"))
    journal.close()
    files = segments(tmp_path)
    assert len(files) > 2
    files[1].path.unlink()
    with files[0].path.open("r+b") as file:
        file.seek(page // 2)
        file.write(b"\0" * (page // 4))
    reader = RunReader(journal.run, tmp_path, Place())
    seen = _read_on(reader, tmp_path)
    assert seen[0] == 1
    assert seen[-1] == 120
    assert reader.place.lost == 120 - len(seen) > 2
