"""How long `/healthz` takes, and the memory in use, until standard input ends. A process of its
own: in that of the tests it would be told of the pauses of their collector, too.

    python health_watch.py PORT PID PATIENCE_S

Writes a line for each check, ten a second: seconds, and MiB.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from pathlib import Path


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no such process")


def health_s(port: int, patience_s: float) -> float:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), patience_s) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
        assert b" 200 " in sock.recv(4096)
    return time.monotonic() - began


def main() -> None:
    port, pid, patience_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        print(health_s(port, patience_s), rss_mib(pid), flush=True)


if __name__ == "__main__":
    main()
