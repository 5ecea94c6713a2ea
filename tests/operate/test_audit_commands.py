"""`headrace audit` on what a real gateway wrote, also from several workers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from headrace.data.audit_files import CHECKPOINTS_NAME, FILE_NAME, rotated
from headrace.data.audit_keys import PUBLIC_NAME
from support.commands import run
from support.gateway_process import Gateway, running_gateway

CONFIG = """
server: {{workers: {workers}, drain_s: 2}}
keys: {{app: {{secret: "env:APP"}}}}
backends: {{up: {{provider: openai, url: "http://127.0.0.1:9/v1"}}}}
models: {{one: {{pools: [[up]]}}}}
"""
ENV = {"APP": "app-key-0123456789abcdef0123"}
WRONG = "hr_wrong-0123456789abcdef0123456789"


def headrace(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(arguments, folder, ENV)


def knock(gateway: Gateway, times: int) -> None:
    for _ in range(times):
        with httpx.Client(headers={"authorization": f"Bearer {WRONG}"}) as client:
            assert client.get(f"{gateway.url}/models").status_code == 401


@pytest.fixture(
    scope="module", params=[pytest.param(1, marks=pytest.mark.soak), 2], ids="{} workers".format
)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a gateway that was stopped after fifty refusals."""
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(CONFIG.format(workers=request.param), folder, env=ENV) as gateway:
        knock(gateway, 50)
    return folder


def test_refusals_are_listed(folder: Path) -> None:
    done = headrace(folder, "audit", "list", "--action", "auth", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["action"] for event in events} == {"auth.refused"}
    assert {event["ip"] for event in events} == {"127.0.0.1"}
    assert sum(int(event["detail"].get("again", "1")) for event in events) == 50
    assert len(events) <= 4
    assert "0123456789abcdef" not in done.stdout
    table = headrace(folder, "audit", "list", "--limit", "1").stdout
    assert "auth.refused" in table
    assert "audit.began" not in table


