"""Alerts to real servers: of the web, of mail; and from a gateway whose backend is down."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiosmtpd.controller import Controller

from headrace.config.alerting import Alerts
from headrace.gateway.telemetry.alert_board import AlertBoard, write_board
from headrace.operate.alerting.prometheus import dashboard, rules_yaml
from headrace.operate.alerting.rules import RULES
from operate.test_keys import headrace
from support.free_ports import free_port
from support.gateway_process import running_gateway
from support.posted import Posted, posted

CONFIG = """
backends: {{down: {{provider: openai, url: "http://127.0.0.1:9/v1"}}}}
models: {{one: {{pools: [[down]]}}}}
keys: {{own: {{secret: env:OWN_KEY}}}}
alerts:
  runbook_url: https://runbook.example.net/headrace
  breaker_open_s: 1
  notify:
    hook: {{to: webhook, url: env:HOOK_URL}}
    chat: {{to: slack, url: env:SLACK_URL}}
    work: {{to: teams, url: env:TEAMS_URL}}
    pager: {{to: pagerduty, routing_key: env:PAGER_KEY, url: "{url}/v2/enqueue"}}
    post: {{to: email, host: 127.0.0.1, port: {port}, security: none, sender: gw@example.net,
           recipients: [ops@example.net, more@example.net]}}
