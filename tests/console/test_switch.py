"""Where the console is off, and what is stricter with TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import trustme

from console.world import Person
from headrace.console.admin_process import console_of
from headrace.console.app import Console
from headrace.operate.admin_process import decode_order
from support.admin_thread import admin_thread
from support.gateway_process import running_gateway

ORDER = (
    b'{"host":"127.0.0.1","port":0,"hosts":[],"folder":"/","certificate":null,"private_key":null,'
    b'"key":null,"store_url":null,"counts_apart":false,"written":[],"oidc":{},"tokens":{},'
    b'"client_secrets":{},"console":%b,"log_level":"info"}'
)


def test_an_order_without_it_serves_the_api_alone(tmp_path: Path) -> None:
    assert console_of(decode_order(ORDER % b"false")) is None
    assert isinstance(console_of(decode_order(ORDER % b"true")), Console)
    with admin_thread(tmp_path) as admin:
        assert admin.ask("GET", "/console/sign-in").status_code == 404
        assert admin.ask("GET", "/").json()["error"]["code"] == "unknown_url"


def test_cookies_are_secure_with_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    config = (
        "admin: {port: 0, tls: {certificate: both.pem, key: both.pem}}\n"
        'backends: {up: {provider: openai, url: "http://127.0.0.1:9/v1"}}\n'
    )
    with running_gateway(config, tmp_path) as gateway:
        person = Person(str(gateway.serving["admin_url"]))
        person.http.close()
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        person.http = httpx.Client(base_url=gateway.serving["admin_url"], verify=context)
        person.look("/console/sign-in")
        answer = person.post("/console/sign-in", credential=gateway.serving["admin_key"])
        assert answer.status_code == 303
        assert "; secure" in answer.headers["set-cookie"].lower()
        assert person.look("/console/").status_code == 200
        person.http.close()
