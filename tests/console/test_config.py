"""The page of the configuration: what is in force, what the file says, and no secret in either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.world import ENV, HOSTILE, World, until
from headrace.config.loading import loaded
from headrace.edge.config_in_force import Listening, text_of


@pytest.fixture
def file(world: World) -> Iterator[Path]:
    path = world.gateway.folder / "headrace.yaml"
    before = path.read_text()
    yield path
    path.write_text(before)
    until(lambda: not world.api("GET", "/v1/config")["diff"])


def test_the_file_and_what_is_in_force(world: World, file: Path) -> None:
    page = world.person("admin").look("/console/config").text
    assert "It says what is in force" in page
    assert "env:OWN_KEY" in page
    assert not any(secret in page for secret in ENV.values())
    before = file.read_text()
    file.write_text(before + f"nonsense: '{HOSTILE}'\n")
    page = world.person("admin").look("/console/config").text
    assert "cannot be taken up" in page
    assert "nonsense" in page and "<script>alert" not in page
    told = world.api("GET", "/v1/config")
    assert told["file"] is None and "nonsense" in told["problems"][0]
    file.write_text(before.replace("drain_s: 2", "drain_s: 3"))
    until(lambda: world.api("GET", "/v1/config")["restart"] != [])
    told = world.api("GET", "/v1/config")
    assert "server.drain_s" in told["restart"]
    assert told["diff"] == [] and "drain_s: 3" in told["running"]


def test_a_change_that_is_not_taken_up_yet_is_a_diff(world: World, file: Path) -> None:
    """Seen before the gateway has looked: what is read is the file itself."""
    file.write_text(file.read_text().replace("models:", "prices: {}\nmodels:", 1)
                    .replace("small: {pools", "tiny: {pools"))  # fmt: skip
    seen = []

    def taken_up() -> bool:
        told = world.api("GET", "/v1/config")
        if told["diff"]:
            seen.append(told["diff"])
        return "tiny:" in told["running"]

    until(taken_up)
    assert all(any(line.startswith("+") for line in diff) for diff in seen)


@pytest.mark.parametrize("role", ["viewer", "operator", "acme"])
def test_it_is_for_admins(world: World, role: str) -> None:
    person = world.person(role)
    assert person.look("/console/config").status_code == 403
    assert "Configuration" not in person.look("/console/").text


def test_what_looks_like_a_secret_is_masked(tmp_path: Path) -> None:
    text = """
backends:
  up: {provider: openai, url: "https://up.example.net/sk-0123456789abcdef0123", credential: env:A}
models: {one: {pools: [[up]]}}
"""
    found = text_of(loaded(text.encode(), tmp_path / "x.yaml").config, Listening("::1", 80, 1))
    assert "env:A" in found
    assert "sk-0123456789" not in found
