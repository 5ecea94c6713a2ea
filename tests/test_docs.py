"""The documentation says what is."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import yaml

from headrace.config.loading import load
from headrace.config.schema import Fallback
from headrace.edge.app import App, Runtime
from headrace.edge.faces import FACES
from headrace.edge.openai import status_of
from headrace.errors import Reason, Refused
from headrace.gateway.last_resort import refusal
from headrace.gateway.models import Chosen
from headrace.gateway.steps import GiveUp
from headrace.platform.http.limits import Violation

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("locks/*.md")])
EXAMPLES = [
    (page.name, number, text)
    for page in PAGES
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
]
TRIED = {
    Reason.UPSTREAM_BUSY,
    Reason.UPSTREAM_FAILED,
    Reason.UPSTREAM_TIMEOUT,
    Reason.QUEUE_FULL,
}
"""What a client is told when nothing else can be tried."""


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_error_is_explained(reason: Reason) -> None:
    status, kind = FACES[reason]
    if reason in TRIED:
        chosen = cast(Chosen, SimpleNamespace(fallback=Fallback()))
        status = status_of(refusal(chosen, GiveUp("", Refused(reason, "said"), None)))
    row = f"| {status} | `{reason.value}` | `{kind}` |"
    assert row in (ROOT / "docs" / "errors.md").read_text()


@pytest.mark.parametrize("violation", Violation, ids=lambda violation: violation.name)
def test_every_refusal_of_the_server_is_explained(violation: Violation) -> None:
    _, body = App(cast(Runtime, None)).refuse(violation, b"", "said")
    row = f"| {violation.status} | `{json.loads(body)['error']['code']}` | "
    table = (ROOT / "docs" / "errors.md").read_text().partition("## Refused before a call")[2]
    assert row in table


@pytest.mark.parametrize(("page", "number", "text"), EXAMPLES)
def test_examples_are_good(page: str, number: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_text(text)
    assert load(path).config.models


def test_there_are_examples() -> None:
    pages = {page for page, _, _ in EXAMPLES}
    assert pages >= {"README.md", "getting-started.md", "local-models.md", "operating.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_do_something(page: Path) -> None:
    """A name that is only listed as phony is no target: make calls it done and does nothing."""
    recipes = set(re.findall(r"^([a-z-]+):.*\n\t", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    spans = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    named = {name for span in spans for name in re.findall(r"^make ([a-z-]+)", span, re.MULTILINE)}
    assert named <= recipes


def test_every_page_can_be_found() -> None:
    sections = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = [name for section in sections for names in section.values() for name in names]
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md"))


def test_files_of_the_way_are_there() -> None:
    text = (ROOT / "docs" / "how-a-call-goes.md").read_text()
    files = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert "gateway/pipeline.py" in files
    missing = {name for name in files if not (ROOT / "src" / "headrace" / name).is_file()}
    assert not missing


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *extras["local"], *extras["semantic"], *extras["demo"]]
    runtime += [*extras["oidc"], *extras["audit"]]
    text = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in (*runtime, "genai-prices"):
        name = re.split(r"[<>=\[;]", requirement)[0]
        assert f"`{name}`" in text or f"{name} is for development" in text, name


def test_nothing_names_this_machine_or_a_registry() -> None:
    """No path of whoever wrote it, no package registry's host."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = (
        "/" + "work/",
        "/root" + "/",
        "pypi" + ".org",
        "files.python" + "hosted",
        "npm" + "js.",
    )
    for name in listed:
        path = ROOT / name
        if path.suffix in {".png", ".gz"} or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        found = [word for word in words if word in text]
        assert not found, (name, found)
