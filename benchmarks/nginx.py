"""Debian's nginx, once as the upstream and once as the peer: one worker, nothing logged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MANY = 1_000_000_000
"""Requests on one kept connection: none is closed during a run."""


def path() -> str | None:
    """Where nginx is, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def command(folder: Path, http: str) -> list[str]:
    """Write nginx.conf with `http` as the inside of its http block; the command that runs it.

    Raises `RuntimeError` if nginx is not installed.
    """
    binary = path()
    if binary is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx-light")
    user = "user root root;" if os.geteuid() == 0 else ""
    scratch = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = folder / "nginx.conf"
    conf.write_text(f"""{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
{scratch}
  access_log off;
  keepalive_requests {MANY};
  client_max_body_size 20m;
  client_body_buffer_size 256k;
  {http}
}}
""")
    return [binary, "-c", str(conf), "-e", str(folder / "error.log")]