"""


class Mailbox:
    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 taken"


@pytest.fixture
def web() -> Iterator[Posted]:
    with posted() as running:
        yield running


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


def env_of(web: Posted) -> dict[str, str]:
    return {
        "OWN_KEY": "o" * 40,
        "HOOK_URL": f"{web.url}/hook?token=hidden-token-of-the-hook",
        "SLACK_URL": f"{web.url}/slack",
        "TEAMS_URL": f"{web.url}/teams",
        "PAGER_KEY": "the-routing-key-of-the-pager",
    }


def by_path(web: Posted) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for post in web.posts:
        found.setdefault(post.path.partition("?")[0], []).append(post.json())
    return found


def test_everybody_is_told_of_a_test(
    web: Posted, mail: tuple[Mailbox, int], tmp_path: Path
) -> None:
    box, port = mail
    (tmp_path / "headrace.yaml").write_text(CONFIG.format(url=web.url, port=port))
    done = headrace("alerts", "test", folder=tmp_path, env=env_of(web))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": told") == 5
    told = by_path(web)
    assert [one["change"] for one in told["/hook"]] == ["begins", "ends"]
    assert told["/hook"][0]["runbook"] == "https://runbook.example.net/headrace#error-share"
    assert told["/hook"][0]["do"]
    assert told["/slack"][0]["text"].startswith("*[ALERT] error-share")
    card = told["/teams"][0]["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["body"][0]["text"].startswith("[ALERT] error-share")
    pages = told["/v2/enqueue"]
    assert [page["event_action"] for page in pages] == ["trigger", "resolve"]
    assert len({page["dedup_key"] for page in pages}) == 1
    assert pages[0]["payload"]["severity"] in {"critical", "warning"}
    assert pages[0]["routing_key"] == "the-routing-key-of-the-pager"
    assert len(box.envelopes) == 2
    assert box.envelopes[0].rcpt_tos == ["ops@example.net", "more@example.net"]
    message = message_from_bytes(box.envelopes[0].content)
    assert message["subject"].startswith("[ALERT] error-share")


def test_who_cannot_be_told_is_named_without_the_secret(web: Posted, tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(CONFIG.format(url=web.url, port=9))
    env = env_of(web) | {"HOOK_URL": "http://127.0.0.1:9/hidden-token-of-the-hook"}
    done = headrace("alerts", "test", folder=tmp_path, env=env)
    assert done.returncode == 1
    assert "hook: not told: ConnectionRefusedError" in done.stdout
    assert "post: not told" in done.stdout
    assert "chat: told" in done.stdout
    machine = headrace("alerts", "test", "--json", folder=tmp_path, env=env)
    assert machine.returncode == 1
    told = {one.pop("name"): one for one in json.loads(machine.stdout)["notify"]}
    assert told["chat"] == {"told": True, "fault": None}
    assert told["hook"]["told"] is False
    assert "ConnectionRefusedError" in told["hook"]["fault"]
    assert "hidden-token" not in done.stdout + done.stderr + machine.stdout + machine.stderr


def test_a_gateway_tells_that_a_breaker_is_open(
    web: Posted, mail: tuple[Mailbox, int], tmp_path: Path
) -> None:
    """Also without an admin port. It must be open for a second: so it is at the second look."""
    text = CONFIG.format(url=web.url, port=mail[1])
    with running_gateway(text, tmp_path, env_of(web)) as gateway:
        body = {"model": "one", "messages": [{"role": "user", "content": "hello"}]}
        key = {"authorization": f"Bearer {'o' * 40}"}

        def told() -> bool:
            url = f"{gateway.url}/chat/completions"
            httpx.post(url, json=body, headers=key, timeout=30)
            return any(one["rule"] == "breaker-open" for one in by_path(web).get("/hook", []))

        until = time.monotonic() + 120
        while not told():
            assert time.monotonic() < until, "nobody was told"
            time.sleep(0.1)
        listed = headrace("alerts", "list", folder=tmp_path, env=env_of(web))
        assert listed.returncode == 1, listed.stderr
        assert re.search(r"breaker-open +down +1 +0 +See `headrace backends list`", listed.stdout)
        machine = headrace("alerts", "list", "--json", folder=tmp_path, env=env_of(web))
        found = {one["rule"]: one["since_unix_s"] for one in json.loads(machine.stdout)["lines"]}
        assert found["breaker-open"] is not None and found["ledger-behind"] is None
    log = (tmp_path / "log.jsonl").read_text()
    assert "[ALERT] breaker-open: down" in log
    assert "hidden-token" not in log


def test_alerts_are_listed_where_a_gateway_watches(tmp_path: Path) -> None:
    folder = tmp_path / ".headrace"
    folder.mkdir()
    (tmp_path / "headrace.yaml").write_text("backends: {a: {provider: local}}\n")
    nobody = headrace("alerts", "list", folder=tmp_path)
    assert nobody.returncode == 3
    assert "`alerts.notify`" in nobody.stderr
    write_board(folder, AlertBoard(at_unix_s=time.time() - 3600, lines=[], told=[]))
    assert headrace("alerts", "list", folder=tmp_path).returncode == 3, "it ended an hour ago"
    write_board(folder, AlertBoard(at_unix_s=time.time(), lines=[], told=[]))
    well = headrace("alerts", "list", folder=tmp_path)
    assert (well.returncode, well.stdout) == (0, "Nothing is an alert: 0 values watched.\n")
    (folder / "alerts.json").write_text("{")
    assert headrace("alerts", "list", folder=tmp_path).returncode == 3


def test_rules_for_prometheus_are_good_and_say_the_same(tmp_path: Path) -> None:
    alerts = Alerts(error_share=0.07, runbook_url="https://runbook.example.net")
    text = rules_yaml(alerts)
    (group,) = yaml.safe_load(text)["groups"]
    assert len(group["rules"]) == len(RULES)
    assert "> 0.07" in group["rules"][1]["expr"]
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (of Debian's package prometheus) is not on this machine")
    path = tmp_path / "rules.yml"
    path.write_text(text)
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    source = Path(__file__).parents[3] / "src" / "headrace" / "edge" / "metrics.py"
    known = source.read_text()
    made = json.loads(json.dumps(dashboard()))
    assert len(made["panels"]) >= 12
    for panel in made["panels"]:
        for word in panel["targets"][0]["expr"].replace("(", " ").replace("[", " ").split():
            name = word.partition("{")[0].strip(")")
            if name.startswith("headrace_"):
                assert name.removesuffix("_bucket") in known, name
