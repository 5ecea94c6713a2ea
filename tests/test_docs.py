"""The documentation says what is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from headrace.config.loading import load
from headrace.edge.faces import FACES
from headrace.errors import Reason

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("locks/*.md")])
EXAMPLES = [
    (page.name, number, text)
    for page in PAGES
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_error_is_explained(reason: Reason) -> None:
    status, kind = FACES[reason]
    row = f"| {status} | `{reason.value}` | `{kind}` |"
    assert row in (ROOT / "docs" / "errors.md").read_text()


@pytest.mark.parametrize(("page", "number", "text"), EXAMPLES)
def test_examples_are_good(page: str, number: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_text(text)
    assert load(path).config.models


def test_there_are_examples() -> None:
    assert {"README.md", "getting-started.md", "local-models.md"} <= {
        page for page, _, _ in EXAMPLES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


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