def test_the_log_is_checked_and_exported(folder: Path, tmp_path: Path) -> None:
    done = headrace(folder, "audit", "verify")
    assert done.returncode == 0, done.stderr
    assert "nothing was changed" in done.stdout
    assert "for all of them." in done.stdout
    assert "signatures are good" in done.stdout
    kept = tmp_path / "kept"
    assert headrace(folder, "audit", "export", str(kept)).returncode == 0
    assert sorted(path.name for path in kept.iterdir()) == sorted(
        (FILE_NAME, CHECKPOINTS_NAME, PUBLIC_NAME)
    )
    again = headrace(
        tmp_path, "audit", "verify", "--folder", "kept", "--key", f"kept/{PUBLIC_NAME}",
        "--checkpoint", f"kept/{CHECKPOINTS_NAME}", "--json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert report["ok"] is True
    assert report["signatures"] == "good"
    file = kept / FILE_NAME
    file.write_bytes(file.read_bytes().replace(b"127.0.0.1", b"127.0.0.2"))
    bad = headrace(tmp_path, "audit", "verify", "--folder", "kept")
    assert bad.returncode == 1
    assert "was changed" in bad.stderr
    assert headrace(folder, "audit", "export", str(kept)).returncode == 3


@pytest.mark.soak
def test_the_log_is_rotated_under_a_gateway_that_runs(tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(workers=2), tmp_path, env=ENV) as gateway:
        assert "nothing to put aside" in headrace(tmp_path, "audit", "rotate").stdout
        knock(gateway, 3)
        assert "Put aside as" in headrace(tmp_path, "audit", "rotate").stdout
        key = headrace(tmp_path, "keys", "create", "shop")
        assert key.returncode == 0, key.stderr
    done = headrace(tmp_path, "audit", "verify")
    assert done.returncode == 0, done.stderr
    listed = headrace(tmp_path, "audit", "list", "--json").stdout.splitlines()
    actions = [json.loads(line)["action"] for line in listed]
    assert [a for a in actions if a != "auth.refused"] == [
        "audit.began", "audit.rotated", "keys.create",
    ]  # fmt: skip
    kept = tmp_path / "kept"
    assert headrace(tmp_path, "audit", "export", str(kept)).returncode == 0
    assert headrace(tmp_path, "audit", "verify", "--folder", "kept").returncode == 0
    rotated(kept)[0].unlink()
    missed = headrace(tmp_path, "audit", "verify", "--folder", "kept")
    assert missed.returncode == 1
    assert "are not here" in missed.stderr
    partial = headrace(tmp_path, "audit", "verify", "--folder", "kept", "--partial")
    assert partial.returncode == 0, partial.stderr
    assert "a checkpoint vouches for them" in partial.stdout


def test_an_address_is_erased(tmp_path: Path) -> None:
    with running_gateway(CONFIG.format(workers=1), tmp_path, env=ENV) as gateway:
        knock(gateway, 1)
        asked = headrace(tmp_path, "audit", "erase", "127.0.0.1")
        assert "Fields that say so: 1. Nothing was erased: add --yes." in asked.stdout
        counted = headrace(tmp_path, "audit", "erase", "127.0.0.1", "--json").stdout
        assert json.loads(counted) == {"fields": 1, "erased": False}
        done = headrace(tmp_path, "audit", "erase", "127.0.0.1", "--yes")
        assert "Fields erased: 1." in done.stdout
        assert "127.0.0.1" not in (tmp_path / ".headrace" / FILE_NAME).read_text()
    gone = headrace(tmp_path, "audit", "erase", "127.0.0.1", "--yes", "--json").stdout
    assert json.loads(gone) == {"fields": 0, "erased": True}
    aside = json.loads(headrace(tmp_path, "audit", "rotate", "--json").stdout)["put_aside"]
    assert aside == str(rotated(tmp_path / ".headrace")[-1])
    assert json.loads(headrace(tmp_path, "audit", "rotate", "--json").stdout) == {"put_aside": None}
    checked = headrace(tmp_path, "audit", "verify")
    assert checked.returncode == 0, checked.stderr
    assert "and were erased: 1." in checked.stdout
    listed = headrace(tmp_path, "audit", "list", "--json").stdout.splitlines()
    assert [e["ip"] for e in map(json.loads, listed) if "ip" in e] == ["(erased)"]
    assert headrace(tmp_path, "audit", "erase", "x", "--folder", "nowhere").returncode == 3


def test_an_event_is_proved(folder: Path, tmp_path: Path) -> None:
    proof = headrace(folder, "audit", "prove", "1").stdout
    assert len(proof) <= 4096
    (tmp_path / "proof.json").write_text(proof)
    public = str(folder / ".headrace" / PUBLIC_NAME)
    done = headrace(tmp_path, "audit", "check", "proof.json", "--key", public)
    assert done.returncode == 0, done.stderr
    assert "auth.refused" in done.stdout
    (tmp_path / "proof.json").write_text(proof.replace("auth.refused", "auth.allowed"))
    assert headrace(tmp_path, "audit", "check", "proof.json").returncode == 1
    assert headrace(tmp_path, "audit", "check", "proof.json", "--key", "ab").returncode == 2
    (tmp_path / "proof.json").write_text("{}")
    assert headrace(tmp_path, "audit", "check", "proof.json").returncode == 3
    assert headrace(folder, "audit", "prove", "10000").returncode == 3


def test_no_log_is_said(tmp_path: Path) -> None:
    for command in ("list", "verify", "export"):
        arguments = ["there"] if command == "export" else []
        done = headrace(tmp_path, "audit", command, *arguments, "--folder", "nowhere")
        assert done.returncode == 3
        assert "There is no audit log" in done.stderr


@pytest.mark.parametrize(
    ("setting", "ip"),
    [
        ("", "127.0.0.1"),
        ("trusted_proxies: [127.0.0.0/8], ", "192.0.2.7"),
        ("trusted_proxies: [10.0.0.0/8], ", "127.0.0.1"),
        (
            "trusted_proxies: [127.0.0.1, '::1'], client_address_header: forwarded, ",
            "2001:db8::7",
        ),
    ],
    ids=["none", "ours", "others", "forwarded"],
)
def test_the_client_s_address_is_what_trusted_proxies_say(
    tmp_path: Path, setting: str, ip: str
) -> None:
    text = CONFIG.format(workers=1).replace("workers: 1", f"{setting}workers: 1")
    headers = {
        "x-forwarded-for": "203.0.113.66, 192.0.2.7",
        "forwarded": 'for=203.0.113.66, for="[2001:db8::7]:4711"',
    }
    with running_gateway(text, tmp_path, env=ENV) as gateway:
        assert httpx.get(f"{gateway.url}/models", headers=headers).status_code == 401
    done = headrace(tmp_path, "audit", "list", "--action", "auth.refused", "--json")
    (event,) = map(json.loads, done.stdout.splitlines())
    assert event["ip"] == ip
