"""What a good file still needs around it is told by `config check`, and before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import run

FILE = """\
keys:
  app: {secret: env:APP_KEY}
  other: {secret: env:NOT_SET}
backends:
  own: {provider: local, model: nope}
  up: {provider: openai, credential: file:not-there}
server: {tls: {certificate: cert.pem, key: key.pem}}
admin: {key: env:NO_ADMIN}
alerts: {notify: {chat: {to: slack, url: env:NO_CHAT}}}
telemetry:
  traces: {to: otlp, url: "http://127.0.0.1:4318/v1/traces", headers: {x-key: env:NO_TRACE}}
models:
  m: {pools: [[own], [up]]}
"""
LACKING = {
    "keys.app.secret": 2,
    "keys.other.secret": 3,
    "backends.own.model": 5,
    "backends.up.credential": 6,
    "server.tls": 7,
    "admin.key": 8,
    "alerts.notify.chat.url": 9,
    "telemetry.traces.headers.x-key": 11,
}


def headrace(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, {"APP_KEY": "short"})


def test_check_tells_all_with_lines(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(FILE)
    done = headrace("config", "check", "--json", folder=tmp_path)
    assert done.returncode == 3
    problems = json.loads(done.stdout)["problems"]
    assert {p["key"]: p["line"] for p in problems} == LACKING
    assert all(p["what"] and p["instead"] for p in problems)
    plain = headrace("config", "check", folder=tmp_path)
    assert plain.returncode == 3
    assert len(plain.stderr.splitlines()) == len(LACKING)
    assert "short" not in plain.stderr.replace("shorter", "")


def test_serve_tells_the_same(tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(FILE)
    done = headrace("serve", "--port", "0", folder=tmp_path)
    assert done.returncode == 3
    for key, line in LACKING.items():
        assert f"headrace.yaml:{line}: {key}: " in done.stderr


@pytest.mark.parametrize("package", ["redis", "psycopg"])
def test_packages_that_are_missing(package: str, tmp_path: Path) -> None:
    """As on a machine without the extra: the import is refused."""
    section = {
        "redis": "redis: {url: 'redis://127.0.0.1'}",
        "psycopg": "store: {url: 'postgresql://u@127.0.0.1/d'}",
    }[package]
    (tmp_path / "headrace.yaml").write_text(
        "backends: {up: {provider: openai, url: 'http://127.0.0.1:1/v1'}}\n"
        "models: {m: {pools: [[up]]}}\nkeys: {app: {secret: env:HOME}}\n" + section
    )
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from headrace.cli import main; sys.argv[1:] = ['config', 'check']; main()"
    )
    clean = {k: os.environ[k] for k in ("PATH", "PYTHONPATH") if k in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**clean, "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert f"needs the package {package}" in done.stderr
    assert "make extras EXTRAS=" in done.stderr
