"""T19 at the port of administration: access tokens in the stead of admin keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.data.audit_verify import events
from headrace.gateway.administration.grants import Role
from support.admin_thread import AdminThread, admin_thread
from support.admin_tokens import ADMIN_AUDIENCE, grants, group, tokens_of
from support.forged_tokens import bad_members, forgeries, good_tokens
from support.identity_provider import IdentityProvider, identity_provider

EDITOR = group(Role.ADMIN, None)


class Scene(NamedTuple):
    admin: AdminThread
    provider: IdentityProvider
    folder: Path

    def status(self, token: str, path: str = "/v1/keys") -> int:
        return self.admin.ask("GET", path, token).status_code


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("store")
    with identity_provider(folder) as provider:
        provider.extra = bad_members()
        # The corpus is of the group g-search, for the usual audience.
        rules = [{"when": {"groups": "g-search"}, "role": "viewer"}, *grants(None, ["acme"])]
        with admin_thread(folder, tokens=tokens_of(provider, grants=rules)) as admin:
            yield Scene(admin, provider, folder)


def test_no_forgery_is_let_in_and_every_good_token_is(scene: Scene) -> None:
    found = forgeries(scene.provider)
    assert len(found) >= 60
    for name, token in good_tokens(scene.provider).items():
        assert scene.status(token) == 200, name
    for name, token in found.items():
        answer = scene.admin.ask("GET", "/v1/keys", token) if token.isascii() else None
        assert answer is None or answer.status_code == 401, (name, answer.text)
        assert answer is None or not any(
            part in answer.text for part in token.split(".") if len(part) > 8
        )


def test_groups_become_roles(scene: Scene) -> None:
    token = scene.provider.token
    for role, makes in ((Role.VIEWER, 403), (Role.OPERATOR, 201), (Role.ADMIN, 201)):
        bearer = token(groups=["g-other", group(role, None)])
        answer = scene.admin.ask("POST", "/v1/keys", bearer, {"name": "shop"})
        assert answer.status_code == makes, (role, answer.text)


def test_what_a_token_does_is_told_with_its_user(scene: Scene) -> None:
    token = scene.provider.token(groups=[EDITOR], sub="ada")
    made = scene.admin.ask("POST", "/v1/admin-keys", token, {"name": "k", "role": "admin"})
    assert made.status_code == 201
    last = list(events(scene.folder))[-1]
    assert (last["action"], last["actor"]) == ("admin_keys.create", "token:idp:ada")


def test_a_good_token_that_nothing_is_granted_to_is_told_so(scene: Scene) -> None:
    answer = scene.admin.ask("GET", "/v1/keys", scene.provider.token(groups=["g-other"]))
    assert answer.status_code == 403
    assert "administer nothing here" in answer.json()["error"]["message"]
    unnamed = scene.provider.token(groups=[EDITOR], sub=...)
    assert scene.status(unnamed) == 401


def test_a_refused_token_is_told_with_its_fault_and_without_itself(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        tokens = tokens_of(provider, grants=grants(None))
        with admin_thread(tmp_path, tokens=tokens) as admin:
            token = provider.token(groups=[EDITOR], exp=1)
            assert admin.ask("GET", "/v1/keys", token).status_code == 401
        told = (tmp_path / "audit.jsonl").read_text()
    assert "token: it has expired" in told
    assert not any(part in told for part in token.split("."))


def test_tokens_do_not_come_from_elsewhere_or_for_another_audience(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        rules = [
            {"when": {"groups": "near"}, "role": "viewer", "ip_ranges": ["127.0.0.0/8"]},
            {"when": {"groups": "far"}, "role": "admin", "ip_ranges": ["203.0.113.0/24"]},
        ]
        tokens = tokens_of(
            provider, audience=ADMIN_AUDIENCE, required={"scp": "Admin"}, grants=rules
        )
        with admin_thread(tmp_path, tokens=tokens) as admin:
            scene = Scene(admin, provider, tmp_path)
            good: dict[str, Any] = {"aud": ADMIN_AUDIENCE, "scp": "Other Admin", "groups": ["near"]}
            assert scene.status(provider.token(**good)) == 200
            changes: list[dict[str, Any]]
            changes = [{"aud": "api://headrace"}, {"scp": "Other"}, {"groups": ["far"]}]
            for change in changes:
                assert scene.status(provider.token(**(good | change))) == 401, change


def test_a_provider_that_is_away_is_no_reason_to_refuse_keys(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider:
        tokens = tokens_of(provider, grants=grants(None))
        provider.stop()
        with admin_thread(tmp_path, "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY", tokens=tokens) as admin:
            answer = admin.ask("GET", "/v1/keys", provider.token(groups=[EDITOR]))
            assert answer.status_code == 503
            assert "identity provider" in answer.json()["error"]["message"]
            assert admin.ask("GET", "/v1/keys", "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY").is_success


def test_without_tokens_configured_one_is_a_wrong_key(tmp_path: Path) -> None:
    with identity_provider(tmp_path) as provider, admin_thread(tmp_path) as admin:
        assert admin.ask("GET", "/v1/keys", provider.token(groups=[EDITOR])).status_code == 401
