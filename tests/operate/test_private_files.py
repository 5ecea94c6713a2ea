"""What a gateway keeps is its user's alone, also in a folder that somebody made open to all."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from headrace.gateway.telemetry.alert_board import AlertBoard, write_board
from support.commands import run
from support.gateway_process import running_gateway
from support.scripted import ScriptedThread

PATIENCE_S = 30.0
CONFIG = """
server: {{drain_s: 2}}
admin: {{port: 0}}
keys: {{app: {{secret: "env:APP"}}}}
backends: {{up: {{provider: openai, url: "{url}/v1", responses: true}}}}
models: {{one: {{pools: [[up]], cache: {{answers: exact}}}}}}
budgets: [{{per: key, tokens: 100000, every: day}}]
export: {{calls: {{to: file, path: calls.jsonl}}}}
"""
ENV = {"APP": "app-key-0123456789abcdef0123"}
PUBLIC = {"audit-key.pub"}
"""What others check signatures by."""
OF_OLD = ("ledger-chain", "ledger-caught-up", "export-calls.cursor")
"""Files that were once open to others, and are not made anew."""


@contextmanager
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """By name, of all but folders."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # such as one that was written aside
            if not path.is_dir():
                found[path.relative_to(folder).as_posix()] = stat.S_IMODE(path.stat().st_mode)
    return found


def test_no_file_is_open_to_others(upstream: ScriptedThread, tmp_path: Path) -> None:
    kept = tmp_path / ".headrace"
    seen: dict[str, int] = {}
    with usual_mask():
        kept.mkdir(mode=0o755)
        with running_gateway(CONFIG.format(url=upstream.url), tmp_path, env=ENV) as gateway:
            run(["keys", "create", "shop"], tmp_path, ENV)
            for path, asked in (
                ("chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
                ("responses", {"input": "Hello"}),
            ):
                answer = httpx.post(
                    f"{gateway.url}/{path}",
                    json={"model": "one", **asked},
                    headers={"authorization": f"Bearer {ENV['APP']}"},
                    timeout=PATIENCE_S,
                )
                assert answer.status_code == 200
            wanted = {"export-calls.cursor", "ledger-caught-up", "ledger.sqlite-wal"}
            end = time.monotonic() + PATIENCE_S
            while not wanted <= seen.keys():
                assert time.monotonic() < end, wanted - seen.keys()
                time.sleep(0.05)
                seen = modes(kept)
        # Its first look at alerts takes the gateway a quarter of a minute.
        write_board(kept, AlertBoard(at_unix_s=0.0, lines=[], told=[]))
        after = modes(kept)
    assert {
        "alerts.json",
        "ledger-chain",
        "answers.db",
        "budgets.bin",
        "registry.db",
        "audit.jsonl",
    } <= set(after)
    assert any(name.startswith("drained/journal-") for name in after)
    for found in (seen, after):
        assert {name for name, mode in found.items() if mode & 0o077} == PUBLIC
    assert_tightened_by_the_next_start(CONFIG.format(url=upstream.url), tmp_path)


def assert_tightened_by_the_next_start(text: str, folder: Path) -> None:
    """Of a store that an older version made."""
    kept = folder / ".headrace"
    chain = (kept / "ledger-chain").read_text()
    for name in OF_OLD:
        (kept / name).chmod(0o644)
    with running_gateway(text, folder, env=ENV):
        end = time.monotonic() + PATIENCE_S
        while any(modes(kept)[name] != 0o600 for name in OF_OLD):
            assert time.monotonic() < end, modes(kept)
            time.sleep(0.05)
    assert (kept / "ledger-chain").read_text() == chain
