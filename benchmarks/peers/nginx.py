"""nginx as a plain reverse proxy: the least that passing a call on can cost.

One worker; connections to both sides are kept; `proxy_buffering off`, as streams need it; bodies
up to 256 KB stay in memory. It checks no key and reads no JSON.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import nginx
from benchmarks.peers.base import UPSTREAM_KEY, Command, Endpoint


class Nginx:
    name = "nginx"
    title = "nginx proxy"

    def missing(self) -> str | None:
        return None if nginx.path() else "apt-get install nginx-light"

    def version(self) -> str:
        done = subprocess.run([nginx.path() or "nginx", "-v"], capture_output=True, text=True)
        return done.stderr.strip().rpartition("/")[2]

    def command(self, upstream_url: str, port: int, folder: Path) -> Command | None:
        http = f"""
  upstream up {{
    server {urlsplit(upstream_url).netloc};
    keepalive 1024;
    keepalive_requests {nginx.MANY};
  }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {UPSTREAM_KEY}";
      proxy_buffering off;
    }}
  }}"""
        return Command(nginx.command(folder, http))

    def endpoint(self, upstream_url: str, port: int) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{port}/v1")
