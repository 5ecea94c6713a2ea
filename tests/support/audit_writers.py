"""Processes that append to one audit log at once, of which the last is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headrace.data.audit_files import SEGMENT_BYTES

NAMES = ("a", "b", "c", "last")
_WRITER = """
import sys
from pathlib import Path
from headrace.data.audit import AuditLog
from headrace.data.audit_event import AuditEvent
log = AuditLog(Path(sys.argv[1]), segment_bytes=int(sys.argv[4]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[3])):
    log.append(AuditEvent(action="test", actor=sys.argv[2], target=str(i)))
    if i % 97 == 0:
        log.settle()
if sys.argv[2] != "last":
    log.close()
print("done", flush=True)
sys.stdin.readline()
"""


def written_at_once(folder: Path, count: int, segment_bytes: int = SEGMENT_BYTES) -> None:
    """`count` events of each of NAMES, who is their actor; their targets are 0, 1, 2, ..."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder), name, str(count), str(segment_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in NAMES
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
    writers[-1].kill()
    for writer in writers:
        writer.communicate()
